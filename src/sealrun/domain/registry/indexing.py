"""The index of an experiment: one row per sealed attempt. Derived; every row can be rebuilt from the records."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, islice
from typing import ClassVar, overload

import msgspec

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.pieces import Pieces
from sealrun.domain.ready import ready
from sealrun.domain.records import UNREADABLE, Record, json_line
from sealrun.domain.runs.run import Envelope
from sealrun.domain.shelves import Blocks

_IN_A_BLOCK = 250

_Order = tuple[str, str, str]


class Row(Record, frozen=True, kw_only=True):
    """What a listing shows of a run."""

    KIND: ClassVar[str] = "row"
    run_id: RunId
    experiment: str
    attempt: AttemptId
    name: str
    status: str
    finished_at: str
    sealed_at: str
    files: int
    size: int
    tree_digest: Digest
    urn: str
    root_sha256: Digest
    tags: tuple[str, ...] = ()
    supersedes: str | None = None

    @property
    def order(self) -> _Order:
        """Rows are listed oldest first."""
        return (self.finished_at, self.run_id, self.attempt)

    def line(self) -> bytes:
        """Return the row as a line of ``manifest.jsonl``."""
        return json_line(self.to_json())

    @classmethod
    def of(cls, envelope: Envelope, attempt: AttemptId, root: Digest, sealed_at: str) -> Row:
        """Build the row of a sealed run."""
        return cls(
            run_id=envelope.run_id,
            experiment=envelope.experiment,
            attempt=attempt,
            name=envelope.name,
            status=envelope.status,
            finished_at=envelope.finished_at,
            sealed_at=sealed_at,
            files=envelope.files,
            size=envelope.size,
            tree_digest=envelope.tree_digest,
            urn=envelope.urn,
            root_sha256=root,
            tags=envelope.tags,
            supersedes=envelope.supersedes,
        )


class Ordering(msgspec.Struct, frozen=True, gc=False):
    """Of a row what orders rows and tells whose it is; a line has more, which is passed over."""

    run_id: RunId
    attempt: AttemptId
    finished_at: str

    @property
    def order(self) -> _Order:
        """As `Row.order`."""
        return (self.finished_at, self.run_id, self.attempt)


_ordering = msgspec.json.Decoder(ready(Ordering))


class Dropped(Record, frozen=True, kw_only=True):
    """Lies beside the pending rows: the attempt was retired, so its row is left out, wherever it stands.

    `by` is the state folder that wrote it; who retired the run and why is in the attempt's ``retired.json``.
    """

    KIND: ClassVar[str] = "dropped"
    experiment: str
    run_id: RunId
    attempt: AttemptId
    retired_at: str
    by: str


class _Lines(msgspec.Struct, frozen=True):
    """Some rows as lines: a block that a shelf takes."""

    lines: tuple[bytes, ...]

    @property
    def rows_in(self) -> int:
        """How many they are."""
        return len(self.lines)

    def pack(self) -> bytes:
        """Return them as a base has them."""
        return b"".join(self.lines)

    @classmethod
    def unpack(cls, body: bytes) -> _Lines:
        """Return the block of such bytes."""
        return cls(tuple(lines_of((body,))))


class Rows(Sequence[Row]):
    """Rows in their order, as the lines of a base, each decoded when it is asked for.

    Of very many all but the first few thousand wait on a shelf. Lines come out as they came in. A line that is no row
    raises `UnsupportedFormatError`, which names `where` they are from, when it is asked for.
    """

    def __init__(self, lines: Iterable[bytes] = (), where: str = "an index") -> None:
        """Hold `lines`, each with its end."""
        self.where = where
        """What holds the lines, for messages."""
        self._blocks: Blocks[_Lines] = Blocks(_in_blocks(lines))

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Hold `rows`, in this order."""
        return cls(row.line() for row in rows)

    def __len__(self) -> int:
        return self._blocks.rows

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        block, number = divmod(range(len(self))[index], _IN_A_BLOCK)
        return row_of_line(self._blocks[block].lines[number], self.where)

    def __iter__(self) -> Iterator[Row]:
        return (row_of_line(line, self.where) for line in self.lines())

    def __eq__(self, other: object) -> bool:
        """Compare the rows, also with those of a list."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # as a list has none

    def lines(self) -> Iterator[bytes]:
        """Yield the rows as lines."""
        return chain.from_iterable(block.lines for block in self._blocks)

    def sound_lines(self) -> Iterator[bytes]:
        """Do the same, and raise the error of a line that is no row."""
        return (line for line, _ in zip(self.lines(), self, strict=True))

    def with_lines(self) -> Iterator[tuple[bytes, Row | Ordering]]:
        """Yield lines beside what orders rows, of which nothing else has to be right."""
        return ((line, ordering_of_line(line, self.where)) for line in self.lines())

    def base(self) -> Pieces:
        """Return the base that has these rows, without putting it together."""
        return Pieces(lambda: (block.pack() for block in self._blocks))


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a base, cut where lines end; the last one gets its end if it lacks it."""
    rest = b""
    for piece in pieces:
        lines, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            yield lines + end
    if rest:
        yield rest + b"\n"


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a base whose bytes come in pieces, each with its end."""
    for lines in whole_lines(pieces):
        yield from (line + b"\n" for line in lines[:-1].split(b"\n"))


def row_of_line(line: bytes, where: str) -> Row:
    """Decode a line of a base; `UnsupportedFormatError` names `where` it is from, and what to do."""
    try:
        return Row.decode(line, where)
    except UnsupportedFormatError:
        _require_json(line, where)
        raise


def ordering_of_line(line: bytes, where: str) -> Row | Ordering:
    """Decode of a line what orders it; the same error if it cannot be."""
    try:
        return _ordering.decode(line)
    except UNREADABLE:
        return row_of_line(line, where)


def merge_rows(base: Rows, pending: Iterable[Row], dropped: Container[AttemptId] = frozenset()) -> Rows:
    """Union by attempt without the `dropped`, oldest first: what the next base holds, and what a reader sees.

    A base is in this order, so that it is gone through once; what is pending is held. So is a base that somebody
    wrote in another order.
    """
    new = {row.attempt: row for row in pending if row.attempt not in dropped}

    def standing() -> Iterator[tuple[_Order, bytes]]:
        last: _Order = ("", "", "")
        for line, row in base.with_lines():
            if row.order < last:
                raise _DisorderError
            if row.order != last and row.attempt not in new and row.attempt not in dropped:
                yield row.order, line
            last = row.order

    added = sorted((row.order, row.line()) for row in new.values())
    try:
        return Rows((line for _, line in merge(standing(), added)), base.where)
    except _DisorderError:
        in_order = sorted((row.order, line) for line, row in base.with_lines())
        return merge_rows(Rows((line for _, line in in_order), base.where), new.values(), dropped)


class _DisorderError(Exception):
    """A row stands behind one that is newer."""


def runs_of(rows: Rows) -> Rows:
    """One row per run: where a run was sealed by several attempts, the last of them.

    Those lie side by side: of what orders rows they differ in the attempt alone.
    """

    def newest() -> Iterator[bytes]:
        last: tuple[RunId, bytes] | None = None
        for line, row in rows.with_lines():
            if last is not None and last[0] != row.run_id:
                yield last[1]
            last = row.run_id, line
        if last is not None:
            yield last[1]

    return Rows(newest(), rows.where)


def _in_blocks(lines: Iterable[bytes]) -> Iterator[_Lines]:
    rest = iter(lines)
    while block := tuple(islice(rest, _IN_A_BLOCK)):
        yield _Lines(block)


def _require_json(line: bytes, where: str) -> None:
    try:
        json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{where}: a line is not JSON ({error}); rebuild the index from runs/ and attempts/"
        raise UnsupportedFormatError(msg) from error
