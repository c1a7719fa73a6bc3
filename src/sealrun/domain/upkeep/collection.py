"""The collector's records, and what it may delete: the other half of the proof in `domain.registry.publication`.

::

    mark ─ CONDEMNED ─ mark again (intents, then pointers, then outcomes) ─ VERDICT ─ delete ─ look ─ log ─ rm condemned

A key is deleted only if a durable verdict sweeps it, and a verdict sweeps only what a durable condemnation named.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from sealrun.domain.address import Digest, Key
from sealrun.domain.records import FORMAT, Record, canonical_json_without_floats, json_line


class CondemnedObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A key that is about to be deleted, its size in bytes, and the last run that used it (``EXPERIMENT/RUN_ID``)."""

    key: Key
    size: int
    used_by: str | None = None

    def line(self, batch: str) -> bytes:
        """Return its line of the deletion log."""
        said = {"batch": batch, "format": FORMAT, "key": self.key, "kind": "deleted", "size": self.size}
        return json_line(said if self.used_by is None else {**said, "used_by": self.used_by})


class Condemned(Record, frozen=True, kw_only=True):
    """Keys that a collector is about to delete unless a second mark finds them needed. `by` is its state folder."""

    KIND: ClassVar[str] = "condemned"
    batch: str
    by: str
    condemned_at: str
    objects: tuple[CondemnedObject, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys."""
        return tuple(condemned.key for condemned in self.objects)

    def encode(self) -> bytes:
        """Return the record's canonical bytes."""
        return canonical_json_without_floats(self.to_json())


class Verdict(Record, frozen=True, kw_only=True):
    """What becomes of a batch: THE decision, write-once; whoever finds another's obeys it.

    ``sweep`` deletes every key of the condemned record whose digest is `condemned_sha256`, except those `spared`;
    ``cancel`` deletes nothing.
    """

    KIND: ClassVar[str] = "verdict"
    batch: str
    nonce: str
    decision: Literal["sweep", "cancel"]
    decided_at: str
    by: str
    condemned_sha256: Digest | None = None
    spared: tuple[Key, ...] = ()
    why: str | None = None

    def sweeps(self, condemned: Condemned) -> tuple[CondemnedObject, ...]:
        """Return what is to be deleted."""
        if self.decision == "cancel":
            return ()
        spared = frozenset(self.spared)
        return tuple(found for found in condemned.objects if found.key not in spared)
