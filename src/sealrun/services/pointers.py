"""Pointers: read, advance, move, roll back. A pointer is a dense log of write-once generations.

Nobody overwrites a generation, so a race has one winner and every loser sees the winner's move before it decides
again. A crash between a generation and its projection leaves a stale convenience copy, which the next move, even one
that finds nothing to do, rewrites; readers never trust it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from sealrun.domain.address import (
    Key,
    generation_key,
    generation_of,
    name_log,
    parse_artifact_name,
    parse_name,
    pointer_log,
    pointer_projection,
    pointers_prefix,
)
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.pointing import Generation, Target, should_advance
from sealrun.domain.publication import Proposal
from sealrun.domain.records import sha256
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.certainty import Certainty


class PointerName(msgspec.Struct, frozen=True):
    """Which log is meant, and what the pointer is called in messages."""

    log: str
    label: str
    projection: Key | None = None

    @classmethod
    def of_experiment(cls, experiment: str, name: str) -> PointerName:
        """Name pointer `name` of an experiment, such as ``train@latest``."""
        parse_name(experiment, "experiment")
        parse_name(name, "pointer")
        return cls(pointer_log(experiment, name), f"{experiment}@{name}", pointer_projection(experiment, name))

    @classmethod
    def of_label(cls, label: str) -> PointerName:
        """Name the log that a generation's record speaks of: ``EXPERIMENT@POINTER``, or a published name."""
        experiment, at, name = label.partition("@")
        return cls.of_experiment(experiment, name) if at else cls.of_artifact(label)

    @classmethod
    def of_artifact(cls, name: str) -> PointerName:
        """Name the log of the artifacts published under `name`."""
        return cls(name_log(parse_artifact_name(name)), name)


class Pointers:
    """The pointers of one registry. Every mutation is durable on return; repeating one is harmless."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, by: str) -> None:
        """Move pointers as `by`, a word that ends up in their history."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._by = by
        self._certainty = Certainty(store, clock, entropy)

    def newest(self, pointer: PointerName) -> Generation | None:
        """Where the pointer stands now, or None if it was never set."""
        head = self._head(pointer)
        return head[0] if head else None

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

    def advance(self, pointer: PointerName, target: Target, why: str) -> Generation | None:
        """Move an automatic pointer forward to `target`; None if it stands there or further already."""
        return self._move(pointer, why, lambda current: target if should_advance(current, target) else None)

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
            first = self._first(pointer)
            if first is None or generation_of(first.key) == generation.generation:
                return
            body = self._store.read(first.key)
            generation = Generation.decode(body, first.key)

    def _first(self, pointer: PointerName) -> ObjectStat | None:
        return next(iter(self._store.list(pointer.log, limit=1)), None)

    def _head(self, pointer: PointerName) -> tuple[Generation, bytes] | None:
        first = self._first(pointer)
        if first is None:
            return None
        body = self._store.read(first.key)
        return Generation.decode(body, first.key), body

    def propose(self, pointer: PointerName, target: Target, why: str) -> Proposal | None:
        """Return the generation that would move `pointer` to `target` now; None if it stands there already."""
        head = self._head(pointer)
        if head is not None and head[0].target == target:
            self._project(pointer, *head)
            return None
        generation = self._next(pointer, head, target, why)
        return Proposal(key=generation_key(pointer.log, generation.generation), body=generation.encode().decode())

    def carry_out(self, proposal: Proposal) -> Generation | None:
        """Create the proposed generation; None if another one took its place. Any number of times, by anybody."""
        body = proposal.body.encode()
        won = self._certainty.create(proposal.key, body) == body
        generation = Generation.decode(body, proposal.key)
        if won:
            self._project(PointerName.of_label(generation.pointer), generation, body)
        return generation if won else None

    def _next(
        self, pointer: PointerName, head: tuple[Generation, bytes] | None, target: Target, why: str
    ) -> Generation:
        return Generation(
            pointer=pointer.label,
            generation=head[0].generation + 1 if head else 1,
            target=target,
            previous_sha256=sha256(head[1]) if head else None,
            moved_at=self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            by=self._by,
            why=why,
            nonce=self._entropy.hex(32),
        )

    def _move(
        self, pointer: PointerName, why: str, decide: Callable[[Target | None], Target | None]
    ) -> Generation | None:
        while True:
            head = self._head(pointer)
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
