"""Pointers: read, advance, move, roll back. A pointer is a dense log of write-once generations.

Nobody overwrites a generation, so a race has one winner and every loser sees the winner's move before it decides
again. A crash between a generation and its projection leaves a stale convenience copy, which the next move, even one
that finds nothing to do, rewrites; readers never trust it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sealrun.domain.address import generation_key, generation_of, pointers_prefix
from sealrun.domain.errors import IntegrityError, NotFoundError, UnsupportedFormatError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import JsonObject, sha256
from sealrun.domain.registry.pointing import Generation, PointerName, Target, should_advance
from sealrun.domain.registry.publication import Proposal
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.storage.certainty import Certainty
from sealrun.services.threads.gathering import Gathering

_REMEMBERED = 256
"""Of how many logs the newest generation is remembered: a few hundred bytes each."""


class _Seen(NamedTuple):
    """A generation as it was listed, with its bytes."""

    stat: ObjectStat
    generation: Generation
    body: bytes


class Looked(NamedTuple):
    """Where a pointer stood, if it was ever set, and what was remembered of it by then: both may be old by now."""

    head: tuple[Generation, bytes] | None
    seen: _Seen | None


class Pointers:
    """The pointers of one registry. Every mutation is durable on return; repeating one is harmless."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, by: str) -> None:
        """Move pointers as `by`, a word that ends up in their history."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._by = by
        self._certainty = Certainty(store, clock, entropy)
        self._seen: dict[str, _Seen] = {}
        self._gathering: Gathering[tuple[Target, str, Looked | None], Generation | None] = Gathering()

    def newest(self, pointer: PointerName) -> Generation | None:
        """Where the pointer stands now, or None if it was never set."""
        head = self._head(pointer)
        return head[0] if head else None

    def is_newest(self, pointer: PointerName, generation: Generation) -> bool:
        """Tell whether the pointer stands on `generation`, which stands in its log. Generations never change."""
        first = self._first(pointer)
        return first is not None and generation_of(first.key) == generation.generation

    def history(self, pointer: PointerName) -> Iterator[Generation]:
        """Yield generations, newest first. `IntegrityError` if one is missing or does not follow the one before."""
        expected: int | None = None
        linked: str | None = None
        for found in self._store.list(pointer.log):
            number = generation_of(found.key)
            body = self._store.read(found.key)
            generation = Generation.decode(body, found.key)
            if generation.generation != number or (expected is not None and number != expected):
                msg = f"{found.key}: pointer {pointer.label} is not dense (found {number}, expected {expected})"
                raise IntegrityError(msg)
            if linked is not None and sha256(body) != linked:
                msg = f"{found.key}: pointer {pointer.label}: generation {number + 1} was made after another one"
                raise IntegrityError(msg)
            yield generation
            expected, linked = number - 1, generation.previous_sha256
        if expected:
            msg = f"pointer {pointer.label}: generation {expected} is missing"
            raise IntegrityError(msg)

    def look(self, pointer: PointerName) -> Looked | None:
        """Look where the pointer stands, for who is going to `advance` it soon.

        None while another thread moves it: who asks then mostly moves together with others, and what was seen is old.
        """
        if self._gathering.is_busy(pointer.log):
            return None
        seen = self._seen.get(pointer.log)
        return Looked(self._head_to_move(pointer), seen)

    def advance(
        self, pointer: PointerName, target: Target, why: str, looked: Looked | None = None
    ) -> Generation | None:
        """Move an automatic pointer forward to `target`; None if it stands there or further already.

        Threads that want that of one pointer at the same time do not race: it moves once, to the furthest. Who has
        `looked` where it stands saves a look, and if it was moved since, loses the race as anybody does.
        """

        def all_at_once(wanted: Sequence[tuple[Target, str, Looked | None]]) -> Sequence[Generation | None]:
            at = 0
            for number, (other, _, _) in enumerate(wanted):
                if should_advance(wanted[at][0], other):
                    at = number
            furthest, reason, found = wanted[at]
            known = None if found is None or found.seen is not self._seen.get(pointer.log) else found
            moved = self._move(
                pointer, reason, lambda current: furthest if should_advance(current, furthest) else None, known
            )
            return [moved if number == at else None for number in range(len(wanted))]

        return self._gathering.ask(pointer.log, (target, why, looked), all_at_once)

    def set(self, pointer: PointerName, target: Target, why: str) -> Generation | None:
        """Move a pointer to `target`; None if it stands there already. The caller pins the target meanwhile."""
        return self._move(pointer, why, lambda current: None if current == target else target)

    def names(self, experiment: str) -> list[str]:
        """Names of an experiment's pointers, sorted."""
        return list(self._store.list_folders(pointers_prefix(experiment)))

    def at(self, pointer: PointerName, number: int | None) -> Generation:
        """Return generation `number`, or with None the one before the newest: what a rollback goes back to."""
        newest = self.newest(pointer)
        if newest is None:
            msg = f"pointer {pointer.label} was never set"
            raise NotFoundError(msg)
        wanted = newest.generation - 1 if number is None else number
        if not 1 <= wanted <= newest.generation:
            msg = f"pointer {pointer.label} has no generation {wanted} (it has 1 to {newest.generation})"
            raise NotFoundError(msg)
        key = generation_key(pointer.log, wanted)
        return Generation.decode(self._store.read(key), key)

    def _project(self, pointer: PointerName, generation: Generation, body: bytes) -> None:
        """Write the convenience copy until it shows the newest generation: a slow mover must not hide a later move."""
        while pointer.projection is not None:
            self._store.replace(pointer.projection, body)
            first = self._first(pointer, generation.generation)
            if first is None:
                return
            if generation_of(first.key) == generation.generation:
                self._remember(pointer, _Seen(first, generation, body))
                return
            body = self._store.read(first.key)
            generation = Generation.decode(body, first.key)

    def _first(self, pointer: PointerName, known: int | None = None) -> ObjectStat | None:
        """Return the newest generation. `known`: one that is there, for sure.

        A bucket lists the first key of a log at once, however long that is. A directory would look at all of it.
        """
        if self._store.capabilities.links:
            return self._climb(pointer, known)
        return next(iter(self._store.list(pointer.log, limit=1)), None)

    def _climb(self, pointer: PointerName, known: int | None) -> ObjectStat | None:
        """Ask for keys, from one that is there: logs are dense, so the newest is the one that none follows."""

        def at(number: int) -> ObjectStat | None:
            return self._store.stat(generation_key(pointer.log, number))

        low, found = 1, at(1)
        if found is None:
            return None
        start = known or self._likely(pointer)
        if start > 1 and (there := at(start)) is not None:
            low, found = start, there
        step = 1
        while (ahead := at(low + step)) is not None:
            low, found, step = low + step, ahead, 2 * step
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            there = at(middle)
            low, found, high = (low, found, middle) if there is None else (middle, there, high)
        return found

    def _likely(self, pointer: PointerName) -> int:
        """Guess where the log ends: where it did last time, or what the copy shows, which may be anything."""
        seen = self._seen.get(pointer.log)
        if seen is not None:
            return seen.generation.generation
        if pointer.projection is None:
            return 1
        try:
            return Generation.decode(self._store.read(pointer.projection), pointer.projection).generation
        except (NotFoundError, UnsupportedFormatError):
            return 1

    def _head(self, pointer: PointerName) -> tuple[Generation, bytes] | None:
        first = self._first(pointer)
        if first is None:
            return None
        body = self._store.read(first.key)
        return Generation.decode(body, first.key), body

    def propose(
        self, pointer: PointerName, target: Target, why: str, evidence: JsonObject | None = None
    ) -> Proposal | None:
        """Return the generation that would move `pointer` to `target` now; None if it stands there already."""
        head = self._head(pointer)
        if head is not None and head[0].target == target:
            self._project(pointer, *head)
            return None
        generation = self._next(pointer, head, target, why, evidence)
        return Proposal(key=generation_key(pointer.log, generation.generation), body=generation.encode().decode())

    def carry_out(self, proposal: Proposal) -> Generation | None:
        """Create the proposed generation; None if another one took its place. Any number of times, by anybody."""
        body = proposal.body.encode()
        won = self._certainty.create(proposal.key, body) == body
        generation = Generation.decode(body, proposal.key)
        if won:
            self._project(PointerName.of_label(generation.pointer), generation, body)
        return generation if won else None

    def _head_to_move(self, pointer: PointerName) -> tuple[Generation, bytes] | None:
        """Look where the pointer stands, without reading again what was written or read at the end of the last move.

        The log says what is newest. A generation's bytes never change, and what is listed is what was seen: a log that
        was made anew shows other times.
        """
        first, seen = self._first(pointer), self._seen.get(pointer.log)
        if first is None:
            return None
        if seen is not None and seen.stat == first:
            return seen.generation, seen.body
        body = self._store.read(first.key)
        return Generation.decode(body, first.key), body

    def _remember(self, pointer: PointerName, seen: _Seen) -> None:
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[pointer.log] = seen

    def _next(
        self,
        pointer: PointerName,
        head: tuple[Generation, bytes] | None,
        target: Target,
        why: str,
        evidence: JsonObject | None = None,
    ) -> Generation:
        return Generation(
            pointer=pointer.label,
            generation=head[0].generation + 1 if head else 1,
            target=target,
            previous_sha256=sha256(head[1]) if head else None,
            moved_at=rfc3339(self._clock.now()),
            by=self._by,
            why=why,
            nonce=self._entropy.hex(32),
            evidence=evidence,
        )

    def _move(
        self,
        pointer: PointerName,
        why: str,
        decide: Callable[[Target | None], Target | None],
        looked: Looked | None = None,
    ) -> Generation | None:
        while True:
            head = self._head_to_move(pointer) if looked is None else looked.head
            looked = None
            target = decide(head[0].target if head else None)
            if target is None:
                if head is not None:
                    self._project(pointer, *head)
                return None
            generation = self._next(pointer, head, target, why)
            body = generation.encode()
            key = generation_key(pointer.log, generation.generation)
            if self._certainty.create(key, body) == body:
                self._project(pointer, generation, body)
                return generation
            # Lost the race: somebody moved it first. Their move counts; decide again from it.
