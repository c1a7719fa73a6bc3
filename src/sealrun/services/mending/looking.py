"""Whoever is asked about the bytes of a run that is verified: they may be looked at, noted for others, or known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from sealrun.domain.address import Digest
from sealrun.domain.registry.columns import Cupboard
from sealrun.domain.registry.object_places import Gathered
from sealrun.domain.registry.places import InColumns
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.contents import FEW
from sealrun.domain.upkeep.damage import Damage

_TOGETHER = 60_000
"""So many that were noted are put away at a time: what is read together is the members of a pack among them."""

Asked = tuple[tuple[Digest, Stored], ...] | list[Mapping[Digest, Stored]]
"""Objects and members of packs; many of them in columns, those of packs mostly on a shelf."""


class Looker(Protocol):
    """Whoever a verifier asks about the bytes of a run."""

    @property
    def objects(self) -> int:
        """How many objects and members of packs were looked at."""
        ...

    @property
    def bytes_read(self) -> int:
        """How many bytes were read."""
        ...

    @property
    def any_damaged(self) -> bool:
        """Whether `damage_of` has anything to tell."""
        ...

    def look_all(self, places: Mapping[Digest, Stored]) -> None:
        """Check what of a run was not checked before."""
        ...

    def damage_of(self, stored: Stored) -> Damage | None:
        """What is wrong with something that was looked at; its `ref` is empty."""
        ...


class Noted:
    """`Looker` that looks at nothing and notes what it was asked about, each once as long as it is little."""

    objects = 0
    bytes_read = 0
    any_damaged = False

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._few: dict[Stored, Digest] = {}
        self._many: list[Mapping[Digest, Stored]] = []
        self._cupboard = Cupboard()
        self._latest: Gathered | None = None
        self._gathered = 0
        self.count = 0
        """How many were noted."""

    def look_all(self, places: Mapping[Digest, Stored]) -> None:
        """Note them, as columns where that is what they are."""
        if not isinstance(places, InColumns) or len(places) <= FEW:
            self.look(places.items())
            return
        if self._latest is None:
            self._spill()
        places.forget()
        self._many.append(places)
        self.count += len(places)

    def look(self, objects: Iterable[tuple[Digest, Stored]]) -> None:
        """Note them."""
        for digest, stored in objects:
            if self._latest is not None:
                self._gather(self._latest, digest, stored)
            elif stored not in self._few:
                self._few[stored] = digest
                self.count += 1
                if self.count > FEW:
                    self._spill()

    def asked(self) -> Asked:
        """Return what was noted, and forget it; of many some may be there twice."""
        if self._latest is None:
            return tuple((digest, stored) for stored, digest in self._few.items())
        many, self._many = [*self._many, self._latest.places()], []
        return many

    def _gather(self, latest: Gathered, digest: Digest, stored: Stored) -> None:
        if not latest.take(digest, stored):
            self._many.append({digest: stored})  # a strange key, of which there are few
        self.count += 1
        self._gathered += 1
        if self._gathered == _TOGETHER:
            self._gathered = 0
            self._many.append(latest.places())

    def _spill(self) -> None:
        few, self.count = self._few, 0
        self._few, self._latest = {}, Gathered(self._cupboard)
        for stored, digest in few.items():
            self._gather(self._latest, digest, stored)

    def damage_of(self, stored: Stored) -> Damage | None:  # noqa: ARG002 - the protocol's
        """Nothing is known of anything."""
        return None


class Known(Noted):
    """`Looker` that looks at nothing and tells what is known to be damaged."""

    def __init__(self, damaged: Mapping[Stored, Damage]) -> None:
        """Tell of `damaged`; everything else is whole."""
        super().__init__()
        self._damaged = damaged
        self.any_damaged = bool(damaged)

    def look_all(self, places: Mapping[Digest, Stored]) -> None:
        """Everything was looked at."""

    def damage_of(self, stored: Stored) -> Damage | None:
        """What is known of it."""
        return self._damaged.get(stored)
