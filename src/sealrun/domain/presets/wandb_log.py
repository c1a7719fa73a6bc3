"""The file ``run-ID.wandb`` of W&B: LevelDB's log format around protocol buffers; settings and metrics are JSON in it.

Read with tolerance: what is cut off or broken ends the reading, and unknown fields are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sealrun.domain.declarations import read_json
from sealrun.domain.presets.looking import text_of
from sealrun.domain.records import JsonObject

BLOCK = 32 << 10
_MAGIC = b":W&B"
_FILE_HEADER = 7
_RECORD_HEADER = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_MAX_RECORDS = 100_000
_SUMMARY, _RUN, _EXIT = 3, 17, 18


class WandbLog(msgspec.Struct):
    """What was found; the last word on each key counts."""

    run: str | None = None
    project: str | None = None
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
        for field, value in _fields(record):
            if isinstance(value, bytes):
                _add(found, field, value)


def _add(found: WandbLog, field: int, value: bytes) -> None:
    if field == _SUMMARY:
        found.summary |= _items(value, 1)
    elif field == _EXIT:
        found.exit_code = next((code for number, code in _fields(value) if number == 1 and isinstance(code, int)), 0)
    elif field == _RUN:
        for number, inner in _fields(value):
            if not isinstance(inner, bytes):
                continue
            if number == 1:
                found.run = text_of(inner)
            elif number == 3:  # noqa: PLR2004 - the numbers of the fields are their names here
                found.project = text_of(inner)
            elif number == 4:  # noqa: PLR2004
                found.config |= _items(inner, 1)
            elif number == 10:  # noqa: PLR2004
                found.tags.append(text_of(inner))


def _items(body: bytes, update: int) -> JsonObject:
    """Read updates: key (1) or nested key (2, repeated), and a value as JSON (16)."""
    found: JsonObject = {}
    for number, item in _fields(body):
        if number != update or not isinstance(item, bytes):
            continue
        keys = [text_of(value) for field, value in _fields(item) if field in {1, 2} and isinstance(value, bytes)]
        values = [value for field, value in _fields(item) if field == 16 and isinstance(value, bytes)]  # noqa: PLR2004
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


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of a message's fields; fixed-size ones as bytes."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(body, at)
        elif tag & 7 in {1, 2, 5}:
            length, at = _varint(body, at) if tag & 7 == 2 else (8 if tag & 7 == 1 else 4, at)  # noqa: PLR2004
            value, at = body[at : at + length], at + length
        else:
            return
        if at > len(body):
            return
        yield tag >> 3, value


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends; beyond the end if it is cut off."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(body):
            break
        number |= (body[at] & 0x7F) << shift
        at += 1
        if body[at - 1] < 0x80:  # noqa: PLR2004 - the bit that says "there is more"
            return number, at
    return 0, len(body) + 1
