"""Contents that are objects of their own, in columns: their keys follow from their digests and who uploaded them."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from itertools import chain

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key, object_key, parse_object_key
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.registry.columns import Cupboard, ObjectColumns, PackColumns
from sealrun.domain.registry.places import InColumns, PackPlaces, PlaceRow, Places, Stored
from sealrun.domain.runs.contents import FEW
from sealrun.domain.runs.entries import DIGEST_BYTES, hex_digests

_AT_ONCE = 20_000
"""So many are put in order together, and read as a whole for that."""


class Uploaded(msgspec.Struct, frozen=True):
    """Objects that one attempt uploaded."""

    creator: AttemptId
    columns: ObjectColumns

    @property
    def digests(self) -> bytes:
        """Every digest, one behind the other."""
        return self.columns.digests

    def place(self, number: int) -> Stored:
        """Where one of them is."""
        return Stored(object_key(Digest(self.digest(number).hex()), self.creator), self.columns.size(number))

    def digest(self, number: int) -> bytes:
        """Which one it is."""
        return self.columns.digest(number)

    def __len__(self) -> int:
        return len(self.columns)

    def rows(self) -> Iterator[tuple[Digest, Stored]]:
        """Yield each with its place."""
        return self._rows_of(self.columns)

    def ordered_rows(self) -> Iterator[PlaceRow]:
        """Yield the same in order of the digests, which are bytes."""
        for digest, stored in self._rows_of(self.columns.in_order()):
            yield bytes.fromhex(digest), stored.key, stored.size, None

    def _rows_of(self, columns: ObjectColumns) -> Iterator[tuple[Digest, Stored]]:
        for digests, sizes in columns.blocks():
            for digest, size in zip(hex_digests(digests), sizes, strict=True):
                yield digest, Stored(object_key(digest, self.creator), size)


class ObjectPlaces(InColumns):
    """Where contents are that are objects of their own; each is in one place. Never changes."""

    def __init__(self, columns: Iterable[Uploaded]) -> None:
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
        return heapq.merge(*(each.ordered_rows() for each in self.columns))

    def __reduce__(self) -> tuple[type[ObjectPlaces], tuple[tuple[Uploaded, ...]]]:
        return ObjectPlaces, (self.columns,)

    def _pairs(self) -> Iterator[tuple[Digest, Stored]]:
        for each in self.columns:
            yield from each.rows()


class Gathered:
    """Places that come one after the other, and become columns. Belongs to one thread."""

    def __init__(self, cupboard: Cupboard | None = None) -> None:
        """None came yet. Columns go into `cupboard`, which may hold others before them."""
        self._cupboard = cupboard or Cupboard()
        self._others: dict[Digest, Stored] = {}
        self._objects: dict[AttemptId, _Objects] = {}
        self._packs: dict[Key, _Rows] = {}
        self._creator = _Creators()

    def add(self, digest: Digest, stored: Stored) -> None:
        """Take a content, which did not come before."""
        if not self.take(digest, stored):
            self._others[digest] = stored

    def take(self, digest: Digest, stored: Stored) -> bool:
        """Take a content if it fits into columns, and tell so. There it may be more than once, in several places."""
        try:
            raw = bytes.fromhex(digest)
        except ValueError:
            return False
        if len(raw) != DIGEST_BYTES or raw.hex() != digest or not 0 <= stored.size < 1 << 63:
            return False
        if stored.offset is not None:
            if not 0 <= stored.offset < 1 << 63:
                return False
            self._packs.setdefault(stored.key, _Rows(2)).add(raw, stored.offset, stored.size)
            return True
        creator = self._creator.of(digest, stored.key)
        if creator is None:
            return False
        if creator not in self._objects:
            self._objects[creator] = _Objects(creator, self._cupboard)
        self._objects[creator].add(raw, stored.size)
        return True

    def places(self) -> Mapping[Digest, Stored]:
        """Return all that came, and forget it."""
        packs = list[PackPlaces]()
        while self._packs:  # one after the other, so that nothing is there twice
            key = next(iter(self._packs))
            members = self._packs.pop(key)
            packs.append(PackPlaces(key, self._cupboard.keep(PackColumns(members.digests(), *members.numbers))))
        objects, self._objects = self._objects, {}
        columns = [some for each in objects.values() for some in each.columns()]
        strange, self._others = self._others, {}
        if columns and strange:  # strange keys, which are few
            others: Mapping[Digest, Stored] = {**dict(ObjectPlaces(columns)), **strange}
        else:
            others = ObjectPlaces(columns) if columns else strange
        return Places(others, packs) if packs else others


class _Rows:
    """Digests, and `count` numbers of each: in four bytes as long as they fit."""

    def __init__(self, count: int) -> None:
        self._digests = BytesIO()
        self.numbers = [array("I") for _ in range(count)]

    def add(self, raw: bytes, *numbers: int) -> None:
        self._digests.write(raw)
        for at, number in enumerate(numbers):
            try:
                self.numbers[at].append(number)
            except OverflowError:
                self.numbers[at] = array("Q", self.numbers[at])
                self.numbers[at].append(number)

    def digests(self) -> bytes:
        """Return all digests; what was written is not copied for that, as long as nothing more is."""
        return self._digests.getvalue()


class _Objects:
    """Objects of one creator, which become columns some at a time."""

    def __init__(self, creator: AttemptId, cupboard: Cupboard) -> None:
        self._creator = creator
        self._cupboard = cupboard
        self._rows = _Rows(1)
        self._columns: list[Uploaded] = []

    def add(self, raw: bytes, size: int) -> None:
        self._rows.add(raw, size)
        if len(self._rows.numbers[0]) == _AT_ONCE:
            self._cut()

    def columns(self) -> list[Uploaded]:
        """Return all that came."""
        self._cut()
        return self._columns

    def _cut(self) -> None:
        rows, self._rows = self._rows, _Rows(1)
        (sizes,) = rows.numbers
        if sizes:
            columns = self._cupboard.keep(ObjectColumns(rows.digests(), sizes))
            self._columns.append(Uploaded(self._creator, columns))


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
    objects = _Objects(creator, Cupboard())
    for digest, size in contents:
        objects.add(bytes.fromhex(digest), size)
    places = ObjectPlaces(objects.columns())
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
