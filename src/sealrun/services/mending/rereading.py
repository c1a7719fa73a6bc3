"""Look at objects and members of packs, and read them again: each once, however many runs use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Literal

from sealrun.domain.address import Digest, Key
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.damage import Damage, Kind, SeenKeys, Window
from sealrun.ports import Source, Store
from sealrun.services.access.members import Span, plan_spans, read_span
from sealrun.services.storage.streaming import stream
from sealrun.services.threads.fanning import fan_through

_CHUNK = 1 << 20
_WIDTH = 8
_AHEAD, _FEW_AT_ONCE = 2, 4
"""Pieces that wait of each object, while so few are read side by side: of more, one is enough to keep a line busy."""
_WORTH_THREADS = 1 << 20

Outside = Literal["look", "skip"]
Advance = Callable[[int], None]


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
    ) -> None:
        """With `read_bytes`, read those objects whose digest lies in `window`. `outside`: what becomes of the others.

        An object that is not read is only looked at (is it there, with the right size), or with ``skip`` passed over.
        If it is not `alone` on this machine, others keep its processors busy: then bytes near by are read one by one.
        """
        self._store = store
        self._window = window or Window()
        self._read_bytes = read_bytes
        self._outside = outside
        self._advance = advance
        self._one_by_one = store.capabilities.links and not alone
        self._seen = SeenKeys()
        self._damaged: dict[Stored, Damage] = {}
        self._counting = Lock()
        self.bytes_read = 0

    @property
    def objects(self) -> int:
        """How many objects and members of packs were looked at."""
        return len(self._seen)

    def look(self, objects: Iterable[tuple[Digest, Stored]]) -> None:
        """Check those that were not checked before; `damage_of` tells what was found.

        Members of packs are checked by themselves: their packs are looked at once, and read in few large pieces.
        """
        members: list[tuple[Digest, Stored]] = []
        single = list(self._alone(objects, members))
        width = min(self._width(single), len(single))
        look = partial(self._look, ahead=_AHEAD if width <= _FEW_AT_ONCE else 1)
        for found in fan_through(look, single, width):
            self._note(found)
        width = self._width(members)
        read = [member for member in members if self._is_read(member[0])]
        for found in fan_through(self._read_members, plan_spans(read), width):
            self._note(found)
        if len(read) < len(members):
            self._look_at_packs([stored for digest, stored in members if not self._is_read(digest)], width)

    def _is_read(self, digest: Digest) -> bool:
        return self._read_bytes and self._window.holds(digest)

    def _look_at_packs(self, members: list[Stored], width: int) -> None:
        """Look whether members of packs lie inside them, each pack once."""
        packs = {stored.key: None for stored in members}
        sizes = dict(zip(packs, fan_through(self._size, packs, width), strict=True))
        for stored in members:
            damage = _beyond(stored, sizes[stored.key])
            if damage is not None:
                self._note([(stored, damage)])

    def _width(self, objects: list[tuple[Digest, Stored]]) -> int:
        """How many are looked at side by side: what is small and near is read before a thread has started."""
        if self._one_by_one:
            return 1
        if self._store.capabilities.links and sum(stored.size for _, stored in objects) < _WORTH_THREADS:
            return 1
        return min(self._store.capabilities.parallel, _WIDTH)

    def _alone(
        self, objects: Iterable[tuple[Digest, Stored]], members: list[tuple[Digest, Stored]]
    ) -> Iterator[tuple[Digest, Stored]]:
        """Yield fresh objects; put fresh members of packs aside."""
        for digest, stored in objects:
            if self._outside == "skip" and not self._window.holds(digest):
                continue
            if not self._seen.add(mark_of(stored)):
                continue
            if stored.offset is None:
                yield digest, stored
            else:
                members.append((digest, stored))

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
                    what = f"holds other bytes than were sealed, at {stored.offset}"
                    damage = len(body) < stored.size and _beyond(stored, self._size(stored.key))
                    wrong.append((stored, damage or _damage(stored.key, "bytes", what)))
        except NotFoundError:
            return [(stored, _damage(stored.key, "missing", "is missing")) for _, stored in span.members]
        self._count(size)
        return wrong

    def reread(self, digest: Digest, key: Key, size: int, ahead: int = _AHEAD) -> Damage | None:
        """Read the `size` bytes of an object or a whole pack now; say if they are not those of `digest`.

        Up to `ahead` pieces of it wait in memory.
        """
        hasher = hashlib.sha256()
        try:
            for chunk in stream(self._store, key, size, ahead):
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


def mark_of(stored: Stored) -> str:
    """What `SeenKeys` remembers of an object, or of a member of a pack."""
    return stored.key if stored.offset is None else f"{stored.key}+{stored.offset}+{stored.size}"


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
