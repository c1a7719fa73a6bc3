"""The list of entries inside ``manifest.json``, written and read some at a time: of a million, never all as objects."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import msgspec

from sealrun.domain.cutting import Cutter
from sealrun.domain.entries import Entry, rows_of
from sealrun.domain.pieces import Pieces
from sealrun.domain.ready import ready
from sealrun.domain.records import canonical_json_without_floats

_ENTRIES = b'\n  "entries": [\n'
_NO_ENTRIES = b'\n  "entries": []'
_END = b"\n  ]"
"""Nowhere else in a record: a line feed inside a string is escaped, and what is deeper stands further to the right."""
_BEFORE, _AFTER = b'{\n  "entries": [\n', b"\n  ]\n}\n"
_BETWEEN = b"\n    },\n"
_LAST = b"\n    }" + _END
_READ_AT_ONCE = 128 << 10
_MOST_AROUND = 16 << 20


def written(frame: bytes, entries: Sequence[Entry]) -> Iterator[bytes]:
    """Yield the bytes of a record, given as it is written without entries, with these."""
    if not entries:
        yield frame
        return
    head, _, tail = frame.partition(_NO_ENTRIES)
    glue = head + _ENTRIES
    for rows in rows_of(entries):
        # Encoded where they stand in the record, so that they are indented as there.
        some = canonical_json_without_floats({"entries": rows})
        yield glue + some[len(_BEFORE) : -len(_AFTER)]
        glue = b",\n"
    yield _END + tail


class Apart:
    """A record as `written` writes it, gone through once: first its entries, then what is around them.

    What is written otherwise raises one of `records.UNREADABLE`.
    """

    def __init__(self, body: Pieces) -> None:
        """Begin with `body`."""
        self._cutter = Cutter(body)
        self._around: list[bytes] = []

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        self._around.append(self._cutter.through(_ENTRIES, _MOST_AROUND))
        for part in self._cutter.parts(_BETWEEN, _LAST, len(b"\n    }")):
            yield from _decoder().decode(b"[" + part + b"]")

    def frame(self) -> bytes:
        """Return the record without its entries, which were gone through."""
        return b"".join((*self._around, _END, self._cutter.rest(_MOST_AROUND)))


def read_apart(body: bytes) -> tuple[bytes, Iterator[Entry]] | None:
    """Return a record without its entries, and those; None if it is not as `written` writes it.

    Going through the entries raises one of `records.UNREADABLE` where that turns out later.
    """
    begin = body.find(_ENTRIES) + len(_ENTRIES)
    end = body.find(_END, begin) if begin >= len(_ENTRIES) else -1
    if end < 0:
        return None
    return body[:begin] + body[end:], _read_entries(body, begin, end)


def _read_entries(body: bytes, begin: int, end: int) -> Iterator[Entry]:
    while begin < end:
        cut = body.find(_BETWEEN, begin + _READ_AT_ONCE, end)
        stop = end if cut < 0 else cut + len(_BETWEEN) - 2
        yield from _decoder().decode(b"[" + body[begin:stop] + b"]")
        begin = stop + 1


@functools.cache
def _decoder() -> msgspec.json.Decoder[list[Entry]]:
    return msgspec.json.Decoder(ready(list[Entry]))
