"""Where else a run's bytes may be: another registry, or the damaged one itself under another key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from sealrun.domain.address import OBJECTS, Digest, Key, parse_object_key
from sealrun.domain.errors import (
    IntegrityError,
    NotFoundError,
    RunChangedError,
    RunRejectedError,
    StorageError,
    UnsupportedFormatError,
    UsageError,
)
from sealrun.domain.manifest import Entry
from sealrun.ports import Hints, Replica, Source, Store
from sealrun.services.reading import Reader, RunView
from sealrun.services.rereading import is_true
from sealrun.services.reusing import read_condemned
from sealrun.services.standing import read_outcome


class StoredSource:
    """`ports.Source`: an object of a store. Whether it holds the bytes of its digest, whoever reads it finds out."""

    def __init__(self, store: Store, key: Key, digest: Digest, size: int) -> None:
        """Read `key`."""
        self._store = store
        self.key = key
        self.digest = digest
        self.size = size

    def open(self) -> BinaryIO:
        """Open for one sequential read."""
        return self._store.open(self.key)


class RegistryReplica:
    """Another registry: the same run there, or whatever the hints know of the same bytes."""

    def __init__(self, name: str, reader: Reader, registry_id: str, hints: Hints | None = None) -> None:
        """Read with `reader`; `hints` are asked about `registry_id`."""
        self.name = name
        self._reader = reader
        self._registry_id = registry_id
        self._hints = hints
        self._last: tuple[str, RunView | None] = ("", None)

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        """Return where the bytes should be; see `ports.Replica`."""
        view = self._view(f"{experiment}/{run_id}")
        stored = None if view is None else view.objects.get(entry.sha256)
        if stored is not None:
            return StoredSource(self._reader.store, stored.key, entry.sha256, entry.size)
        hinted = {} if self._hints is None else self._hints.keys_of(self._registry_id, [entry.sha256])
        key = hinted.get(entry.sha256)
        if key is None or self._reader.store.stat(key) is None:
            return None
        return StoredSource(self._reader.store, key, entry.sha256, entry.size)

    def _view(self, ref: str) -> RunView | None:
        """The run as that registry holds it, or None if it is not there or damaged there; the last one is kept."""
        if self._last[0] != ref:
            try:
                self._last = ref, self._reader.load(self._reader.resolve(ref))
            except (NotFoundError, IntegrityError, UsageError):
                self._last = ref, None
        return self._last[1]


class GoodBytes:
    """Finds bytes that were lost, and believes nobody: whatever is offered is read and compared first."""

    def __init__(self, store: Store, replicas: Sequence[Replica], damaged: Iterable[Key]) -> None:
        """Look in `store` itself, but not at its `damaged` keys, then ask `replicas` in their order."""
        self._store = store
        self._replicas = replicas
        self._damaged = frozenset(damaged) | read_condemned(store)

    def here(self, entry: Entry) -> Key | None:
        """Another object of the store with these bytes, whose creator sealed a run."""
        begin = f"{OBJECTS}{entry.sha256[:2]}/{entry.sha256[2:4]}/"
        for found in self._store.list(begin):
            try:
                digest, creator = parse_object_key(found.key)
            except UnsupportedFormatError:
                continue
            if digest != entry.sha256 or found.key in self._damaged or found.size != entry.size:
                continue
            outcome = read_outcome(self._store, creator)
            sealed = outcome is not None and outcome.decision == "sealed"
            if sealed and holds_its_bytes(StoredSource(self._store, found.key, digest, found.size)):
                return found.key
        return None

    def elsewhere(self, experiment: str, run_id: str, entry: Entry) -> str | None:
        """Name of the first replica that has good bytes, or None if none has.

        One that cannot be asked is passed over; if then nobody has them, its error is raised: unknown is not none.
        """
        unknown: StorageError | None = None
        for replica in self._replicas:
            try:
                source = replica.find(experiment, run_id, entry)
                if source is not None and holds_its_bytes(source):
                    return replica.name
            except NotFoundError:
                continue
            except StorageError as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown
        return None


def holds_its_bytes(source: Source) -> bool:
    """Read a source whole; tell whether it is what it says. An outage is raised."""
    try:
        return is_true(source)
    except (NotFoundError, RunChangedError, RunRejectedError, IntegrityError):
        return False
