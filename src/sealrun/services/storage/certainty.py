"""The one retry layer: turns "perhaps written" into "written" or "somebody else was first".

A store's `create` may lose its answer. Re-issuing the same bytes is always safe, and since every record that can
collide carries a nonce, finding our own bytes under the key means that the write was ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sealrun.domain.address import Key
from sealrun.domain.errors import NotFoundError, OutcomeUnknownError, UnavailableError
from sealrun.domain.pieces import Body
from sealrun.ports import Clock, Creation, Entropy, Store
from sealrun.services.storage.bodies import read_body

_TRIES = 6
_FIRST_WAIT_S = 0.2

T = TypeVar("T")
B = TypeVar("B", bytes, Body)


class Certainty:
    """Write-once creation with a certain answer, and reads that ride out a hiccup."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, tries: int = _TRIES) -> None:
        """Work on `store`; give up after `tries` ambiguous answers in a row."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._tries = tries

    @property
    def parallel(self) -> int:
        """How many requests are worth having in flight."""
        return self._store.capabilities.parallel

    def create(self, key: Key, body: B) -> B | bytes:
        """Make `key` exist and return the bytes that stand there, durably: `body` if we won, else the winner's.

        Repeating with the same body is harmless. `OutcomeUnknownError` if the store stays ambiguous: then the same
        call must be made again later, by whoever holds the same body.
        """
        return self.create_first(key, body)[0]

    def create_first(self, key: Key, body: B) -> tuple[B | bytes, bool]:
        """Create like `create`; say also whether it is certain that nothing stood there before this call.

        After an answer that was lost it is not: what stands there then may be ours or not, and is of the same bytes.
        """

        def once() -> tuple[B | bytes, bool]:
            if self._store.create(key, body) is Creation.CREATED:
                return body, True
            try:
                return self._standing(key, body), False
            except NotFoundError as error:
                # Listed as existing, yet not readable: a deletable record was deleted in between. Ask again.
                msg = f"{key}: existed a moment ago and cannot be read now"
                raise OutcomeUnknownError(msg) from error

        return self._until_certain(once)

    def _standing(self, key: Key, body: Body) -> Any:  # noqa: ANN401 - of the kind that `body` is of, or bytes
        """Read what stands there; where ours is long, so is that."""
        return self._store.read(key) if isinstance(body, bytes) else read_body(self._store, key)

    def read(self, key: Key) -> bytes | None:
        """Return the bytes of `key`, or None if the store is certain that there are none."""

        def once() -> bytes | None:
            try:
                return self._store.read(key)
            except NotFoundError:
                return None

        return self._until_certain(once)

    def _until_certain(self, once: Callable[[], T]) -> T:
        wait = _FIRST_WAIT_S
        for left in range(self._tries - 1, -1, -1):
            try:
                return once()
            except (OutcomeUnknownError, UnavailableError):
                if not left:
                    raise
                self._clock.sleep(wait * self._entropy.uniform(0.5, 1.0))
                wait *= 2
        raise AssertionError  # the last try returns or raises
