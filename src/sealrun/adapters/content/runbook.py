"""The runbook that comes with sealrun: what to do about each alarm, in the words of this very version."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from sealrun.domain.errors import NotFoundError


@cache
def runbook_text() -> str:
    """Return docs/runbook.md. `NotFoundError` if this installation came without it."""
    # A wheel has a copy (see pyproject.toml); a checkout that is installed as it is has the original.
    package = files("sealrun")
    packed = package.joinpath("runbook.md")
    if packed.is_file():
        return packed.read_text("utf-8")
    original = Path(str(package)).parents[1] / "docs" / "runbook.md"
    if not original.is_file():
        raise NotFoundError("this installation came without its runbook: see docs/runbook.md of its sources")
    return original.read_text("utf-8")
