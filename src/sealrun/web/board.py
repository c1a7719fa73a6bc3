"""What the web asks of a daemon. Calls may take a while (a registry is asked): they never run on the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sealrun.domain.oversight.board import (
    Alarm,
    CollectionPlan,
    EventRow,
    FilePage,
    Opened,
    Overview,
    PendingPage,
    Picture,
    PointerMove,
    PointerRow,
    QueuePage,
    RunDetail,
    RunPage,
    RunQuestion,
    ScrubResult,
    StoragePoint,
    TablePreview,
    TextPreview,
)

__all__ = ["Board", "Opened"]


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

    def pending(self, watch: str, page: int = 1, size: int = 100) -> PendingPage:
        """A page of a watch's candidates that are not simply sealed."""
        ...

    def queue(self, registry: str, page: int = 1, size: int = 100) -> QueuePage:
        """A page of what waits for a registry."""
        ...

    def events(self, after: int = 0, limit: int = 100) -> Sequence[EventRow]:
        """Events after that number, oldest first; with 0 the newest `limit`, with -1 the very first ones."""
        ...

    def runs(self, question: RunQuestion) -> RunPage:
        """A page of runs. What was published in the last seconds may not be in it yet."""
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

    def picture(self, registry: str, experiment: str, run_id: str, path: str) -> Picture:
        """One of its files, if its bytes are those of a picture that may be shown inline; else `UsageError`."""
        ...

    def pointers(self, registry: str, experiment: str | None = None) -> Sequence[PointerRow]:
        """Where every pointer stands."""
        ...

    def pointer_history(self, registry: str, experiment: str, name: str) -> Sequence[PointerMove]:
        """The newest generations of a pointer, newest first: at most a thousand."""
        ...

    def storage(self, registry: str) -> Sequence[StoragePoint]:
        """A registry over time, oldest first."""
        ...

    def collection_plan(self, registry: str) -> CollectionPlan:
        """What the collector would do now, or would have done a minute ago. May take long."""
        ...

    def scrubs(self, registry: str) -> Sequence[ScrubResult]:
        """Verifications, newest first."""
        ...
