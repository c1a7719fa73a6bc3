"""What producing commands say they did."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sealrun.domain.errors import SealrunError, StorageError
from sealrun.domain.runs.sealed import Published


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one run in one registry: `published`, or the error that is in the way for now."""

    registry: str
    published: Published | None
    error: SealrunError | None = None

    def arrived(self, what: str) -> Published:
        """Return what was published, or raise what is in the way: then `what` is queued."""
        if self.published is None:
            raise self.error or StorageError(f"{what} was not delivered to {self.registry!r}")
        return self.published


class PublishReport(msgspec.Struct, frozen=True, kw_only=True):
    """A run and what became of it in each registry."""

    experiment: str
    run_id: str
    name: str
    root_sha256: str
    size: int
    files: int
    deliveries: tuple[Delivered, ...]

    @property
    def ref(self) -> str:
        """The run's reference: as published, where it was, since another content may have held the id before."""
        done = next((delivered.published for delivered in self.deliveries if delivered.published), None)
        return done.ref if done else f"{self.experiment}/{self.run_id}"


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at every watch did. `waiting` and `rejected` map paths to reasons, `unseen` watches to them."""

    published: tuple[PublishReport, ...]
    waiting: Mapping[str, str]
    rejected: Mapping[str, str]
    unseen: Mapping[str, str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Watches whose folders are not there or cannot be believed, each with the reason."""
        return tuple(f"{watch}: {reason}" for watch, reason in self.unseen.items())
