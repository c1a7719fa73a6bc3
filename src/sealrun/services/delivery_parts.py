"""What a delivery line works with: an opened registry, where bytes are found, and the rest of the daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.manifest import Entry
from sealrun.domain.publication import AttemptTicket
from sealrun.domain.sealed import Published, SealedRun
from sealrun.ports import Clock, Entropy, Journal, Source

Sources = Callable[[Entry], Source]


class Publishing(Protocol):
    """An opened registry, as a line needs it. See `services.upkeep.OpenedRegistry`."""

    def publish(self, run: SealedRun, ticket: AttemptTicket, sources: Sources) -> Published:
        """Publish; called again with the same ticket after any error or crash."""
        ...

    def recover(self) -> None:
        """Resume, replay or void the intents that are found in the registry. Harmless to repeat."""
        ...

    def compact(self) -> None:
        """Keep the index short. Harmless to repeat."""
        ...

    def close(self) -> None:
        """Release what was opened."""
        ...


class InterruptedDeliveryError(SealrunError):
    """The line was asked to stop between two uploads; the attempt will be resumed."""


def _nothing_staged(_registry: str, _sealed: int) -> Sources | None:
    return None


def _tell_nobody(_path: str) -> None:
    return None


class LineParts(msgspec.Struct, frozen=True, kw_only=True):
    """What every line of a daemon works with.

    `folder_sources` says where a run's bytes are in its folder; `staged_sources` says so for bytes that wait in a
    store's stage, by registry and id of the sealed run. `is_there`: is the run's folder still on this machine?
    `on_settle_again` is told the path of a folder that has to settle again.
    """

    journal: Journal
    clock: Clock
    entropy: Entropy
    folder_sources: Callable[[SealedRun], Sources]
    is_there: Callable[[SealedRun], bool]
    staged_sources: Callable[[str, int], Sources | None] = _nothing_staged
    on_settle_again: Callable[[str], None] = _tell_nobody
