"""The reuse rule: which bytes of a run a registry has already, so that an attempt may reference them.

The order is load-bearing (docs/design.md, invariant I6): the attempt's intent is durable before the condemned
batches are read, and they are read before a key is looked at. Either a collector sees the intent, or the attempt
sees what the collector is about to delete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sealrun.domain.address import (
    BATCHES,
    CONDEMNED_FILE,
    QUARANTINE,
    AttemptId,
    Digest,
    Key,
    outcome_key,
    parse_object_key,
    quarantined_object,
)
from sealrun.domain.collection import Condemned
from sealrun.domain.errors import NotFoundError, UnsupportedFormatError
from sealrun.domain.publication import Outcome, Stored
from sealrun.ports import Store
from sealrun.services.fanning import fan_out

_CONDEMNED = f"/{CONDEMNED_FILE}"


def read_condemned(store: Store) -> frozenset[Key]:
    """Return every key that must not be referenced: condemned by a collector, or quarantined as damaged.

    A batch that vanishes midway is finished.
    """
    keys: set[Key] = set()
    for found in store.list(BATCHES):
        if not found.key.endswith(_CONDEMNED):
            continue
        try:
            keys.update(Condemned.decode(store.read(found.key), found.key).keys)
        except NotFoundError:
            continue
    keys.update(quarantined_object(found.key) for found in store.list(QUARANTINE))
    return frozenset(keys)


def _holds(key: Key, digest: Digest) -> bool:
    """Tell whether `key` is that of an object with `digest`: a hint may say anything."""
    try:
        return parse_object_key(key).digest == digest
    except UnsupportedFormatError:
        return False


class Reuse:
    """Applies the reuse rule for one attempt, whose intent is durable before this is made."""

    def __init__(self, store: Store, attempt: AttemptId) -> None:
        """Read the condemned batches now: the intent of `attempt` must be durable already."""
        self._store = store
        self._attempt = attempt
        self._condemned = read_condemned(store)

    def find(self, hinted: Mapping[Digest, Key], sizes: Mapping[Digest, int]) -> dict[Digest, Stored]:
        """Return the hinted keys that may be referenced: not condemned, creator not void, there with the right size."""
        width = self._store.capabilities.parallel
        open_to_use = {
            digest: key for digest, key in hinted.items() if key not in self._condemned and _holds(key, digest)
        }
        creators = {parse_object_key(key).creator for key in open_to_use.values()} - {self._attempt}
        void = {
            creator
            for creator, is_void in zip(creators, fan_out(self._is_void, creators, width), strict=True)
            if is_void
        }
        candidates = [(digest, key) for digest, key in open_to_use.items() if parse_object_key(key).creator not in void]
        return dict(found for found in fan_out(lambda pair: self._look(pair, sizes), candidates, width) if found)

    def own(
        self, digests: Iterable[Digest], sizes: Mapping[Digest, int], keys: Mapping[Digest, Key]
    ) -> dict[Digest, Stored]:
        """Return what an earlier life of the same attempt has uploaded: only it writes these keys, and never a part."""
        pairs = [(digest, keys[digest]) for digest in digests]
        return dict(
            found
            for found in fan_out(lambda pair: self._look(pair, sizes), pairs, self._store.capabilities.parallel)
            if found
        )

    def _is_void(self, creator: AttemptId) -> bool:
        key = outcome_key(creator)
        try:
            return Outcome.decode(self._store.read(key), key).decision == "void"
        except NotFoundError:
            return False

    def _look(self, pair: tuple[Digest, Key], sizes: Mapping[Digest, int]) -> tuple[Digest, Stored] | None:
        digest, key = pair
        found = self._store.stat(key)
        if found is None or found.size != sizes[digest]:
            return None
        return digest, Stored(key, found.size)
