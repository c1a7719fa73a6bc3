"""What is staged for each watch: it outlives a reload, since what is in flight still reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from functools import partial

from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.delivery.parts import AtHand
from sealrun.services.delivery.pausing import Hold
from sealrun.services.delivery.staging import Room, StagedSealings
from sealrun.services.publication.upkeep import OpenedRegistry


class WatchStages:
    """The staged sealings of every watch, by its name."""

    def __init__(self) -> None:
        """Stage nothing yet."""
        self._by_watch: dict[str, StagedSealings] = {}
        self._room = Room()

    def renew(
        self, watches: Sequence[WatchSpec], opened: Mapping[str, OpenedRegistry], holds: Mapping[str, Hold]
    ) -> None:
        """Stage for these watches from now on, where `opened` registries take it; what is kept stays kept.

        Nothing is sent ahead to a registry that is held, nor where runs that declare that they failed are kept back:
        whether one does is known only when it is sealed. What was staged for a watch that is gone is discarded: what
        still waits of it is read from its folder.
        """
        for gone in self._by_watch.keys() - {watch.name for watch in watches}:
            self._by_watch.pop(gone).release_all_but(_none)
        for watch in watches:
            choose, may_send = partial(_first_open, watch, opened), partial(_may_send, watch, opened, holds)
            if (known := self._by_watch.get(watch.name)) is None:
                self._by_watch[watch.name] = StagedSealings(choose, may_send, self._room)
            else:
                known.choosing(choose, may_send)

    def of(self, watch: str) -> StagedSealings:
        """Those of one watch."""
        return self._by_watch[watch]

    def release_all_but(self, waiting: Callable[[Collection[int]], Container[int]]) -> int:
        """Of every watch, see `StagedSealings`."""
        return sum(staged.release_all_but(waiting) for staged in tuple(self._by_watch.values()))

    def at_hand(self, sealed: int) -> AtHand | None:
        """Return a run that was sealed in this process, or None."""
        all_of_them = tuple(self._by_watch.values())
        return next((found for staged in all_of_them if (found := staged.at_hand(sealed)) is not None), None)


def _none(_kept: Collection[int]) -> Container[int]:
    return ()


def _chosen(watch: WatchSpec, opened: Mapping[str, OpenedRegistry]) -> str | None:
    """The watch's first open registry on this machine, else its first open one: never worth waiting for another."""
    there = [name for name in watch.registries if name in opened]
    return next((name for name in there if opened[name].store.capabilities.links), next(iter(there), None))


def _first_open(watch: WatchSpec, opened: Mapping[str, OpenedRegistry]) -> OpenedRegistry | None:
    name = _chosen(watch, opened)
    return None if name is None else opened[name]


def _may_send(watch: WatchSpec, opened: Mapping[str, OpenedRegistry], holds: Mapping[str, Hold]) -> bool:
    name = _chosen(watch, opened)
    return name is not None and watch.on_failed == "seal" and holds[name].left_s() <= 0
