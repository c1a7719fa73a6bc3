"""A folder with settings and an empty registry, in which Python code and commands find everything by themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealrun.cli.main import run


def a_place(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Path:
    """Go to `folder`, where ``sealrun init`` was run, with nothing of the environment of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("SEALRUN_") or name == "STATE_DIRECTORY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("SEALRUN_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    assert run(["init", ".", *options]) == 0
    return folder
