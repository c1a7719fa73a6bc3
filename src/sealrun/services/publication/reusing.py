"""The reuse rule: which bytes of a run a registry has already, so that an attempt may reference them.

The order is load-bearing (docs/design.md, invariant I6): the attempt's intent is durable before the condemned
batches are read, and they are read before a key is looked at. Either a collector sees the intent, or the attempt
sees what the collector is about to delete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from sealrun.domain.address import (
    CONDEMNED,
    QUARANTINE,
    AttemptId,
    Digest,
    Key,
    is_pack,
    object_key,
    parse_object_key,
    quarantined_object,
    refs_key,
    retired_key,
)
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError
from sealrun.domain.grouping import in_groups
from sealrun.domain.registry.hinting import pairs_of
from sealrun.domain.registry.object_places import Gathered
from sealrun.domain.registry.publication import Hint, Refs, Stored
from sealrun.domain.runs.contents import FEW, Marked
from sealrun.domain.runs.entries import Entry
from sealrun.domain.upkeep.collection import Condemned
from sealrun.ports import Hints, ObjectStat, Store
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import both, fan_out

_LEARNED_AT_ONCE = 5_000
_STATS_AT_ONCE = 5_000
_ASKED_PER_ATTEMPT = 3
"""What it costs to prove that an attempt stands: its outcome, its refs, and that it is not retired."""


def read_condemned(store: Store) -> frozenset[Key]:
    """Return every key that must not be referenced: condemned by a collector, or quarantined as damaged.

    A batch that vanishes midway is finished.
    """

    def batches() -> Iterator[Key]:
        for found in store.list(CONDEMNED):
            with suppress(NotFoundError):
                yield from Condemned.decode(store.read(found.key), found.key).keys

    def damaged() -> list[Key]:
        return [quarantined_object(found.key) for found in store.list(QUARANTINE)]

    condemned, quarantined = both(lambda: set(batches()), damaged, store.capabilities.side_by_side)
    return frozenset(condemned.union(quarantined))


class _Sealed(NamedTuple):
    """What an attempt sealed, and whether it is known that it was not retired since."""

    objects: Mapping[Digest, Stored]
    stands: bool


class Reuse:
    """Applies the reuse rule for one attempt, whose intent is durable before this is made."""

    def __init__(self, store: Store, attempt: AttemptId, pinned: Collection[Digest] | None = None) -> None:
        """Read the condemned batches now: the intent of `attempt` must be durable already.

        `pinned` are the digests that the intent names, packs included; nothing else may be referenced.
        """
        self._store = store
        self._attempt = attempt
        self._pinned = pinned
        self._condemned = read_condemned(store)
        self._decisions: dict[AttemptId, str] = {}
        self._packs: dict[Key, bool] = {}
        self._said: dict[AttemptId | None, _Sealed] = {}

    def find(self, hinted: Mapping[Digest, Hint], sizes: Mapping[Digest, int]) -> Mapping[Digest, Stored]:
        """Return where bytes are that may be referenced: not condemned, and there for certain.

        What an attempt sealed that is not retired is there (invariant I8), so that one look at such an attempt stands
        for any number of looks at what it references. Everything else is looked at, unless its creator is void. Where
        in a pack a file lies is believed of refs only: unlike an object's key, an offset does not say what is there.
        """
        try:
            if len(hinted) <= FEW:
                return self._find(hinted.items(), sizes)
            found = Gathered()
            for some in in_groups(pairs_of(hinted), FEW):
                for digest, stored in self._find(some, sizes).items():
                    found.add(digest, stored)
            return found.places()
        finally:
            self._said.clear()  # what stands now may be retired the next time; and refs may be long

    def _find(self, hinted: Iterable[tuple[Digest, Hint]], sizes: Mapping[Digest, int]) -> dict[Digest, Stored]:
        fit = {
            digest: hint
            for digest, hint in hinted
            if hint.stored.key not in self._condemned and self._is_of(digest, hint.stored, sizes[digest])
        }
        records = self._records(fit)
        found: dict[Digest, Stored] = {}
        left: dict[Digest, Stored] = {}
        for digest, hint in fit.items():
            said = records.get(hint.sealed_by)
            confirmed = said is not None and said.objects.get(digest) == hint.stored
            if said is not None and confirmed and said.stands:
                found[digest] = hint.stored
            elif confirmed or hint.stored.offset is None:
                left[digest] = hint.stored
        return found | self._looked_at(left)

    def _is_of(self, digest: Digest, stored: Stored, size: int) -> bool:
        """Tell whether bytes with `digest` can be there, and the intent pins them: a hint may say anything."""
        if stored.size != size:
            return False
        if stored.offset is None:
            return not is_pack(stored.key) and self._named(stored.key) == digest
        if stored.key not in self._packs:  # asked once for all that lies in it
            self._packs[stored.key] = is_pack(stored.key) and self._named(stored.key) is not None
        return self._packs[stored.key]

    def _named(self, key: Key) -> Digest | None:
        """Return the digest that a key names, if the intent pins it."""
        try:
            digest = parse_object_key(key).digest
        except UnsupportedFormatError:
            return None
        return digest if self._pinned is None or digest in self._pinned else None

    def _records(self, fit: Mapping[Digest, Hint]) -> Mapping[AttemptId | None, _Sealed]:
        """What attempts sealed that the hints name, where that saves looks, or says where members of packs are."""
        keys: dict[AttemptId, set[Key]] = {}
        packed: set[AttemptId] = set()
        for hint in fit.values():
            if hint.sealed_by is None:
                continue
            keys.setdefault(hint.sealed_by, set()).add(hint.stored.key)
            if hint.stored.offset is not None:
                packed.add(hint.sealed_by)
        width = self._store.capabilities.parallel
        many = {attempt for attempt, used in keys.items() if len(used) > _ASKED_PER_ATTEMPT}
        proven = {attempt for attempt, said in self._said.items() if said.stands}
        asked, few = sorted(many - proven), sorted(packed - many - self._said.keys())
        self._said.update(zip(asked, fan_out(self._sealed, asked, width), strict=True))
        refs = fan_out(self._refs, few, width)
        self._said.update((attempt, _Sealed(said, stands=False)) for attempt, said in zip(few, refs, strict=True))
        return self._said

    def _sealed(self, attempt: AttemptId) -> _Sealed:
        """What an attempt sealed, and whether it stands.

        All of it may be asked at once, if only after the condemned batches were read. Was it sealed when it was not
        retired, its bytes were there at that moment; was it sealed a moment later, they were at that one.
        """
        refs, retired = both(
            lambda: self._refs(attempt),
            lambda: self._store.stat(retired_key(attempt)) is not None,
            self._store.capabilities.side_by_side,
        )
        return _Sealed(refs, stands=bool(refs) and not retired)

    def _refs(self, attempt: AttemptId) -> Mapping[Digest, Stored]:
        """Where an attempt sealed what; nothing if it sealed nothing, or nobody can say any more."""
        key = refs_key(attempt)
        try:
            decision, body = both(
                lambda: self._decision(attempt),
                lambda: read_body(self._store, key),
                self._store.capabilities.side_by_side,
            )
            return Refs.read(body, key).objects if decision == "sealed" else {}
        except (NotFoundError, UnsupportedFormatError):
            return {}

    def _looked_at(self, places: Mapping[Digest, Stored]) -> dict[Digest, Stored]:
        width = self._store.capabilities.parallel
        named = {key: parse_object_key(key).creator for key in sorted({stored.key for stored in places.values()})}
        creators = sorted({*named.values()} - {self._attempt})
        decisions = dict(zip(creators, fan_out(self._decision, creators, width), strict=True))
        keys = [key for key, creator in named.items() if decisions.get(creator) != "void"]
        stats = dict(zip(keys, fan_out(self._store.stat, keys, width), strict=True))
        return {digest: stored for digest, stored in places.items() if _is_there(stored, stats.get(stored.key))}

    def _decision(self, attempt: AttemptId) -> str | None:
        """How an attempt ended. What was decided once stays so; what was not, is asked again."""
        if attempt not in self._decisions:
            outcome = read_outcome(self._store, attempt)
            if outcome is None:
                return None
            self._decisions[attempt] = outcome.decision
        return self._decisions[attempt]


def ask_hints(hints: Hints, registry_id: str, sizes: Mapping[Digest, int]) -> Mapping[Digest, Hint]:
    """Return where the contents of a run may be. Of most that is new nobody is asked: its size is not known, either."""
    known = hints.sizes_known(registry_id, {size for _, size in sizes.items()})
    return hints.places_of(registry_id, (digest for digest, size in sizes.items() if size in known)) if known else {}


def learn_news(hints: Hints, registry_id: str, objects: Mapping[Digest, Stored], sealed_by: AttemptId) -> None:
    """Remember where a run is that was there before: mostly we know, and asking costs less than writing."""
    for some in in_groups(objects.items(), _LEARNED_AT_ONCE):
        known = hints.places_of(registry_id, [digest for digest, _ in some])
        news = {digest: stored for digest, stored in some if known.get(digest) != Hint(stored, sealed_by)}
        if news:
            hints.learn(registry_id, news, sealed_by)


def pack_digests(hinted: Mapping[Digest, Hint]) -> Iterator[Digest]:
    """Yield the digests of the packs that hints speak of: an intent names them beside those of the files."""
    for key in {hint.stored.key for _, hint in pairs_of(hinted) if hint.stored.offset is not None}:
        with suppress(UnsupportedFormatError):  # the reuse rule does not take it, either
            yield parse_object_key(key).digest


def own_objects(store: Store, attempt: AttemptId, entries: Iterable[Entry], sizes: Mapping[Digest, int]) -> Marked:
    """Return what an earlier life of the same attempt has uploaded: only it writes these keys, and never a part."""
    there = Marked(sizes)
    for some in in_groups(entries, _STATS_AT_ONCE):
        keys = [object_key(entry.sha256, attempt) for entry in some]
        for entry, found in zip(some, fan_out(store.stat, keys, store.capabilities.parallel), strict=True):
            if found is not None and found.size == entry.size:
                there.add(entry.sha256)
    return there


def _is_there(stored: Stored, found: ObjectStat | None) -> bool:
    if found is None:
        return False
    return found.size == stored.size if stored.offset is None else found.size >= stored.offset + stored.size
