"""What a pickle says at its beginning, read opcode by opcode. Nothing is ever loaded, imported or called."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

MAX_PICKLE_BYTES = 1 << 20
"""So much of the beginning is looked at."""
_MAX_OPCODES = 10_000
_NEAR_BYTES = 200
_MAX_MENTIONS = 100
_NOTHING_PUSHED = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "MARK", "EMPTY_TUPLE"}
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_SMALL_INTS = {"BININT1", "BININT2", "BININT", "INT"}


def first_string(start: bytes | None) -> str | None:
    """Return the string that is the first thing in a pickle, None if something else is."""
    for name, value in _opcodes(start):
        if name in _STRINGS:
            return str(value)
        if name not in _NOTHING_PUSHED:
            return None
    return None


def text_after(start: bytes | None, key: str) -> str | None:
    """Return the string that follows the string `key`, as a dictionary's value does; None if something else does."""
    word = key.encode()
    place = (start or b"").find(b"X" + len(word).to_bytes(4, "little") + word)
    for opcode, value in itertools.islice(
        _opcodes((start or b"")[place:][:_NEAR_BYTES] if place >= 0 else b""), 1, None
    ):
        if opcode in _STRINGS:
            return str(value)
        if opcode not in _NOTHING_PUSHED:
            return None
    return None


def enum_number(start: bytes | None, name: str) -> int | None:
    """Return the number of the first member of the enumeration `name` that a pickle mentions."""
    body, word = start or b"", name.encode()
    written = (b"\x8c" + bytes([len(word)]) + word, b"X" + len(word).to_bytes(4, "little") + word)
    places = sorted(match.start() for each in written for match in re.finditer(re.escape(each), body))
    numbers = (_number_after_global(body[place : place + _NEAR_BYTES]) for place in places[:_MAX_MENTIONS])
    return next((number for number in numbers if number is not None), None)


def _number_after_global(body: bytes) -> int | None:
    """Read "the name, take it as a global, this number"; None if it goes on in another way."""
    taken = False
    for opcode, value in itertools.islice(_opcodes(body), 1, None):
        if opcode == "STACK_GLOBAL":
            taken = True
        elif opcode not in _NOTHING_PUSHED:
            return value if taken and opcode in _SMALL_INTS and isinstance(value, int) else None
    return None


def _opcodes(start: bytes | None) -> Iterator[tuple[str, object]]:
    """Go through the opcodes as far as they are there and well formed."""
    import pickletools  # noqa: PLC0415 - brings the whole of pickle, for a file that few runs have

    try:
        for number, (opcode, value, _) in enumerate(pickletools.genops(start or b"")):
            if number >= _MAX_OPCODES:
                return
            yield opcode.name, value
    except (ValueError, OverflowError, IndexError, SyntaxError):
        return  # cut off, or no pickle at all
