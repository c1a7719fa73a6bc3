"""What is believed of where contents are: of a million, in columns for each attempt that sealed a run with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.registry.object_places import Gathered
from sealrun.domain.registry.places import Stored
from sealrun.domain.registry.publication import Hint
from sealrun.domain.runs.contents import FEW


class HintColumns(Mapping[Digest, Hint]):
    """Hints in columns. Never changes."""

    def __init__(self, sealed: Mapping[AttemptId | None, Mapping[Digest, Stored]]) -> None:
        """Hold what each attempt `sealed`; a content is in one of them."""
        self._sealed = sealed

    def __len__(self) -> int:
        return sum(map(len, self._sealed.values()))

    def __iter__(self) -> Iterator[Digest]:
        for places in self._sealed.values():
            yield from places

    def __getitem__(self, digest: Digest) -> Hint:
        for attempt, places in self._sealed.items():
            stored = places.get(digest)
            if stored is not None:
                return Hint(stored, attempt)
        raise KeyError(digest)

    def pairs(self) -> Iterator[tuple[Digest, Hint]]:
        """Yield every content with its hint."""
        for attempt, places in self._sealed.items():
            for digest, stored in places.items():
                yield digest, Hint(stored, attempt)


def pairs_of(hinted: Mapping[Digest, Hint]) -> Iterable[tuple[Digest, Hint]]:
    """Every content with its hint, made as it is asked for where there are many."""
    return hinted.pairs() if isinstance(hinted, HintColumns) else hinted.items()


def gathered(pairs: Iterable[tuple[Digest, Hint]]) -> Mapping[Digest, Hint]:
    """Return hints for distinct contents; many of them in columns."""
    rest = iter(pairs)
    few = dict(islice(rest, FEW))
    if len(few) < FEW:
        return few
    sealed: dict[AttemptId | None, Gathered] = {}

    def add(some: Iterable[tuple[Digest, Hint]]) -> None:
        for digest, hint in some:
            kept = sealed.get(hint.sealed_by)
            if kept is None:
                kept = sealed[hint.sealed_by] = Gathered()
            kept.add(digest, hint.stored)

    add(few.items())
    few.clear()
    add(rest)
    return HintColumns({attempt: kept.places() for attempt, kept in sealed.items()})
