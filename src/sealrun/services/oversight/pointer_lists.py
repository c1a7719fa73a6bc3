"""Where the pointers of a registry stand, as pages show them: looked at again instead of read again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from sealrun.domain.address import pointer_log, pointers_prefix
from sealrun.domain.registry.pointing import Generation
from sealrun.ports import Clock, ObjectStat
from sealrun.services.access.reading import Reader
from sealrun.services.oversight.freshness import Fresh
from sealrun.services.threads.fanning import fan_out

_WIDTH = 16


class Standing(msgspec.Struct, frozen=True):
    """A pointer of an experiment, and its newest generation."""

    experiment: str
    name: str
    generation: Generation


class PointerLists:
    """The pointers of one registry's experiments, not its published names. Any thread; see `Fresh`."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        """Read nothing yet."""
        self._reader = reader
        self._store = reader.store
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh: dict[str, Fresh[Sequence[Standing]]] = {}
        self._seen: dict[str, tuple[ObjectStat, Generation]] = {}

    def of(self, experiment: str) -> Sequence[Standing]:
        """Pointers of an experiment, by name; none where there is no such experiment."""
        with self._lock:
            found = self._fresh.get(experiment)
            if found is None:
                found = self._fresh[experiment] = Fresh(lambda: self._look(experiment), self._clock, lasting=True)
        return found.get()

    def of_all(self, experiments: Sequence[str]) -> Sequence[Standing]:
        """Pointers of several experiments."""
        width = min(_WIDTH, self._store.capabilities.parallel)
        return [each for found in fan_out(self.of, experiments, width) for each in found]

    def _look(self, experiment: str) -> Sequence[Standing]:
        names = list(self._store.list_folders(pointers_prefix(experiment)))
        found = [(name, self._newest(pointer_log(experiment, name))) for name in names]
        return [Standing(experiment, name, generation) for name, generation in found if generation is not None]

    def _newest(self, log: str) -> Generation | None:
        """The newest generation of a log; one that was read before is the same as long as it is listed the same."""
        first = next(iter(self._store.list(log, limit=1)), None)
        if first is None:
            return None
        known = self._seen.get(log)
        if known is None or known[0] != first:
            known = self._seen[log] = (first, Generation.decode(self._store.read(first.key), first.key))
        return known[1]
