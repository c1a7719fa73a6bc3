"""Contents that are objects of their own, in columns: their keys follow from their digests and who uploaded them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, object_key, parse_object_key
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.registry.columns import Cupboard, PackColumns
from sealrun.domain.registry.places import InColumns, PackPlaces, PlaceRow, Places, Stored
from sealrun.domain.runs.contents import FEW
from sealrun.domain.runs.entries import DIGEST_BYTES, ROWS, hex_digests


class ObjectColumns(msgspec.Struct, frozen=True):
    """Objects that one attempt uploaded: digests one behind the other, and sizes."""

    creator: AttemptId
    digests: bytes
    sizes: array[int]

    def place(self, number: int) -> Stored:
        """Where one of them is."""
        return Stored(object_key(Digest(self.digest(number).hex()), self.creator), self.sizes[number])

    def digest(self, number: int) -> bytes:
        """Which one it is."""
        return self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]

    def __len__(self) -> int:
        return len(self.sizes)

    def rows(self) -> Iterator[tuple[Digest, Stored]]:
        """Yield each with its place."""
        for begin in range(0, len(self.sizes), ROWS):
            some = hex_digests(self.digests[begin * DIGEST_BYTES : (begin + ROWS) * DIGEST_BYTES])
            for digest, size in zip(some, self.sizes[begin : begin + ROWS], strict=True):
                yield digest, Stored(object_key(digest, self.creator), size)


class ObjectPlaces(InColumns):
    """Where contents are that are objects of their own; each is in one place. Never changes."""

    def __init__(self, columns: Iterable[ObjectColumns]) -> None:
        """Hold `columns`, whose contents are distinct."""
        self.columns = tuple(columns)
        super().__init__(self.columns)

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[Digest]:
        return (digest for digest, _ in self._pairs())

    def __getitem__(self, digest: Digest) -> Stored:
        stored = self._find(digest)
        if stored is None:
            raise KeyError(digest)
        return stored

    def ordered_rows(self) -> Iterator[PlaceRow]:
        """Yield every content with its place, in order of the digests."""
        heaps = [array("I") for _ in range(256)]  # four bytes each: sorting all of them at once takes a hundred
        begin = 0
        for each in self.columns:
            for row, first in enumerate(each.digests[::DIGEST_BYTES]):
                heaps[first].append(begin + row)
            begin += len(each.sizes)
        for heap in heaps:
            for number in sorted(heap, key=self._raw):
                columns, row = self._at(number)
                stored = columns.place(row)
                yield self._raw(number), stored.key, stored.size, None

    def __reduce__(self) -> tuple[type[ObjectPlaces], tuple[tuple[ObjectColumns, ...]]]:
        return ObjectPlaces, (self.columns,)

    def _pairs(self) -> Iterator[tuple[Digest, Stored]]:
        for each in self.columns:
            yield from each.rows()


class Gathered:
    """Places that come one after the other, and become columns. Belongs to one thread."""

    def __init__(self) -> None:
        """None came yet."""
        self._others: dict[Digest, Stored] = {}
        self._objects: dict[AttemptId, _Rows] = {}
        self._packs: dict[Key, _Rows] = {}
        self._creator = _Creators()

    def add(self, digest: Digest, stored: Stored) -> None:
        """Take a content, which did not come before."""
        try:
            raw = bytes.fromhex(digest)
        except ValueError:
            raw = b""
        if len(raw) != DIGEST_BYTES or raw.hex() != digest or not 0 <= stored.size < 1 << 63:
            self._others[digest] = stored
        elif stored.offset is not None and 0 <= stored.offset < 1 << 63:
            members = self._packs.setdefault(stored.key, _Rows(2))
            members.add(raw, stored.offset, stored.size)
        elif stored.offset is None and (creator := self._creator.of(digest, stored.key)) is not None:
            self._objects.setdefault(creator, _Rows(1)).add(raw, stored.size)
        else:
            self._others[digest] = stored

    def places(self) -> Mapping[Digest, Stored]:
        """Return all that came, and forget it."""
        packs, cupboard = list[PackPlaces](), Cupboard()
        while self._packs:  # one after the other, so that nothing is there twice
            key = next(iter(self._packs))
            members = self._packs.pop(key)
            packs.append(PackPlaces(key, cupboard.keep(PackColumns(bytes(members.digests), *members.numbers))))
        columns: list[ObjectColumns] = []
        while self._objects:
            creator = next(iter(self._objects))
            rows = self._objects.pop(creator)
            columns.append(ObjectColumns(creator, bytes(rows.digests), *rows.numbers))
        if columns and self._others:  # strange keys, which are few
            others: Mapping[Digest, Stored] = {**dict(ObjectPlaces(columns)), **self._others}
        else:
            others = ObjectPlaces(columns) if columns else self._others
        return Places(others, packs) if packs else others


class _Rows:
    """Digests, and `count` numbers of each: in four bytes as long as they fit."""

    def __init__(self, count: int) -> None:
        self.digests = bytearray()
        self.numbers = [array("I") for _ in range(count)]

    def add(self, raw: bytes, *numbers: int) -> None:
        self.digests += raw
        for at, number in enumerate(numbers):
            try:
                self.numbers[at].append(number)
            except OverflowError:
                self.numbers[at] = array("Q", self.numbers[at])
                self.numbers[at].append(number)


class _Creators:
    """Tells who uploaded an object, if its key is what it should be. Neighbours mostly have one creator."""

    def __init__(self) -> None:
        self._last: AttemptId | None = None

    def of(self, digest: Digest, key: Key) -> AttemptId | None:
        if self._last is None or key != object_key(digest, self._last):
            try:
                name = parse_object_key(key)
            except UnsupportedFormatError:
                return None
            if object_key(digest, name.creator) != key:
                return None
            self._last = name.creator
        return self._last


def uploaded(creator: AttemptId, contents: Iterable[tuple[Digest, int]]) -> Mapping[Digest, Stored]:
    """Return the places of objects that one attempt uploaded, given with their sizes; of many in columns."""
    digests, sizes = bytearray(), array("q")
    for digest, size in contents:
        digests += bytes.fromhex(digest)
        sizes.append(size)
    places = ObjectPlaces([ObjectColumns(creator, bytes(digests), sizes)])
    return places if len(places) > FEW else dict(places)


def joined(some: Mapping[Digest, Stored], others: Mapping[Digest, Stored]) -> Mapping[Digest, Stored]:
    """Return the places of both; none is in `some` that is in `others`."""
    if not some:
        return others
    packs = [pack for places in (some, others) if isinstance(places, Places) for pack in places.packs]
    rests = [places.others if isinstance(places, Places) else places for places in (some, others)]
    if not any(isinstance(rest, ObjectPlaces) for rest in rests):
        rest: Mapping[Digest, Stored] = {**rests[0], **rests[1]}
        return Places(rest, packs) if packs else rest
    both = Gathered()
    for digest, stored in chain(*(rest.items() for rest in rests)):
        both.add(digest, stored)
    made = both.places()
    if isinstance(made, Places):  # members of packs that no columns had held
        packs, made = [*made.packs, *packs], made.others
    return Places(made, packs) if packs else made
