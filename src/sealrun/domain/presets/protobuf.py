"""Protocol buffers without their schema: numbers and values of a message's fields."""

from __future__ import annotations

from collections.abc import Iterator


def fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of a message's fields; fixed-size ones as bytes. What is cut off or broken ends it."""
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
