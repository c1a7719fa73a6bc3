"""The batches of a registry: what is condemned, and the verdict on it. Whoever finds another's verdict obeys it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sealrun.domain.address import CONDEMNED, Digest, Key, attempt_id, batch_key, batch_of, condemned_key
from sealrun.domain.errors import CollectionRefusedError, NotFoundError
from sealrun.domain.moments import rfc3339
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject, Verdict
from sealrun.ports import Clock, Entropy, ObjectStat, Store
from sealrun.services.storage.certainty import Certainty

VERDICT_FILE = "verdict.json"


class Batch(msgspec.Struct, frozen=True):
    """A batch whose condemned record stands. `condemned_at` is POSIX seconds by the store's clock."""

    name: str
    condemned_at: float


class Batches:
    """The batches of one registry, for one collector."""

    def __init__(self, store: Store, certainty: Certainty, clock: Clock, entropy: Entropy, owner: str) -> None:
        """Condemn and decide in the name of the state folder `owner`."""
        self._store = store
        self._certainty = certainty
        self._clock = clock
        self._entropy = entropy
        self._owner = owner

    def standing(self) -> list[Batch]:
        """Batches whose condemned record stands, oldest first."""
        return [Batch(batch_of(found.key), found.modified) for found in self._store.list(CONDEMNED)]

    def is_decided(self, batch: str) -> bool:
        """Tell whether there is a verdict."""
        return self._store.stat(batch_key(batch, VERDICT_FILE)) is not None

    def stands(self, batch: str) -> bool:
        """Tell whether the condemned record stands: else the batch is over, whatever may be found or written of it."""
        return self._store.stat(condemned_key(batch)) is not None

    def keys(self, listed: Iterable[ObjectStat]) -> Iterator[Key]:
        """Keys of all batches that stand in a listing: whoever began one, or takes it over, deletes them."""
        for key in (found.key for found in listed if found.key.startswith(CONDEMNED)):
            try:
                yield from Condemned.decode(self._store.read(key), key).keys
            except NotFoundError:
                continue

    def condemn(self, objects: tuple[CondemnedObject, ...]) -> tuple[Condemned, bytes]:
        """Begin a batch; durable on return. A crash leaves it without a verdict: somebody cancels it."""
        name = attempt_id(self._clock.now().strftime("%Y%m%dT%H%M%SZ"), self._entropy.hex(16))
        condemned = Condemned(batch=name, by=self._owner, condemned_at=self._stamp(), objects=objects)
        body = condemned.encode()
        self._certainty.create(condemned_key(name), body)
        return condemned, body

    def condemned(self, batch: str) -> bytes | None:
        """The condemned record's bytes; None if the batch is finished."""
        return self._certainty.read(condemned_key(batch))

    def verdict(self, batch: str) -> Verdict:
        """The verdict that stands."""
        key = batch_key(batch, VERDICT_FILE)
        return Verdict.decode(self._store.read(key), key)

    def decide(self, batch: str, condemned: Digest, spared: Sequence[Key], *, cancel: bool) -> Verdict:
        """Propose to sweep the record with the digest `condemned` but for `spared`, or nothing; return what stands."""
        return self._create(
            Verdict(
                batch=batch,
                nonce=self._entropy.hex(32),
                decision="cancel" if cancel else "sweep",
                decided_at=self._stamp(),
                by=self._owner,
                condemned_sha256=condemned,
                spared=() if cancel else tuple(spared),
                why="everything in it is needed again" if cancel else None,
            )
        )

    def cancel(self, batch: str) -> Verdict:
        """Propose to cancel a batch that was abandoned; return the verdict that stands."""
        return self._create(
            Verdict(
                batch=batch,
                nonce=self._entropy.hex(32),
                decision="cancel",
                decided_at=self._stamp(),
                by=self._owner,
                why="abandoned without a verdict",
            )
        )

    def _create(self, proposed: Verdict) -> Verdict:
        key = batch_key(proposed.batch, VERDICT_FILE)
        return Verdict.decode(self._certainty.create(key, proposed.encode()), key)

    def _stamp(self) -> str:
        return rfc3339(self._clock.now())


def checked(verdict: Verdict, condemned: Digest) -> Verdict:
    """Return the verdict, or refuse one about other keys than those of the record with the digest `condemned`."""
    if verdict.decision == "sweep" and verdict.condemned_sha256 != condemned:
        msg = f"the verdict of batch {verdict.batch} is not about its condemned record; verify the registry"
        raise CollectionRefusedError(msg)
    return verdict
