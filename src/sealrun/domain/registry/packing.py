"""Packs: many small files in one stored ZIP, whose members are named by their sha256.

``unzip`` and Python's zipfile read them; sealrun reads a member as the range of bytes that the refs name. The bytes of
a pack are a function of its members and their order, so its key, made of its own sha256, is one as well. Written by
hand because every member costs time: zipfile takes some sixty microseconds for each, which is half of what a run of
many small files takes altogether. The layout is that of APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, overload

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.registry.columns import PackColumns
from sealrun.domain.runs.entries import hex_digests

T = TypeVar("T")

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_NAME = 64
LOCAL_SIZE = _LOCAL.size + _NAME
"""Bytes in front of each member."""
_OVERHEAD = LOCAL_SIZE + _CENTRAL.size + _NAME
_VERSION = 10
_MADE_BY_UNIX = 0x0300 | _VERSION
_EPOCH = 0x21
"""The first of January 1980, the earliest date of a ZIP: times never enter an identity."""
_MODE = 0o100444 << 16
_MOST_MEMBERS = 60_000
"""Below 65,536, past which another kind of directory would be needed."""
_WRITTEN_AT_ONCE = 1 << 20


LEAST_LINKED = 64
"""Where run folders show files by links, fewer small files than this stay objects, which can be linked to."""


class PackOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is packed. Files smaller than `below` bytes, into packs of about `size` bytes, if there are `least` of them.

    Fewer stay objects of their own: in a directory those are shown in run folders by links, which members are not.
    """

    below: int = 1 << 20
    size: int = 32 << 20
    least: int = 2

    def check(self) -> PackOptions:
        """Return these options, or raise `ConfigurationError` if no good pack can be made with them."""
        if not 1 <= self.below <= 64 << 20:
            msg = f"packs.below must be between 1 byte and 64 MiB, not {self.below} bytes"
            raise ConfigurationError(msg)
        if not 1 << 20 <= self.size <= 1 << 30:
            msg = f"packs.size must be between 1 MiB and 1 GiB, not {self.size} bytes"
            raise ConfigurationError(msg)
        if self.least < 1:
            msg = f"packs.least must be 1 or more, not {self.least}"
            raise ConfigurationError(msg)
        return self


class Member(msgspec.Struct, frozen=True, gc=False):
    """One file in a pack: `size` bytes with `digest` that begin at `offset` of the pack."""

    digest: Digest
    offset: int
    size: int


class Members(Sequence[Member]):
    """Members of one pack in columns, since runs have millions. Never changes."""

    def __init__(self, columns: PackColumns) -> None:
        """Take the columns as they are."""
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Member]:
        columns = self.columns
        return map(Member, hex_digests(columns.digests), columns.offsets, columns.sizes)

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Member]: ...

    def __getitem__(self, index: int | slice) -> Member | Sequence[Member]:
        if isinstance(index, slice):
            return tuple(self)[index]
        at = range(len(self))[index]
        return Member(Digest(self.columns.digest(at).hex()), *self.columns.range(at))

    def __eq__(self, other: object) -> bool:
        """Compare the members."""
        return isinstance(other, Members) and self.columns == other.columns

    def __hash__(self) -> int:
        return hash(self.columns)


class PackFacts(msgspec.Struct, frozen=True):
    """A pack that was written: the sha256 and the number of its bytes, and what is in it."""

    digest: Digest
    size: int
    members: Members


def plan_packs(files: Iterable[tuple[T, int]], options: PackOptions) -> list[list[T]]:
    """Share files, given with their sizes, out over packs of about equal size; each pack takes neighbours.

    The answer depends on nothing but the arguments, so an attempt that is resumed makes the same packs again.
    """
    small: list[T] = []
    sizes = array("q")
    for file, size in files:
        if size < options.below:
            small.append(file)
            sizes.append(size)
    return [small[begin:end] for begin, end in plan_shares(sizes, options)]


