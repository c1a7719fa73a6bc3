"""The file ``run-ID.wandb`` of W&B: LevelDB's log format around protocol buffers; settings and metrics are JSON in it.

Read with tolerance: what is cut off or broken ends the reading, and unknown fields are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sealrun.domain.presets.looking import text_of
from sealrun.domain.presets.protobuf import fields
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import read_json

BLOCK = 32 << 10
_MAGIC = b":W&B"
_FILE_HEADER = 7
_RECORD_HEADER = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_MAX_RECORDS = 100_000
_SUMMARY, _TELEMETRY, _RUN, _EXIT, _HEADER = 3, 11, 17, 18, 21
_CONFIG, _TAG, _START, _TELEMETRY_OF_RUN, _GIT = 4, 10, 17, 19, 21
_CLI_VERSION = 5
_IDS = {2: "entity", 6: "group", 7: "job_type", 8: "name", 12: "sweep"}


class WandbLog(msgspec.Struct):
    """What was found; the last word on each key counts."""

    run: str | None = None
    project: str | None = None
    version: str | None = None
    commit: str | None = None
    started: int | None = None
    """Seconds since 1970."""
    runtime: int | None = None
    """Seconds."""
    ids: dict[str, str] = msgspec.field(default_factory=dict)
    tags: list[str] = msgspec.field(default_factory=list)
    config: JsonObject = msgspec.field(default_factory=dict)
    summary: JsonObject = msgspec.field(default_factory=dict)
    exit_code: int | None = None


def is_wandb_log(start: bytes) -> bool:
    """Tell whether a file begins like one."""
    return start.startswith(_MAGIC)


def read_wandb_log(body: bytes, found: WandbLog, *, begins: bool) -> None:
    """Add what `body` says to `found`. It starts at a block's boundary; `begins`: at the file's very beginning."""
    for number, record in enumerate(_records(body, _FILE_HEADER if begins else 0)):
        if number >= _MAX_RECORDS:
            return
        for field, value in fields(record):
            if isinstance(value, bytes):
                _add(found, field, value)


def _add(found: WandbLog, field: int, value: bytes) -> None:
    if field == _SUMMARY:
        found.summary |= _items(value, 1)
    elif field == _EXIT:
        said = dict(fields(value))
        found.exit_code = _whole(said.get(1)) or 0
        found.runtime = _whole(said.get(2))
    elif field == _HEADER:
        found.version = found.version or _inside(value, 1, 1)
    elif field == _TELEMETRY:
        found.version = found.version or _inside(value, _CLI_VERSION)
    elif field == _RUN:
        for number, inner in fields(value):
            if isinstance(inner, bytes):
                _add_of_run(found, number, inner)


def _add_of_run(found: WandbLog, number: int, inner: bytes) -> None:
    if number == 1:
        found.run = text_of(inner)
    elif number == 3:  # noqa: PLR2004 - the numbers of the fields are their names here
        found.project = text_of(inner)
    elif number == _CONFIG:
        found.config |= _items(inner, 1)
    elif number == _TAG:
        found.tags.append(text_of(inner))
    elif number == _START:
        found.started = next((_whole(seconds) for field, seconds in fields(inner) if field == 1), None)
    elif number == _TELEMETRY_OF_RUN:
        found.version = found.version or _inside(inner, _CLI_VERSION)
    elif number == _GIT:
        found.commit = _inside(inner, 2)
    elif number in _IDS and inner:
        found.ids[_IDS[number]] = text_of(inner)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _inside(body: bytes, *path: int) -> str | None:
    """Return the text at the end of a path of fields; None if it is empty or not there."""
    for number in path:
        body = next((value for field, value in fields(body) if field == number and isinstance(value, bytes)), b"")
    return text_of(body) or None


def _items(body: bytes, update: int) -> JsonObject:
    """Read updates: key (1) or nested key (2, repeated), and a value as JSON (16)."""
    found: JsonObject = {}
    for number, item in fields(body):
        if number != update or not isinstance(item, bytes):
            continue
        keys = [text_of(value) for field, value in fields(item) if field in {1, 2} and isinstance(value, bytes)]
        values = [value for field, value in fields(item) if field == 16 and isinstance(value, bytes)]  # noqa: PLR2004
        key = ".".join(key for key in keys if key)
        if key and values and not key.startswith("_"):
            found[key] = read_json(values[-1])
    return found


def _records(body: bytes, at: int) -> Iterator[bytes]:
    """Yield the whole records of a log; one whose beginning is not there is passed over."""
    parts: list[bytes] = []
    while at + _RECORD_HEADER <= len(body):
        room = BLOCK - at % BLOCK
        if room < _RECORD_HEADER:
            at += room  # the rest of a block that no header fits into
            continue
        length, kind = int.from_bytes(body[at + 4 : at + 6], "little"), body[at + 6]
        start, at = at + _RECORD_HEADER, at + _RECORD_HEADER + length
        if kind not in {_FULL, _FIRST, _MIDDLE, _LAST} or at > len(body) or _RECORD_HEADER + length > room:
            return
        if kind in {_FULL, _FIRST}:
            parts = []
        elif not parts:
            continue
        parts.append(body[start:at])
        if kind in {_FULL, _LAST}:
            yield b"".join(parts)
            parts = []
