"""Commands run in this process by the entry point itself, with nothing around of whoever runs the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sealrun.cli.main import run


class Answer(msgspec.Struct):
    """What one command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)

    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def errors(self) -> dict[str, str]:
        """What a validation found wrong: the last detail of each check."""
        return {each["check"]: each["detail"] for each in self.json()["findings"] if each["level"] == "error"}


class Commands:
    """A folder made by ``sealrun init``, in which commands are run."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture
        assert self("init", ".").code == 0

    def __call__(self, *arguments: str) -> Answer:
        self._capture.readouterr()
        code = run(list(arguments))
        out, err = self._capture.readouterr()
        return Answer(code, out, err)


def go_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in `folder`, with a home of its own, and settings from nowhere else."""
    for name in [name for name in os.environ if name.startswith("SEALRUN_") or name == "STATE_DIRECTORY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
