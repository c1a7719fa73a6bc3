"""The page on signatures, run as it is written, with a key of its own: ssh-keygen alone accepts what sealrun signed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builders.keys import a_key
from tests.docs.pages import DOCS, fences, reader_environment, shell

_PREPARE = """
sealrun init . > /dev/null
sealrun publish run-1 --experiment training > /dev/null
"""
_BY_HAND = """
ssh-keygen -q -Y sign -n sealrun -f ~/.ssh/by-hand seal.txt
name=$(sha256sum < seal.txt.sig | cut -d' ' -f1)
cp seal.txt.sig $FOLDER/signatures/$RUN/$name.sig
echo "hand@example.org $(cat ~/.ssh/by-hand.pub)" > by_hand
sealrun verify training/run-1 --signed-by by_hand
"""


def script(mark: str) -> str:
    (text,) = [fence.text for fence in fences(DOCS / "how-to" / "sign-runs.md") if fence.mark == f"run: {mark}"]
    return text


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder in which the page's run is signed, and its surroundings."""
    environ, here = reader_environment(tmp_path / "home"), tmp_path / "here"
    (tmp_path / "home" / ".ssh").mkdir()
    for name in ("id_ed25519", "by-hand"):
        a_key(tmp_path / "home" / ".ssh", name)
    (here / "run-1").mkdir(parents=True)
    (here / "run-1" / "model.bin").write_text("weights")
    (here / "run-1" / "run.json").write_text(json.dumps({"run_id": "run-1", "finished_at": "2026-01-17T14:30:52Z"}))
    shell(_PREPARE, here, environ)
    assert "signed with   ssh-ed25519 SHA256:" in shell(script("sign"), here, environ)
    return here, environ


def test_the_page_signs_allows_and_requires(signed: tuple[Path, dict[str, str]]) -> None:
    said = shell(script("allow") + script("require"), *signed)
    assert said.count("training/run-1: signed by ada@example.org with SHA256:") == 2
    assert said.count("no damage") == 2


def test_stock_tools_check_what_sealrun_signed_and_sealrun_what_they_sign(
    signed: tuple[Path, dict[str, str]],
) -> None:
    said = shell(script("allow") + script("stock") + _BY_HAND, *signed)
    assert 'Good "sealrun" signature for ada@example.org with ED25519 key SHA256:' in said
    assert "training/run-1: signed by hand@example.org" in said
    here, _ = signed
    run = json.loads((here / "registry/experiments/training/runs/run-1/run.json").read_text())
    assert run["run_id"] == "run-1"


def test_stock_tools_refuse_a_run_that_was_changed(signed: tuple[Path, dict[str, str]]) -> None:
    here, _ = signed
    envelope = here / "registry/experiments/training/runs/run-1/run.json"
    envelope.chmod(0o644)
    envelope.write_text(envelope.read_text().replace("success", "failure").replace("unknown", "success"))
    with pytest.raises(AssertionError, match=r"run\.json: FAILED"):
        shell(script("allow") + script("stock"), *signed)


def test_the_format_shows_the_text_that_is_signed() -> None:
    text = (DOCS / "format.md").read_text()
    assert "sealrun seal 1\nrun training/20260117T143052Z-ridge-a1b2c3\nroot_sha256 1299b00a" in text
