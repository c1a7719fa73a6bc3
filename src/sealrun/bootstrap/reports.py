"""What producing commands say they did."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.sealed import Published


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one run in one registry: `published`, or the error that is in the way for now."""

    registry: str
    published: Published | None
    error: SealrunError | None = None


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
    """What one look at every watch did. `waiting` and `rejected` map paths to reasons."""

    published: tuple[PublishReport, ...]
    waiting: Mapping[str, str]
    rejected: Mapping[str, str]
    missing: tuple[str, ...]
