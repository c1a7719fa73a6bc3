"""Opening a registry: is it one, is it the one we know, and can its store keep the promises?"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sealrun.domain.address import REGISTRY
from sealrun.domain.errors import NoRegistryError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import JsonObject, Record
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.storage.certainty import Certainty


class RegistryRecord(Record, frozen=True, kw_only=True):
    """``registry.json``: what makes a place a registry. Write-once."""

    KIND: ClassVar[str] = "registry"
    registry_id: str
    created_at: str
    options: JsonObject = msgspec.field(default_factory=dict)


def read_registry(store: Store, clock: Clock, entropy: Entropy) -> RegistryRecord | None:
    """Return the registry's record, or None if there is none. Writes nothing."""
    body = Certainty(store, clock, entropy).read(REGISTRY)
    return None if body is None else RegistryRecord.decode(body, REGISTRY)


def require_registry(store: Store, clock: Clock, entropy: Entropy, expected: str | None = None) -> RegistryRecord:
    """Return the registry's record; `NoRegistryError` if there is none or not the one with id `expected`."""
    record = read_registry(store, clock, entropy)
    if record is None:
        gone = " (there was one before: is a disk not mounted, or the wrong bucket configured?)" if expected else ""
        msg = (
            f"{store.url}: no registry there{gone}; the first publish makes it, or: sealrun init FOLDER --registry URL"
        )
        raise NoRegistryError(msg)
    if expected is not None and record.registry_id != expected:
        msg = (
            f"{store.url}: holds registry {record.registry_id}, but registry {expected} was there before: "
            "is another disk mounted, or was the registry made anew? If so, remove the state folder's memory of it "
            "with: sealrun doctor --forget-registry"
        )
        raise NoRegistryError(msg)
    return record


def create_registry(store: Store, clock: Clock, entropy: Entropy, options: JsonObject | None = None) -> RegistryRecord:
    """Make `store` a registry, or return the record of the one that is there. Durable on return."""
    proposed = RegistryRecord(
        registry_id=entropy.hex(32),
        created_at=rfc3339(clock.now()),
        options=options or {},
    )
    body = Certainty(store, clock, entropy).create(REGISTRY, proposed.encode())
    return RegistryRecord.decode(body, REGISTRY)
