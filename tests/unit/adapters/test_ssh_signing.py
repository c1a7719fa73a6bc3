"""ssh-keygen as it is used: who may sign, for what, until when; and what is said when it cannot be done."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.keys import a_key, allowed, fingerprint, signed_by_hand

from sealrun.adapters.content.ssh_signing import AllowedSigners, SshKey
from sealrun.domain.curation.signing import parse_signature
from sealrun.domain.errors import ConfigurationError, UsageError

TEXT = b"sealrun seal 1\n"


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    return a_key(tmp_path, "ada")


def test_what_a_key_signed_is_by_whom_the_file_names(tmp_path: Path, ada: Path) -> None:
    signers = allowed(tmp_path / "signers", ("bob@x", a_key(tmp_path, "bob")), ("ada@x", ada, 'namespaces="sealrun"'))
    signature = SshKey(ada).sign(TEXT)
    assert AllowedSigners(signers).check(TEXT, signature).identity == "ada@x"
    assert AllowedSigners(signers, "ada@x").check(TEXT, signature).identity == "ada@x"
    assert "no such key for bob@x" in AllowedSigners(signers, "bob@x").check(TEXT, signature).reason


def test_of_several_identities_of_a_key_one_is_told_and_each_may_be_asked_for(tmp_path: Path, ada: Path) -> None:
    signers = allowed(tmp_path / "signers", ("ada@x,ci@x,!eve@x", ada))
    signature = SshKey(ada).sign(TEXT)
    assert AllowedSigners(signers).check(TEXT, signature).identity == "ada@x"
    assert AllowedSigners(signers, "ci@x").check(TEXT, signature).identity == "ci@x"
    assert AllowedSigners(signers, "eve@x").check(TEXT, signature).identity is None


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ('valid-before="20200101"', "key has expired"),
        ('valid-after="29990101"', "key is not yet valid"),
        ('namespaces="file"', "not permitted for use in signature namespace"),
    ],
)
@pytest.mark.parametrize("identity", [None, "ada@x"])
def test_a_key_counts_only_while_and_for_what_the_file_says(
    tmp_path: Path, ada: Path, limits: str, why: str, identity: str | None
) -> None:
    signers = allowed(tmp_path / "signers", ("ada@x", ada, limits))
    checked = AllowedSigners(signers, identity).check(TEXT, SshKey(ada).sign(TEXT))
    assert checked.identity is None
    assert why in checked.reason


def test_other_text_another_key_another_namespace_and_a_changed_signature_are_nobodys(
    tmp_path: Path, ada: Path
) -> None:
    signers, bob = allowed(tmp_path / "signers", ("ada@x", ada)), a_key(tmp_path, "bob")
    signature = SshKey(ada).sign(TEXT)
    lines = signature.split(b"\n")
    lines[3] = lines[3][:20] + (b"A" if lines[3][20:21] != b"A" else b"B") + lines[3][21:]
    for text, body, why in [
        (b"sealrun seal 2\n", signature, "incorrect signature"),
        (TEXT, SshKey(bob).sign(TEXT), "its key is not in"),
        (TEXT, signed_by_hand(ada, TEXT, "git"), "namespace does not match"),
        (TEXT, b"\n".join(lines), ""),
        (TEXT, b"rubbish", "missing header"),
    ]:
        checked = AllowedSigners(signers).check(text, body)
        assert checked.identity is None, why
        assert why in checked.reason
        assert checked.reason


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
        process.terminate()


@pytest.mark.usefixtures("agent")
def test_a_key_that_only_the_agent_holds_signs_by_its_public_half(tmp_path: Path, ada: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(ada)], check=True)
    printed = fingerprint(ada)
    ada.unlink()
    assert parse_signature(SshKey(tmp_path / "ada.pub").sign(TEXT), "here")[1] == printed


def test_a_key_that_cannot_be_used_is_named_with_what_ssh_keygen_says(
    tmp_path: Path, ada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(UsageError, match=r"missing: cannot be read \(No such file"):
        SshKey(tmp_path / "missing")
    with pytest.raises(UsageError, match="signers: cannot be read"):
        AllowedSigners(tmp_path / "signers")
    ada.unlink()
    with pytest.raises(UsageError, match=r"ada\.pub: ssh-keygen cannot sign with it \(No private key found"):
        SshKey(tmp_path / "ada.pub").sign(TEXT)


def test_without_ssh_keygen_it_says_what_to_install(tmp_path: Path, ada: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signers = allowed(tmp_path / "signers", ("ada@x", ada))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"not installed: install OpenSSH 8\.2"):
        SshKey(ada)
    with pytest.raises(ConfigurationError, match=r"not installed: install OpenSSH 8\.2"):
        AllowedSigners(signers)


def test_an_ssh_keygen_that_is_too_old_is_told_apart_from_a_bad_signature(
    tmp_path: Path, ada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signers = allowed(tmp_path / "signers", ("ada@x", ada))
    signature = SshKey(ada).sign(TEXT)
    old = tmp_path / "old" / "ssh-keygen"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'unknown option -- Y' >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    with pytest.raises(ConfigurationError, match="too old"):
        AllowedSigners(signers).check(TEXT, signature)
    with pytest.raises(ConfigurationError, match="too old"):
        SshKey(ada).sign(TEXT)
