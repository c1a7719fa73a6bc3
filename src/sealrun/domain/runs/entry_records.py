"""The list of entries inside ``manifest.json``, written and read some at a time: of a million, never all as objects."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sealrun.domain.cutting import Cutter
from sealrun.domain.ready import ready
from sealrun.domain.records import canonical_json_without_floats
from sealrun.domain.runs.entries import Entry, rows_of

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

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Begin with `pieces`."""
        self._cutter = Cutter(pieces)
        self._around: list[bytes] = []

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        self._around.append(self._cutter.through(_ENTRIES, _MOST_AROUND))
        for part in self._cutter.parts(_BETWEEN, _LAST, len(b"\n    }")):
            yield from _decoder().decode(b"[" + part + b"]")

    def frame(self) -> bytes:
        """Return the record without its entries, which were gone through."""
        return b"".join((*self._around, _END, self._cutter.rest(_MOST_AROUND)))


def cut(body: bytes) -> Iterator[bytes]:
    """Yield a record that is there as a whole some bytes at a time."""
    return (body[at : at + _READ_AT_ONCE] for at in range(0, len(body), _READ_AT_ONCE))


@functools.cache
def _decoder() -> msgspec.json.Decoder[list[Entry]]:
    return msgspec.json.Decoder(ready(list[Entry]))
