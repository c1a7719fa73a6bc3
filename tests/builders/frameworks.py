"""Run folders that frameworks left (`tests/fixtures/frameworks`), on disk and in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

RECORDED = Path(__file__).parents[1] / "fixtures" / "frameworks"
_EMPTY = "EMPTY.json"


class Size(msgspec.Struct, frozen=True):
    """What `HeldLook` knows of a file."""

    size: int


class HeldLook:
    """`presets.Look` at files in memory."""

    def __init__(self, bodies: Mapping[str, bytes], folders: Collection[str] = ()) -> None:
        self.bodies = dict(bodies)
        self.folders = folders

    @property
    def files(self) -> Mapping[str, Size]:
        return {path: Size(len(body)) for path, body in self.bodies.items()}

    @property
    def top(self) -> Collection[str]:
        return {path.partition("/")[0] for path in self.bodies}

    def read(self, path: str, limit: int) -> bytes | None:
        body = self.bodies.get(path)
        return body if body is not None and len(body) <= limit else None

    def start(self, path: str, length: int) -> bytes | None:
        body = self.bodies.get(path)
        return None if body is None else body[:length]

    def end(self, path: str, length: int) -> bytes | None:
        body = self.bodies.get(path)
        return None if body is None else body[max(0, len(body) - length) :]


def recorded_names() -> list[str]:
    """Every recorded run: ``FRAMEWORK/END``."""
    return sorted(f"{run.parent.name}/{run.name}" for run in RECORDED.glob("*/*") if run.is_dir())


def held(name: str) -> HeldLook:
    """One recorded run, in memory."""
    home = RECORDED / name
    bodies = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return HeldLook(bodies, _empty_folders(name))


def laid_out(name: str, target: Path) -> Path:
    """One recorded run, on disk at `target`."""
    shutil.copytree(RECORDED / name, target)
    for folder in _empty_folders(name):
        (target / folder).mkdir(parents=True)
    return target


def _empty_folders(name: str) -> list[str]:
    """Git keeps no empty folders, so they are listed beside the runs, as ``END/FOLDER``."""
    framework, end = name.split("/")
    listed = RECORDED / framework / _EMPTY
    paths: list[str] = json.loads(listed.read_text()) if listed.exists() else []
    return [path.removeprefix(f"{end}/") for path in paths if path.startswith(f"{end}/")]