def plan_shares(sizes: Sequence[int], options: PackOptions) -> Iterator[tuple[int, int]]:
    """Share small files out over packs like `plan_packs`, by their sizes alone: first and last + 1 of each pack."""
    if len(sizes) < options.least:
        return
    weight = sum(sizes) + len(sizes) * _OVERHEAD
    count = max(-(-weight // options.size), -(-len(sizes) // _MOST_MEMBERS))
    fair = -(-weight // count)
    begin = filled = 0
    for at, size in enumerate(sizes):
        filled += size + _OVERHEAD
        if filled >= fair or at + 1 - begin == _MOST_MEMBERS:
            yield begin, at + 1
            begin, filled = at + 1, 0
    if begin < len(sizes):
        yield begin, len(sizes)


class PackOutput(Protocol):
    """Takes the bytes of one pack, front to back."""

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        ...

    def digest(self) -> Digest:
        """Return the sha256 of all pieces, once each is where it goes."""
        ...


class Digesting:
    """`PackOutput` that digests each piece and writes it at once."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Write with `write`."""
        self._write = write
        self._hasher = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hasher.update(piece)
        self._write(piece)

    def digest(self) -> Digest:
        """Return the sha256 of all pieces."""
        return Digest(self._hasher.hexdigest())


class PackWriter:
    """Writes one pack, front to back. Belongs to one thread."""

    def __init__(self, output: PackOutput) -> None:
        """Write to `output`, in pieces of about a MiB."""
        self._output = output
        self._waiting: list[bytes] = []
        self._size = self._written = 0
        self._digests = bytearray()
        self._offsets, self._sizes, self._crcs = array("I"), array("I"), array("I")

    @property
    def members(self) -> int:
        """How many members it has so far."""
        return len(self._sizes)

    def add(self, digest: Digest, body: bytes) -> None:
        """Append a member whose bytes are `body`, with that `digest`."""
        crc, size = zlib.crc32(body), len(body)
        header = _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _EPOCH, crc, size, size, _NAME, 0)
        self._digests += bytes.fromhex(digest)
        self._offsets.append(self._size + LOCAL_SIZE)
        self._sizes.append(size)
        self._crcs.append(crc)
        self._append(LOCAL_SIZE + size, header, digest.encode(), body)

    def finish(self) -> PackFacts:
        """Write the directory; return what was written."""
        columns, begin = PackColumns(bytes(self._digests), self._offsets, self._sizes), self._size
        for piece in _directory(columns, self._crcs):
            self._append(len(piece), piece)
        count, size = len(columns), self._size - begin
        self._append(_END.size, _END.pack(b"PK\x05\x06", 0, 0, count, count, size, begin, 0))
        self._flush()
        return PackFacts(self._output.digest(), self._size, Members(columns))

    def _append(self, size: int, *pieces: bytes) -> None:
        self._waiting += pieces
        self._size += size
        if self._size - self._written >= _WRITTEN_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            chunk = b"".join(self._waiting)
            self._waiting, self._written = [], self._size
            self._output.write(chunk)


def _directory(members: PackColumns, crcs: array[int]) -> Iterator[bytes]:
    """Yield what the directory says of the members, of some at a time."""
    before = (b"PK\x01\x02", _MADE_BY_UNIX, _VERSION, 0, 0, 0, _EPOCH)
    begin = 0
    for digests, offsets, sizes in members.blocks():
        said: list[bytes] = []
        rows = zip(hex_digests(digests), offsets, sizes, crcs[begin : begin + len(sizes)], strict=True)
        for name, offset, size, crc in rows:
            said.append(_CENTRAL.pack(*before, crc, size, size, _NAME, 0, 0, 0, 0, _MODE, offset - LOCAL_SIZE))
            said.append(name.encode())
        yield b"".join(said)
        begin += len(sizes)


def spans(members: Sequence[tuple[int, int]], *, gap: int, most: int) -> list[tuple[int, int]]:
    """Join ranges (offset, size), sorted by offset, into few that are read at once: of at most `most` bytes each.

    Ranges further than `gap` bytes apart are not joined. Returns (first, last + 1) as positions in `members`.
    """
    found: list[tuple[int, int]] = []
    begin = 0
    for at in range(1, len(members) + 1):
        if at < len(members):
            end = members[at - 1][0] + members[at - 1][1]
            offset, size = members[at]
            if offset - end <= gap and offset + size - members[begin][0] <= most:
                continue
        found.append((begin, at))
        begin = at
    return found if members else []
