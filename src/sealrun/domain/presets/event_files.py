"""TensorBoard's event files: the last value of each scalar, and the hyperparameters.

A file is a log of records, each with its length and a check sum of that. The beginning and the end of a long one are
read; where a record begins in the middle is seen by that sum.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator

import msgspec

from sealrun.domain.presets.looking import text_of
from sealrun.domain.presets.protobuf import fields
from sealrun.domain.records import JsonObject

PART_BYTES = 256 << 10
_HEADER = 12
_FOOTER = 4
_MAX_RECORD = 64 << 20
_MAX_RECORDS = 20_000
_MAX_TAGS = 1000
_SUMMARY = 5
_TAG, _SIMPLE, _TENSOR, _METADATA = 1, 2, 8, 9
_FLOAT, _DOUBLE = 1, 2
_SESSION_START = 3
_LENGTH = re.compile(rb"(?=((?!\0{4}).{4}\0{4})(.{4}))", re.DOTALL)
"""What may be a length and its sum: no record is empty, or as long as 4 GiB."""


class Events(msgspec.Struct):
    """What was found; the last value of each scalar counts."""

    scalars: dict[str, float] = msgspec.field(default_factory=dict)
    params: JsonObject = msgspec.field(default_factory=dict)


def read_events(body: bytes, found: Events, *, begins: bool) -> None:
    """Add what a part of a file says to `found`; `begins`: it is the file's beginning."""
    at = 0 if begins else _next_record(body)
    for number, record in enumerate(_records(body, at)):
        if number >= _MAX_RECORDS:
            return
        for field, value in fields(record):
            if field == _SUMMARY and isinstance(value, bytes):
                for inner, item in fields(value):
                    if inner == 1 and isinstance(item, bytes):
                        _add(found, item)


def _add(found: Events, item: bytes) -> None:
    tag, scalar, metadata = "", None, b""
    for field, value in fields(item):
        if not isinstance(value, bytes):
            continue
        if field == _TAG:
            tag = text_of(value)
        elif field == _SIMPLE:
            scalar = _number(value, "<f")
        elif field == _TENSOR:
            scalar = _scalar_of_tensor(value)
        elif field == _METADATA:
            metadata = value
    if tag == "_hparams_/session_start_info":
        found.params |= _hyperparameters(metadata)
    elif scalar is not None and tag and (tag in found.scalars or len(found.scalars) < _MAX_TAGS):
        found.scalars[tag] = scalar


def _number(value: bytes, kind: str) -> float | None:
    if len(value) != struct.calcsize(kind):
        return None
    (number,) = struct.unpack(kind, value)
    return number if math.isfinite(number) else None


def _scalar_of_tensor(body: bytes) -> float | None:
    """Return the value of a tensor that holds a single float."""
    kind, content = 0, b""
    for field, value in fields(body):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field in {4, 5, 6} and isinstance(value, bytes):
            content = value
    return _number(content, "<f" if kind == _FLOAT else "<d") if kind in {_FLOAT, _DOUBLE} else None


def _hyperparameters(metadata: bytes) -> JsonObject:
    """Read the start of a session as the plugin of hyperparameters writes it."""
    found: JsonObject = {}
    for number in (1, 2, _SESSION_START):
        metadata = next(
            (value for field, value in fields(metadata) if field == number and isinstance(value, bytes)), b""
        )
    for field, entry in fields(metadata):
        if field != 1 or not isinstance(entry, bytes):
            continue
        said = {number: value for number, value in fields(entry) if isinstance(value, bytes)}
        for kind, value in fields(said.get(2, b"")):
            if kind == 2 and isinstance(value, bytes):  # noqa: PLR2004 - the numbers of the fields are their names here
                found[text_of(said.get(1))] = _number(value, "<d")
            elif kind == 3 and isinstance(value, bytes):  # noqa: PLR2004
                found[text_of(said.get(1))] = text_of(value)
            elif kind == 4:  # noqa: PLR2004
                found[text_of(said.get(1))] = value == 1
    return found


def _records(body: bytes, at: int) -> Iterator[bytes]:
    while at + _HEADER <= len(body):
        length = int.from_bytes(body[at : at + 8], "little")
        end = at + _HEADER + length
        if length > _MAX_RECORD or end > len(body) or _masked_sum(body[at : at + 8]) != body[at + 8 : at + _HEADER]:
            return
        yield body[at + _HEADER : end]
        at = end + _FOOTER


def _next_record(body: bytes) -> int:
    """Return where the first record begins; the end if none does."""
    for match in _LENGTH.finditer(body):
        if _masked_sum(match[1]) == match[2]:
            return match.start()
    return len(body)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _masked_sum(body: bytes) -> bytes:
    """CRC-32C of a few bytes, masked as the format wants it."""
    value = 0xFFFFFFFF
    for byte in body:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")
