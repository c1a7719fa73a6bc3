"""Look at objects and members of packs, and read them again: each once, however many runs use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from threading import Lock
from typing import Literal

from sealrun.domain.address import Digest, Key
from sealrun.domain.errors import NotFoundError
from sealrun.domain.grouping import in_groups
from sealrun.domain.registry.places import PackPlaces, Places
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.damage import Damage, Kind, SeenKeys, Window
from sealrun.ports import Source, Store
from sealrun.services.access.members import SPAN, PackedSpan, Span, plan_packed, plan_spans, read_span
from sealrun.services.storage.streaming import Spare, stream
from sealrun.services.threads.fanning import fan_through

_CHUNK = 1 << 20
_WIDTH = 8
_AHEAD, _FEW_AT_ONCE = 2, 4
"""Pieces that wait of each object, while so few are read side by side: of more, one is enough to keep a line busy."""
_WORTH_THREADS = 1 << 20
_LOOKED_AT_ONCE = 12_288

Outside = Literal["look", "skip"]
Advance = Callable[[int], None]


class Unseen:
    """Tells what nobody has asked about yet, of what lies in a window or is not passed over outside of it."""

    def __init__(self, window: Window, outside: Outside) -> None:
        """With ``skip``, what lies outside of `window` is passed over."""
        self._passed = None if outside == "look" else window
        self.seen = SeenKeys()

    def objects(self, some: Iterable[tuple[Digest, Stored]]) -> list[tuple[Digest, Stored]]:
        """Return the new ones of some objects and members of packs, and remember them."""
        passed = self._passed
        wanted = [pair for pair in some if passed is None or passed.holds(pair[0])]
        return [wanted[at] for at in self.seen.add_all([_mark(stored) for _, stored in wanted])]

    def members(self, pack: PackPlaces) -> PackPlaces:
        """Return the new ones of some members of a pack, and remember them."""
        columns = pack.columns
        if self._passed is not None:
            inside = [row for row, (digest, _, _) in enumerate(pack.rows()) if self._passed.holds(digest)]
            columns = columns.among(inside)
        marks = list(zip(repeat(pack.key), columns.offsets, columns.sizes))  # what `_mark` says of each
        return PackPlaces(pack.key, columns.among(self.seen.add_all(marks)))

    def of(self, places: Mapping[Digest, Stored]) -> Iterator[list[tuple[Digest, Stored]] | PackPlaces]:
        """Yield what is new of a run, some thousands at a time: members of packs in columns, as they lie there."""
        packs, others = (places.packs, places.others) if isinstance(places, Places) else ((), places)
        for some in in_groups(others.items(), _LOOKED_AT_ONCE):
            yield self.objects(some)
        for pack in packs:
            rows = pack.columns.as_they_lie()  # the refs have them in another order; neighbours are read together
            for begin in range(0, len(rows), _LOOKED_AT_ONCE):
                columns = pack.columns.picked(rows[begin : begin + _LOOKED_AT_ONCE])
                yield self.members(PackPlaces(pack.key, columns))


def _mark(stored: Stored) -> Hashable:
    """What `SeenKeys` remembers of an object, or of a member of a pack."""
    return stored.key if stored.offset is None else (stored.key, stored.offset, stored.size)


class Rereader:
    """Checks objects of one registry. What is remembered of each is a few bytes; of a damaged one, its damage."""

    def __init__(
        self,
        store: Store,
        *,
        read_bytes: bool = True,
        window: Window | None = None,
        outside: Outside = "look",
        advance: Advance | None = None,
        alone: bool = True,
        spare: Spare | None = None,
    ) -> None:
        """With `read_bytes`, read those objects whose digest lies in `window`. `outside`: what becomes of the others.

        An object that is not read is only looked at (is it there, with the right size), or with ``skip`` passed over.
        If it is not `alone`, others keep processors and lines busy: then bytes near by, and long ones, are read one by
        one. Those others may share `spare` room for pieces of large objects.
        """
        self._store = store
        self._window = window or Window()
        self._read_bytes = read_bytes
        self._advance = advance
        self._alone = alone
        self._spare = spare
        self._unseen = Unseen(self._window, outside)
        self._damaged: dict[Stored, Damage] = {}
        self._counting = Lock()
        self.bytes_read = 0

    @property
    def objects(self) -> int:
        """How many objects and members of packs were looked at."""
        return len(self._unseen.seen)

    def look_all(self, places: Mapping[Digest, Stored]) -> None:
        """Check what of a run was not checked before."""
        for some in self._unseen.of(places):
            if isinstance(some, PackPlaces):
                self.check_packs([some])
            else:
                self.check(some)

    def look(self, objects: Iterable[tuple[Digest, Stored]]) -> None:
        """Check those that were not checked before; `damage_of` tells what was found.

        Members of packs are checked by themselves: their packs are looked at once, and read in few large pieces.
        """
        self.check(self._unseen.objects(objects))

    def check(self, objects: Collection[tuple[Digest, Stored]]) -> None:
        """Check objects and members of packs, whether or not they were checked before; see `look`."""
        single = [pair for pair in objects if pair[1].offset is None]
        members = [pair for pair in objects if pair[1].offset is not None]
        width = self._width([stored.size for _, stored in single])
        look = partial(self._look, ahead=_AHEAD if width <= _FEW_AT_ONCE and self._spare is None else 1)
        for found in fan_through(look, single, width):
            self._note(found)
        spans = plan_spans(member for member in members if self._is_read(member[0]))
        width = self._width([span.end - span.begin for span in spans])
        for found in fan_through(self._read_members, spans, width):
            self._note(found)
        self._look_at_packs([stored for digest, stored in members if not self._is_read(digest)])

    def _is_read(self, digest: Digest) -> bool:
        return self._read_bytes and self._window.holds(digest)

    def _look_at_packs(self, members: list[Stored]) -> None:
        """Look whether members of packs lie inside them, each pack once."""
        packs = {stored.key: None for stored in members}
        sizes = dict(zip(packs, fan_through(self._size, packs, self._width([0] * len(packs))), strict=True))
        for stored in members:
            damage = _beyond(stored, sizes[stored.key])
            if damage is not None:
                self._note([(stored, damage)])

    def _width(self, sizes: Sequence[int]) -> int:
        """How many reads of these sizes go on side by side.

        What is small and near is read before a thread has started. Where others read, too, reads that go on at once are
        of few bytes together: each of them has as many in memory.
        """
        if self._store.capabilities.links and (not self._alone or sum(sizes) < _WORTH_THREADS):
            return 1
        width = min(self._store.capabilities.parallel, _WIDTH, len(sizes))
        if self._alone or not self._read_bytes:
            return width
        return max(1, min(width, SPAN // max([1, *sizes])))

    @property
    def any_damaged(self) -> bool:
        """Whether anything is wrong with what was checked."""
        return bool(self._damaged)

    @property
    def damaged(self) -> Mapping[Stored, Damage]:
        """What is wrong with everything that was checked, where something is."""
        return self._damaged

    def damage_of(self, stored: Stored) -> Damage | None:
        """What is wrong with something that was checked; its `ref` is empty."""
        return self._damaged.get(stored)

    def _note(self, found: Iterable[tuple[Stored, Damage]]) -> None:
        self._damaged.update(found)

    def _look(self, pair: tuple[Digest, Stored], *, ahead: int) -> list[tuple[Stored, Damage]]:
        """Read an object, or look at it; what was read and is not right is looked at for what is wrong with it."""
        digest, stored = pair
        damage = self.reread(digest, stored.key, stored.size, ahead) if self._is_read(digest) else None
        if damage is not None or not self._is_read(digest):
            damage = self._misfit(stored) or damage
        return [] if damage is None else [(stored, damage)]

    def _misfit(self, stored: Stored) -> Damage | None:
        """Say if an object is not there, or has another size than was sealed."""
        size = self._size(stored.key)
        if size is None:
            return _damage(stored.key, "missing", "is missing")
        same = size == stored.size
        return None if same else _damage(stored.key, "size", f"has {size} bytes, sealed were {stored.size}")

    def _size(self, key: Key) -> int | None:
        found = self._store.stat(key)
        return None if found is None else found.size

    def _read_members(self, span: Span) -> list[tuple[Stored, Damage]]:
        """Read neighbours in a pack; return those that are not what was sealed."""
        wrong: list[tuple[Stored, Damage]] = []
        size = 0
        try:
            for digest, stored, body in read_span(self._store, span):
                size += len(body)
                if hashlib.sha256(body).hexdigest() != digest:
                    wrong.append((stored, self._misread(stored, len(body))))
        except NotFoundError:
            return [(stored, _damage(stored.key, "missing", "is missing")) for _, stored in span.members]
        self._count(size)
        return wrong

    def check_packs(self, packs: Iterable[PackPlaces]) -> None:
        """Check members of packs, whether or not they were checked before: as `check` does, in columns."""
        if not self._read_bytes or self._window.share < 1:
            self.check([(digest, Stored(pack.key, size, at)) for pack in packs for digest, at, size in pack.rows()])
            return
        spans = [span for pack in packs for span in plan_packed(pack)]
        for found in fan_through(self._read_packed, spans, self._width([span.end - span.begin for span in spans])):
            self._note(found)

    def _read_packed(self, span: PackedSpan) -> list[tuple[Stored, Damage]]:
        """Read neighbours in a pack; return those that are not what was sealed."""
        key, begin, read = span.key, span.begin, 0
        wrong: list[tuple[Stored, Damage]] = []
        try:
            body = memoryview(self._store.read(key, begin, span.end - begin))
            for offset, size, digest in span.members:
                member = body[offset - begin : offset - begin + size]
                read += len(member)
                if hashlib.sha256(member).digest() != digest:
                    stored = Stored(key, size, offset)
                    wrong.append((stored, self._misread(stored, len(member))))
        except NotFoundError:
            missing = _damage(key, "missing", "is missing")
            return [(Stored(key, size, offset), missing) for offset, size, _ in span.members]
        self._count(read)
        return wrong

    def _misread(self, stored: Stored, read: int) -> Damage:
        """Say what is wrong with a member of which so many bytes were read, and not those that were sealed."""
        damage = _beyond(stored, self._size(stored.key)) if read < stored.size else None
        return damage or _damage(stored.key, "bytes", f"holds other bytes than were sealed, at {stored.offset}")

    def reread(self, digest: Digest, key: Key, size: int, ahead: int = _AHEAD) -> Damage | None:
        """Read the `size` bytes of an object or a whole pack now; say if they are not those of `digest`.

        Up to `ahead` pieces of it wait in memory, and more where there is spare room.
        """
        hasher = hashlib.sha256()
        try:
            for chunk in stream(self._store, key, size, ahead, spare=self._spare):
                hasher.update(chunk)
                self._count(len(chunk))
        except NotFoundError:
            return _damage(key, "missing", "is missing")
        return None if hasher.hexdigest() == digest else _damage(key, "bytes", "holds other bytes than were sealed")

    def _count(self, size: int) -> None:
        with self._counting:
            self.bytes_read += size
        if self._advance is not None:
            self._advance(size)


def is_true(source: Source) -> bool:
    """Read a source whole; tell whether it holds the bytes of its digest. Errors as they come."""
    hasher, size = hashlib.sha256(), 0
    with source.open() as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    return hasher.hexdigest() == source.digest and size == source.size


def _beyond(stored: Stored, size: int | None) -> Damage | None:
    """Say if a member is not inside its pack, which has `size` bytes, or None if there is none."""
    if size is None:
        return _damage(stored.key, "missing", "is missing")
    end = (stored.offset or 0) + stored.size
    return None if end <= size else _damage(stored.key, "size", f"has {size} bytes, and the file ended at {end}")


def _damage(key: Key, kind: Kind, what: str) -> Damage:
    return Damage(ref="", kind=kind, detail=f"{key} {what}", key=key)
