"""Files that appear whole or not at all: temporary file → fsync → rename → fsync of the folder.

The temporary file of a file inside a recorded run lies in the run's ``.sealrun/tmp``, which is no part of the run: one
that a crash leaves there keeps nobody waiting. Anywhere else it is ``.<name>.<random>.tmp`` beside the file.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from sealrun.domain.errors import ConfigurationError, UsageError
from sealrun.domain.records import canonical_json
from sealrun.domain.runs.recorder import RECORDING_FILE
from sealrun.recording.values import plain

_ROOM = ".sealrun/tmp"

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Written:
    """What was written: the file, its bytes, when (UTC), and of a table how many rows."""

    path: Path
    bytes: int
    created_at: str
    rows: int | None = None


def write_bytes(path: StrPath, body: bytes) -> Written:
    """Write a file whole or not at all; what was there before is replaced.

    On return it is durable, with every new folder above it. A repeat is harmless. ``OSError`` if it cannot be written;
    nothing is left behind then.
    """
    return _replace(Path(path), lambda file: file.write(body))


def write_text(path: StrPath, text: str) -> Written:
    """Write UTF-8 text, as it is (line ends are not translated). See `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: StrPath, value: object) -> Written:
    """Write canonical JSON: two spaces of indent, sorted keys, ASCII, one final newline. See `write_bytes`.

    Paths, times and scalars of array libraries are written as what they stand for, NaN and infinities as their names.
    `UsageError` for what JSON cannot hold.
    """
    return write_bytes(path, canonical_json(plain(value)))


def write_parquet(path: StrPath, frame: object) -> Written:
    """Write a table as Parquet: a Polars, Arrow or pandas one, rows (a list of dicts) or columns (a dict of lists).

    Uses Polars or Arrow, whichever the table is made of or is installed; `ConfigurationError` if neither is. The
    answer has the number of rows. See `write_bytes`.
    """
    rows, write = _table(frame)
    written = _replace(Path(path), write)
    return Written(written.path, written.bytes, written.created_at, rows)


def _table(frame: object) -> tuple[int, Callable[[BinaryIO], object]]:
    library = type(frame).__module__.partition(".")[0]
    table = cast("Any", frame)
    if library == "polars":
        table = table.collect() if hasattr(table, "collect") else table
        return int(table.height), table.write_parquet
    if library == "pyarrow" and hasattr(table, "num_rows"):
        return _arrow(table)
    if library == "pandas":
        pyarrow = _imported("pyarrow", "a pandas table")
        return _arrow(pyarrow.Table.from_pandas(table))
    if not isinstance(frame, list | dict):
        msg = f"cannot write a {type(frame).__name__} as Parquet: give a Polars, Arrow or pandas table, rows or columns"
        raise UsageError(msg)
    with contextlib.suppress(ImportError):
        polars = importlib.import_module("polars")
        return _table(polars.DataFrame(frame))
    pyarrow = _imported("pyarrow", "rows and columns")
    return _arrow(pyarrow.Table.from_pylist(frame) if isinstance(frame, list) else pyarrow.table(frame))


def _arrow(table: Any) -> tuple[int, Callable[[BinaryIO], object]]:  # noqa: ANN401 - an optional library's
    parquet = _imported("pyarrow.parquet", "an Arrow table")
    return int(table.num_rows), lambda file: parquet.write_table(table, file)


def _imported(name: str, what: str) -> Any:  # noqa: ANN401 - an optional library
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"writing {what} as Parquet needs polars or pyarrow, and neither is installed: `pip install pyarrow`"
        raise ConfigurationError(msg) from error


def write_into_run(folder: Path, name: str, body: bytes) -> Written:
    """Write a file at the top of the run at `folder`, recorded or not. A crash leaves nothing beside it."""
    make_folders(folder / _ROOM)
    temporary = folder / _ROOM / f"{secrets.token_hex(6)}.tmp"
    return _replace(folder / name, lambda file: file.write(body), temporary)


def _replace(path: Path, write: Callable[[BinaryIO], object], temporary: Path | None = None) -> Written:
    make_folders(path.parent)
    temporary = temporary or _temporary(path)
    try:
        with _created(temporary) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        # A crash before this line leaves the old file and the temporary one; after it, the new file.
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    return Written(path, size, f"{now.isoformat()}Z")


@contextlib.contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    # 0o666 less the umask: the permissions that `open` would have given the file itself.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "w+b") as file:
        yield file


def _temporary(path: Path) -> Path:
    name = f"{secrets.token_hex(6)}.tmp"
    # The system's limit is for bytes of a name, so a long one is not repeated.
    beside = path.with_name(f".{path.name[:60]}.{name}")
    for folder in path.absolute().parents:
        if (folder / RECORDING_FILE).is_file():
            room = folder / _ROOM
            room.mkdir(exist_ok=True)
            same = room.stat().st_dev == path.parent.stat().st_dev
            return room / name if same else beside
    return beside


def clear_room(folder: Path) -> None:
    """Remove what writers that died left in the room of the run at `folder`."""
    room = folder / _ROOM
    if room.is_dir():
        for left in room.iterdir():
            left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            room.rmdir()  # somebody is writing just now: the room stays


def make_folders(folder: Path) -> None:
    """Make `folder` and what is missing above it, each durable by name before what is below it is made."""
    missing: list[Path] = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
