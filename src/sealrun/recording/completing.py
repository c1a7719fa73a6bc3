"""Saying that a run folder is complete, and sealing it in place."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sealrun.domain.errors import RunChangedError, RunRejectedError, UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.manifest import sum_line
from sealrun.domain.runs.recorder import HEARTBEAT_FILE, RECORDING_FILE
from sealrun.recording.durable import (
    StrPath,
    Written,
    clear_room,
    make_folders,
    write_into_run,
    write_json,
)

DONE_FILE = ".sealrun/done.json"
SUMS_FILE = "MANIFEST.sha256"
ENDS = ("success", "failed", "partial", "interrupted")
"""How a run can end, by its own word."""
_OWN_FOLDER = ".sealrun"
_CHUNK = 1 << 20


def mark_complete(
    path: StrPath, status: str = "success", *, tags: Iterable[str] = (), reason: str | None = None, seal: bool = False
) -> Written:
    """Declare the run folder at `path` complete, by ``.sealrun/done.json``: a daemon then settles it at once.

    Write every file first: this comes last. The declaration has the last word on the run's status, and its time is the
    run's finish. With `seal` the folder is sealed in place before. Durable on return; a repeat declares again, with a
    new time. `UsageError` if `path` is no folder, holds nothing, or `status` is none of success, failed, partial and
    interrupted.
    """
    if status not in ENDS:
        msg = f"not a status a run can end with: {status!r} (there is {', '.join(ENDS)})"
        raise UsageError(msg)
    folder = Path(path)
    if not folder.is_dir() or folder.is_symlink():
        msg = f"{folder}: not a folder: name the folder of a run"
        raise UsageError(msg)
    if next(_files(folder), None) is None:
        msg = f"{folder}: holds no files; a run is at least one file"
        raise UsageError(msg)
    said: JsonObject = {"status": status, "finished_at": utc_now(), "tags": sorted({*tags}), "reason": reason}
    return declare(folder, {key: value for key, value in said.items() if value}, seal=seal)


def declare(folder: Path, said: JsonObject, *, seal: bool = False) -> Written:
    """Write the declaration, after everything else. A crash before it leaves a folder that says it was running."""
    if seal:
        seal_in_place(folder)
    clear_room(folder)
    make_folders(folder / _OWN_FOLDER)
    written = write_json(folder / DONE_FILE, said)
    for own in (RECORDING_FILE, HEARTBEAT_FILE):
        (folder / own).unlink(missing_ok=True)
    clear_room(folder)
    return written


def seal_in_place(path: StrPath) -> str:
    """Write ``MANIFEST.sha256`` into the run folder at `path`, so that ``sha256sum -c`` verifies it where it lies.

    Every file is named but the manifest itself and what is in ``.sealrun``; links and empty folders have no sum.
    Returns the sha256 of the manifest. Durable on return; a repeat replaces it. `RunChangedError` if a file changes
    meanwhile, `RunRejectedError` for one that no run can hold.
    """
    folder = Path(path)
    lines = [sum_line(_digest(folder / name), name) for name in sorted(_files(folder)) if name != SUMS_FILE]
    body = "".join(lines).encode("utf-8")
    write_into_run(folder, SUMS_FILE, body)
    clear_room(folder)
    return hashlib.sha256(body).hexdigest()


def utc_now() -> str:
    """Return the time as records have it: ``2026-01-17T14:30:52Z``."""
    return f"{datetime.now(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _files(folder: Path) -> Iterator[str]:
    """Paths of the regular files below `folder`, ``.sealrun`` left out; ends with an error at what no run can hold."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as listing:
            for item in listing:
                name = f"{prefix}{item.name}"
                if name == _OWN_FOLDER or item.is_symlink():
                    continue
                problem = path_problem(name)
                if problem is None and not item.is_dir() and not item.is_file():
                    problem = "is neither a file nor a folder"
                if problem:
                    msg = f"{str(folder / name)!r}: {problem}; remove or rename it"
                    raise RunRejectedError(msg)
                if item.is_dir():
                    waiting.append(f"{name}/")
                else:
                    yield name


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
        after = os.fstat(file.fileno())
    with contextlib.suppress(FileNotFoundError):
        same = path.stat().st_ino == after.st_ino
        if same and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return hasher.hexdigest()
    msg = f"{str(path)!r}: changed while the run was sealed; finish writing first"
    raise RunChangedError(msg)
