"""Where else a run's bytes may be: another registry, or the damaged one itself under another key."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from sealrun.domain.registry.publication import Hint, Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Hints, Replica, Source, Store
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.mending.rereading import Rereader, is_true
from sealrun.services.publication.reusing import read_condemned
from sealrun.services.storage.standing import read_outcome

Known = Callable[[Iterable[Digest]], Mapping[Digest, Hint]]
"""Where bytes were once stored in the registry that is repaired. It proves nothing."""


class StoredSource:
    """`ports.Source`: an object of a store, or a member of a pack. That the bytes are good, whoever reads finds out."""

    def __init__(self, store: Store, stored: Stored, digest: Digest) -> None:
        """Read what is `stored`."""
        self._store = store
        self._stored = stored
        self.digest = digest
        self.size = stored.size

    def open(self) -> BinaryIO:
        """Open for one sequential read."""
        stored = self._stored
        if stored.offset is None:
            return self._store.open(stored.key)
        return io.BytesIO(self._store.read(stored.key, stored.offset, stored.size))


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
            return StoredSource(self._reader.store, stored, entry.sha256)
        hinted = {} if self._hints is None else self._hints.places_of(self._registry_id, [entry.sha256])
        hint = hinted.get(entry.sha256)
        if hint is None or hint.stored.size != entry.size or self._reader.store.stat(hint.stored.key) is None:
            return None
        return StoredSource(self._reader.store, hint.stored, entry.sha256)

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

    def __init__(
        self, store: Store, replicas: Sequence[Replica], damaged: Iterable[Key], known: Known | None = None
    ) -> None:
        """Look in `store` itself, but not at its `damaged` keys, then ask `replicas` in their order."""
        self._store = store
        self._replicas = replicas
        self._damaged = frozenset(damaged) | read_condemned(store)
        self._known = known
        self._salvaged: dict[Digest, Stored] = {}
        self._members = Rereader(store)

    def salvage(self, places: Mapping[Digest, Stored]) -> None:
        """Read what a run has in damaged packs; `salvaged` tells what of it is good. Each member is read once."""
        inside = {digest: stored for digest, stored in places.items() if stored.offset is not None}
        self._members.look(inside.items())
        good = {digest: stored for digest, stored in inside.items() if self._members.damage_of(stored) is None}
        self._salvaged.update(good)

    def salvaged(self, digest: Digest) -> Stored | None:
        """Where good bytes are in a damaged pack: to be copied, not to be referenced."""
        return self._salvaged.get(digest)

    def here(self, entry: Entry) -> Stored | None:
        """Another place in the store with these bytes, whose creator sealed a run.

        Every object with their digest is found, by listing. Of packs it is not seen what is in them: there those
        members are found of which the hints know.
        """
        digest = entry.sha256
        begin = f"{OBJECTS}{digest[:2]}/{digest[2:4]}/"
        listed = (Stored(found.key, found.size) for found in self._store.list(begin) if _is_of(found.key, digest))
        hinted = {} if self._known is None else self._known([digest])
        in_packs = (hint.stored for hint in hinted.values() if hint.stored.offset is not None)
        return next((stored for stored in (*listed, *in_packs) if self._is_good(entry, stored)), None)

    def _is_good(self, entry: Entry, stored: Stored) -> bool:
        if stored.key in self._damaged or stored.size != entry.size:
            return False
        try:
            creator = parse_object_key(stored.key).creator
        except UnsupportedFormatError:
            return False
        outcome = read_outcome(self._store, creator)
        sealed = outcome is not None and outcome.decision == "sealed"
        return sealed and holds_its_bytes(StoredSource(self._store, stored, entry.sha256))

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


def _is_of(key: Key, digest: Digest) -> bool:
    try:
        return parse_object_key(key).digest == digest
    except UnsupportedFormatError:
        return False


def holds_its_bytes(source: Source) -> bool:
    """Read a source whole; tell whether it is what it says. An outage is raised."""
    try:
        return is_true(source)
    except (NotFoundError, RunChangedError, RunRejectedError, IntegrityError):
        return False
