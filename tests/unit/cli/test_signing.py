"""sign, verify --signed-by and show on a directory registry: what they print, what they refuse, how they end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.builders.commands import Commands, go_to
from tests.builders.keys import a_key, allowed, fingerprint


class Place(Commands):
    """A folder made by ``sealrun init``, with one published run and two keys."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        (folder / "run-1").mkdir()
        (folder / "run-1" / "model.bin").write_text("weights")
        self.ref: str = self("publish", "run-1", "--experiment", "training", "--json").json()["ref"]
        self.ada, self.bob = a_key(folder, "ada"), a_key(folder, "bob")
        allowed(folder / "signers", ("ada@example.org", self.ada))

    def file(self, pattern: str) -> Path:
        (found,) = (self.folder / "registry" / "experiments").glob(pattern)
        return found


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    go_to(tmp_path, monkeypatch)
    return Place(tmp_path, capsys)


def test_a_signed_run_is_told_by_show_and_required_by_verify(place: Place) -> None:
    said = place("sign", "training@latest", "--key", "ada", "--json").json()
    printed = fingerprint(place.ada)
    assert (said["ref"], said["fingerprint"], said["new"], said["namespace"]) == (place.ref, printed, True, "sealrun")
    assert place("sign", place.ref, "--key", "ada").err == (
        f"{place.ref} signed with ssh-ed25519 {printed}, as it was before\n"
    )
    shown = place("show", place.ref)
    assert f"signed with   ssh-ed25519 {printed} (not verified; do so with: sealrun verify" in shown.out
    (signature,) = place("show", place.ref, "--json").json()["signatures"]
    assert signature == {name: said[name] for name in ("key", "key_type", "fingerprint", "namespace")}

    verified = place("verify", "training@latest", "--signed-by", "signers")
    assert verified.code == 0
    assert f"{place.ref}: signed by ada@example.org with {printed}\nmain " in verified.out
    assert "/registry: 1 runs, " in verified.out
    for scope in (["--all"], ["--experiment", "training"], [place.ref, "--engine", "threads"]):
        answer = place("verify", *scope, "--signed-by", "signers", "--signer", "ada@example.org", "--json")
        assert (answer.code, answer.json()["damages"]) == (0, [])
        assert answer.json()["signed"] == [
            {
                "ref": place.ref,
                "root_sha256": said["root_sha256"],
                "identity": "ada@example.org",
                "fingerprint": printed,
            }
        ]
    assert "signed" not in place("verify", "--all", "--json").json()


def test_verify_ends_with_20_where_nobody_signed_who_may(place: Place) -> None:
    answer = place("verify", place.ref, "--signed-by", "signers")
    assert answer.code == 20
    assert f"{place.ref}: signature: is not signed; sign it with: sealrun sign {place.ref} --key FILE\n" in answer.out
    assert "no damage, 1 not signed" in answer.out
    place("sign", place.ref, "--key", "bob")
    answer = place("verify", place.ref, "--signed-by", "signers", "--json")
    (damage,) = answer.json()["damages"]
    assert (answer.code, damage["kind"], answer.json()["signed"]) == (20, "signature", [])
    assert f"ssh-ed25519 {fingerprint(place.bob)}: its key is not in" in damage["detail"]
    assert place("verify", place.ref).code == 0
    place("sign", place.ref, "--key", "ada")
    assert place("verify", place.ref, "--signed-by", "signers", "--signer", "bob@example.org").code == 20
    allowed(place.folder / "signers", ("ada@example.org", place.ada, 'valid-before="20200101"'))
    answer = place("verify", place.ref, "--signed-by", "signers")
    assert (answer.code, "key has expired" in answer.out) == (20, True)


def test_a_signature_changed_in_the_registry_is_told_and_counts_no_more(place: Place) -> None:
    place("sign", place.ref, "--key", "ada")
    file = place.file("*/signatures/*/*.sig")
    body = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(body.replace(b"-----END", b"\n-----END"))
    answer = place("verify", place.ref, "--signed-by", "signers")
    assert (answer.code, "was changed since it was stored" in answer.out) == (20, True)
    assert "was changed since it was stored" in place("show", place.ref).out
    assert "problem" in place("show", place.ref, "--json").json()["signatures"][0]
    again = place("sign", place.ref, "--key", "ada")
    assert (again.code, "holds other bytes" in again.err) == (1, True)


def test_a_seal_that_was_forged_with_all_it_names_has_no_signature(place: Place) -> None:
    """Whoever may write can seal other content anew under the same name: a signature is over what was sealed before."""
    place("sign", place.ref, "--key", "ada")
    signature = place.file("*/signatures/*/*.sig").read_bytes()
    (place.folder / "run-1" / "model.bin").write_text("others")
    forged = place("publish", "run-1", "--experiment", "forged", "--json").json()["ref"]
    home = place.folder / "registry" / "experiments" / forged.replace("/", "/signatures/")
    home.mkdir(parents=True)
    (home / place.file("training/signatures/*/*.sig").name).write_bytes(signature)
    answer = place("verify", forged, "--signed-by", "signers")
    assert (answer.code, "incorrect signature" in answer.out) == (20, True)


def test_damage_is_reported_whoever_signed(place: Place) -> None:
    place("sign", place.ref, "--key", "ada")
    manifest = place.file("training/runs/*/MANIFEST.sha256")
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b"model", b"MODEL"))
    answer = place("verify", place.ref, "--signed-by", "signers")
    assert (answer.code, "1 damaged" in answer.out) == (20, True)
    assert place("sign", place.ref, "--key", "bob").code == 20


def test_what_cannot_be_meant_is_refused(place: Place) -> None:
    assert place("verify", place.ref, "--signer", "ada").code == 2
    assert place("verify", "--all", "--subset", "5%", "--signed-by", "signers").code == 2
    answer = place("verify", place.ref, "--signed-by", "nobody")
    assert (answer.code, "nobody: cannot be read" in answer.err) == (2, True)
    answer = place("sign", place.ref, "--key", "none")
    assert (answer.code, "none: cannot be read" in answer.err) == (2, True)
    assert place("sign", "training/none", "--key", "ada").code == 1
    better = place.folder / "run-1" / "model.bin"
    better.write_text("better")
    os.utime(better, (2_000_000_000, 2_000_000_000))  # later, so that latest moves to it
    assert place("publish", "run-1", "--experiment", "training").code == 0
    assert place("retire", place.ref, "--why", "a test").code == 0
    answer = place("sign", place.ref, "--key", "ada")
    assert (answer.code, "was retired from" in answer.err) == (1, True)


def test_without_ssh_keygen_both_say_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.folder))
    for arguments in (["sign", place.ref, "--key", "ada"], ["verify", place.ref, "--signed-by", "signers"]):
        answer = place(*arguments)
        assert (answer.code, "install OpenSSH 8.2 or newer" in answer.err) == (78, True)
