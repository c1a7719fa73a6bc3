"""The smallest collector that obeys the protocol: enough to test what publishers and movers do about one."""

from __future__ import annotations

from typing import cast

from sealrun.domain.address import (
    ATTEMPTS,
    EXPERIMENTS,
    NAMES,
    OBJECTS,
    AttemptId,
    Digest,
    Key,
    attempt_of,
    parse_object_key,
    refs_key,
    retired_key,
)
from sealrun.domain.collection import Condemned, CondemnedObject
from sealrun.domain.errors import NotFoundError
from sealrun.domain.pointing import Generation
from sealrun.domain.publication import Intent, Refs
from sealrun.domain.records import canonical_json
from sealrun.ports import Remover, Store
from sealrun.services.standing import read_outcome


class Collector:
    """Condemns what nothing needs, marks again, decides, deletes. No grace: every object is old enough."""

    def __init__(self, store: Store, batch: str, *, echo: bool = False) -> None:
        """With `echo` its deletes are carried out once more when it is done, as by a network that delivers late."""
        self._echo = echo
        self._store = store
        self._remover = cast("Remover", store)
        self._batch = batch

    def collect(self) -> list[Key]:
        """Collect once; return what was deleted."""
        needed = self._needed()
        candidates = [
            found.key
            for found in self._store.list(OBJECTS)
            if found.key not in needed and read_outcome(self._store, parse_object_key(found.key).creator) is not None
        ]
        if not candidates:
            return []
        objects = tuple(CondemnedObject(key=key, size=0) for key in candidates)
        condemned = Condemned(batch=self._batch, by="collector", condemned_at="2026-02-01T00:00:00Z", objects=objects)
        self._store.create(Key(f"gc/{self._batch}/condemned.json"), condemned.encode())
        pinned = self._pinned()
        needed = self._needed()
        swept = [key for key in candidates if key not in needed and parse_object_key(key).digest not in pinned]
        self._store.create(Key(f"gc/{self._batch}/verdict.json"), canonical_json({"sweep": swept}))
        self._remover.delete(swept)
        self._remover.delete([Key(f"gc/{self._batch}/condemned.json")])
        if self._echo:
            self._remover.delete(swept)
        return swept

    def _pinned(self) -> set[Digest]:
        pinned: set[Digest] = set()
        for found in self._store.list(ATTEMPTS):
            if not found.key.endswith("/intent.json"):
                continue
            try:
                intent = Intent.decode(self._store.read(found.key), found.key)
            except NotFoundError:
                continue
            outcome = read_outcome(self._store, intent.attempt)
            if outcome is None or outcome.decision != "void":
                pinned |= set(intent.digests)
        return pinned

    def _needed(self) -> set[Key]:
        """Mark: pointers, then outcomes and retirements."""
        roots = self._pointed()
        attempts = {attempt_of(f.key) for f in self._store.list(ATTEMPTS) if f.key.endswith("/outcome.json")}
        for attempt in attempts:
            outcome = read_outcome(self._store, attempt)
            sealed = outcome is not None and outcome.decision == "sealed"
            if sealed and self._store.stat(retired_key(attempt)) is None:
                roots.add(attempt)
        needed: set[Key] = set()
        for attempt in roots:
            key = refs_key(attempt)
            needed |= {stored.key for stored in Refs.decode(self._store.read(key), key).objects.values()}
        return needed

    def _pointed(self) -> set[AttemptId]:
        logs = [f"{NAMES}{name}/" for name in self._store.list_folders(NAMES)]
        for experiment in self._store.list_folders(EXPERIMENTS):
            prefix = f"{EXPERIMENTS}{experiment}/pointers/"
            logs += [f"{prefix}{name}/" for name in self._store.list_folders(prefix)]
        heads = [next(iter(self._store.list(log, limit=1))) for log in logs]
        return {Generation.decode(self._store.read(head.key), head.key).target.attempt for head in heads}
