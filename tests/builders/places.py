"""A folder with settings and an empty registry, in which Python code and commands find everything by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.commands import go_to

from sealrun.cli.main import run


def a_place(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Path:
    """Go to `folder`, where ``sealrun init`` was run, with nothing of the environment of whoever runs the tests."""
    go_to(folder, monkeypatch)
    monkeypatch.setenv("SEALRUN_CACHE", str(folder / "cache"))
    assert run(["init", ".", *options]) == 0
    return folder
