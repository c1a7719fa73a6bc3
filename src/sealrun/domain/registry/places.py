"""Where the contents of a run are stored: of a million in packs, some fifty bytes each instead of five hundred."""

from __future__ import annotations

import heapq
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import msgspec

from sealrun.domain.address import Digest, Key
from sealrun.domain.registry.columns import PackColumns
from sealrun.domain.runs.contents import DigestIndex
from sealrun.domain.runs.entries import DIGEST_BYTES, hex_digests


class Stored(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where `size` bytes with one digest are: the whole of `key`, or with an `offset` a part of that pack."""

    key: Key
    size: int
    offset: int | None = None


PlaceRow = tuple[bytes, Key, int, int | None]
"""A content and its place: digest, key, size, and where in a pack."""


class PackPlaces(msgspec.Struct, frozen=True):
    """Contents that lie in one pack, and where in it."""

    key: Key
    columns: PackColumns

    @classmethod
    def of(cls, key: Key, members: Mapping[Digest, tuple[int, int]]) -> PackPlaces | None:
        """Return members, given as digest: (offset, size); None if they say what cannot be true."""
        columns = PackColumns.of(members)
        return None if columns is None else cls(key, columns)

    @property
    def digests(self) -> bytes:
        """Every digest, one behind the other."""
        return self.columns.digests

    @property
    def sizes(self) -> array[int]:
        """Every size."""
        return self.columns.sizes

    def __len__(self) -> int:
        return len(self.columns)

    def digest(self, number: int) -> bytes:
        """Return one digest."""
        return self.columns.digest(number)

    def place(self, number: int) -> Stored:
        """Where one of them is."""
        offset, size = self.columns.range(number)
        return Stored(self.key, size, offset)

    def rows(self) -> Iterator[tuple[Digest, int, int]]:
        """Yield digest, offset and size of each."""
        return _rows_of(self.columns)

    def ordered(self) -> Iterator[tuple[Digest, int, int]]:
        """Yield the same in order of the digests."""
        return _rows_of(self.columns.in_order())

    def ordered_rows(self) -> Iterator[PlaceRow]:
        """Yield the same with their key, digests as bytes."""
        key = self.key
        for digests, offsets, sizes in self.columns.in_order().blocks():
            for at, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
                yield digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES], key, size, offset


def _rows_of(columns: PackColumns) -> Iterator[tuple[Digest, int, int]]:
    for digests, offsets, sizes in columns.blocks():
        yield from zip(hex_digests(digests), offsets, sizes, strict=True)


class Columns(Protocol):
    """Contents whose places are kept together."""

    @property
    def digests(self) -> bytes:
        """Every digest, one behind the other."""
        ...

    def __len__(self) -> int:
        """How many contents there are."""
        ...

    def digest(self, number: int) -> bytes:
        """Return one digest."""
        ...

    def place(self, number: int) -> Stored:
        """Where one of them is."""
        ...


class InColumns(Mapping[Digest, Stored]):
    """Places that are kept in columns. Never change."""

    def __init__(self, held: Sequence[Columns]) -> None:
        """Hold columns, whose contents are distinct."""
        self._held = held
        self._starts = list(accumulate(map(len, held), initial=0))
        self._rows = self._starts.pop()
        """How many contents are in columns."""

    def _find(self, digest: Digest) -> Stored | None:
        number = self._number(digest)
        if number < 0:
            return None
        columns, row = self._at(number)
        return columns.place(row)

    def _number(self, digest: Digest) -> int:
        return self._index.find(bytes.fromhex(digest)) if self._held else -1

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self._number(Digest(digest)) >= 0

    def forget(self) -> None:
        """Drop what was made to find a content, until one is looked for again. Harmless at any time."""
        self.__dict__.pop("_index", None)

    @cached_property
    def _index(self) -> DigestIndex:
        return DigestIndex((each.digests for each in self._held), self._rows, self._raw)

    def _at(self, number: int) -> tuple[Columns, int]:
        at = bisect_right(self._starts, number) - 1
        return self._held[at], number - self._starts[at]

    def _raw(self, number: int) -> bytes:
        columns, row = self._at(number)
        return columns.digest(row)

    def items(self) -> ItemsView[Digest, Stored]:
        """Return every content with its place."""
        return _Items(self)

    def values(self) -> ValuesView[Stored]:
        """Return every place."""
        return _Values(self)

    @abstractmethod
    def ordered_rows(self) -> Iterator[PlaceRow]:
        """Yield every content with its place, in order of the digests."""

    @abstractmethod
    def _pairs(self) -> Iterator[tuple[Digest, Stored]]: ...


class Places(InColumns):
    """Where contents are, those in packs in columns. Each is in one place. Never changes."""

    def __init__(self, others: Mapping[Digest, Stored], packs: Iterable[PackPlaces]) -> None:
        """Hold `packs`, whose contents are distinct, and `others`, which are none of those."""
        self.others = others
        self.packs = tuple(packs)
        super().__init__(self.packs)

    def __len__(self) -> int:
        return self._rows + len(self.others)

    def __iter__(self) -> Iterator[Digest]:
        yield from self.others
        for pack in self.packs:
            for digest, _, _ in pack.rows():
                yield digest

    def __getitem__(self, digest: Digest) -> Stored:
        stored = self.others.get(digest) or self._find(digest)
        if stored is None:
            raise KeyError(digest)
        return stored

    def __contains__(self, digest: object) -> bool:
        return digest in self.others or super().__contains__(digest)

    def forget(self) -> None:
        """Drop what was made to find a content; see above."""
        super().forget()
        if isinstance(self.others, InColumns):
            self.others.forget()

    def ordered_rows(self) -> Iterator[PlaceRow]:
        """Yield every content with its place, in order of the digests."""
        return heapq.merge(in_order(self.others), *(pack.ordered_rows() for pack in self.packs))

    def __reduce__(self) -> tuple[type[Places], tuple[Mapping[Digest, Stored], tuple[PackPlaces, ...]]]:
        return Places, (self.others, self.packs)

    def _pairs(self) -> Iterator[tuple[Digest, Stored]]:
        yield from self.others.items()
        for pack in self.packs:
            for digest, offset, size in pack.rows():
                yield digest, Stored(pack.key, size, offset)


class _Items(ItemsView[Digest, Stored]):
    _mapping: InColumns

    def __iter__(self) -> Iterator[tuple[Digest, Stored]]:
        return self._mapping._pairs()  # noqa: SLF001 - the view of this very class


class _Values(ValuesView[Stored]):
    _mapping: InColumns

    def __iter__(self) -> Iterator[Stored]:
        return (stored for _, stored in self._mapping._pairs())  # noqa: SLF001 - the view of this very class


def _rows(places: Mapping[Digest, Stored]) -> list[PlaceRow]:
    return sorted((bytes.fromhex(digest), known.key, known.size, known.offset) for digest, known in places.items())


def in_order(places: Mapping[Digest, Stored]) -> Iterator[PlaceRow]:
    """Yield every content with its place, in order of the digests."""
    return places.ordered_rows() if isinstance(places, InColumns) else iter(_rows(places))


def all_sizes(places: Mapping[Digest, Stored]) -> set[int]:
    """Return every size that there is among the contents."""
    if not isinstance(places, Places):
        return {stored.size for stored in places.values()}
    return {stored.size for stored in places.others.values()}.union(*(pack.sizes for pack in places.packs))


def per_key(places: Mapping[Digest, Stored]) -> Iterator[tuple[Key, int, int]]:
    """Yield each key with the number of contents there and of their bytes."""
    if isinstance(places, Places):
        yield from ((pack.key, len(pack), sum(pack.sizes)) for pack in places.packs)
        places = places.others
    if isinstance(places, InColumns):
        yield from ((stored.key, 1, stored.size) for stored in places.values())
        return
    counts: dict[Key, list[int]] = {}
    for stored in places.values():
        count = counts.setdefault(stored.key, [0, 0])
        count[0] += 1
        count[1] += stored.size
    yield from ((key, count, size) for key, (count, size) in counts.items())


def whole_objects(places: Mapping[Digest, Stored]) -> Mapping[Digest, Stored]:
    """Return the places that are objects of their own, and no parts of packs."""
    others = places.others if isinstance(places, Places) else places
    if isinstance(others, InColumns):
        return others
    return {digest: stored for digest, stored in others.items() if stored.offset is None}


def pack_keys(places: Mapping[Digest, Stored]) -> set[Key]:
    """Return the keys of the packs that contents are in."""
    keys = {pack.key for pack in places.packs} if isinstance(places, Places) else set[Key]()
    others = places.others if isinstance(places, Places) else places
    if isinstance(others, InColumns):
        return keys
    return keys | {stored.key for stored in others.values() if stored.offset is not None}


def used_keys(places: Mapping[Digest, Stored]) -> Iterator[Key]:
    """Yield the keys of all objects and packs that contents are in; one of a pack more than once if need be."""
    if isinstance(places, Places):
        yield from dict.fromkeys(pack.key for pack in places.packs)
        places = places.others
    keys = (stored.key for stored in places.values())
    yield from keys if isinstance(places, InColumns) else dict.fromkeys(keys)
