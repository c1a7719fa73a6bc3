"""What the web asks of a daemon. Calls may take a while (a registry is asked): they never run on the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, Protocol

from sealrun.domain.board import (
    Alarm,
    CollectionPlan,
    EventRow,
    FilePage,
    Overview,
    PendingFolder,
    PointerMove,
    PointerRow,
    QueuedRun,
    RunDetail,
    RunPage,
    RunQuestion,
    ScrubResult,
    StoragePoint,
    TablePreview,
    TextPreview,
)


class Opened(NamedTuple):
    """One file of a run, verified as it is read. The caller closes `body`."""

    name: str
    size: int
    sha256: str
    body: BinaryIO


class Board(Protocol):
    """Everything that can be looked at. Changes nothing.

    All raise `SealrunError`s: `NotFoundError` for what is not there, `StorageError` for a registry that cannot be
    reached, `UsageError` for names that are none.
    """

    def overview(self) -> Overview:
        """The journal only: quick, whatever the registries do."""
        ...

    def alarms(self) -> Sequence[Alarm]:
        """What stands now."""
        ...

    def pending(self, watch: str, page: int = 1, size: int = 100) -> tuple[Sequence[PendingFolder], int]:
        """A page of a watch's candidates that are not simply sealed, and how many there are."""
        ...

    def queue(self, registry: str, page: int = 1, size: int = 100) -> tuple[Sequence[QueuedRun], int]:
        """A page of what waits for a registry, and how many there are."""
        ...

    def events(self, after: int = 0, limit: int = 100) -> Sequence[EventRow]:
        """Events after that number, oldest first; with 0 the newest `limit`."""
        ...

    def runs(self, question: RunQuestion) -> RunPage:
        """A page of runs."""
        ...

    def run(self, registry: str, experiment: str, run_id: str) -> RunDetail:
        """One run."""
        ...

    def files(self, registry: str, experiment: str, run_id: str, page: int = 1, size: int = 200) -> FilePage:
        """A page of its files."""
        ...

    def open_file(self, registry: str, experiment: str, run_id: str, path: str) -> Opened:
        """One of its files."""
        ...

    def table(self, registry: str, experiment: str, run_id: str, path: str) -> TablePreview:
        """The first rows of one of its files. `UsageError` if it is no table that can be shown."""
        ...

    def text(self, registry: str, experiment: str, run_id: str, path: str) -> TextPreview:
        """The beginning of one of its files."""
        ...

    def pointers(self, registry: str, experiment: str | None = None) -> Sequence[PointerRow]:
        """Where every pointer stands."""
        ...

    def pointer_history(self, registry: str, experiment: str, name: str) -> Sequence[PointerMove]:
        """Every generation of a pointer, newest first."""
        ...

    def storage(self, registry: str) -> Sequence[StoragePoint]:
        """A registry over time, oldest first."""
        ...

    def collection_plan(self, registry: str) -> CollectionPlan:
        """What the collector would do now."""
        ...

    def scrubs(self, registry: str) -> Sequence[ScrubResult]:
        """Verifications, newest first."""
        ...
