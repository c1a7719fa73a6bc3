"""Registries that do what a test says, and the line that delivers to one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.builders.runs import BytesSource, a_run
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Delivery, Journal, StagedPack
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import LineParts, Sources
from sealrun.services.delivery.pausing import Hold
from sealrun.services.publication.uploading import Sent


class FakeRegistry:
    """What stands behind `Publishing`: publishes, or raises what the test wants raised.

    `trouble` is raised by everything; `refuse_opening` only when it is opened; `during` runs inside each publication.
    """

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.registry_id = name
        self.ahead: list[Sent | None] = []
        self.trouble: Exception | None = None
        self.refuse_opening: Exception | None = None
        self.during: Callable[[SealedRun, AttemptTicket, Sources], None] | None = None
        self.published: list[SealedRun] = []
        self.tickets: list[AttemptTicket] = []
        self.recovered = 0
        self.compacted = 0
        self.opened = 0
        self.closed = 0
        self.arrived = threading.Event()

    def open(self) -> FakeRegistry:
        if self.refuse_opening is not None:
            raise self.refuse_opening
        self._fail()
        self.opened += 1
        return self

    def publish(
        self,
        run: SealedRun,
        ticket: AttemptTicket,
        sources: Sources,
        _staged: Sequence[StagedPack] = (),
        ahead: Sent | None = None,
    ) -> Published:
        self.ahead.append(ahead)
        self.tickets.append(ticket)
        self._fail()
        if self.during is not None:
            self.during(run, ticket, sources)
        self.published.append(run)
        self.arrived.set()
        envelope = run.envelope()
        return Published(
            experiment=envelope.experiment,
            run_id=envelope.run_id,
            attempt=ticket.attempt,
            root_sha256=run.sums().root,
            new=True,
        )

    def recover(self) -> None:
        self._fail()
        self.recovered += 1

    def compact(self) -> None:
        self._fail()
        self.compacted += 1

    def close(self) -> None:
        self.closed += 1

    def names(self) -> list[str]:
        """Names of the runs that arrived, in order."""
        return [run.envelope().name for run in self.published]

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class PostOffice:
    """A journal on disk, and lines that deliver from it on a clock under the test's control."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = FakeClock()
        self.entropy = FakeEntropy()
        self._opened: list[SqliteJournal] = []
        self.journal: Journal = self.reopened()
        self.there = True
        self.again: list[str] = []
        self.pauses = 0

    def reopened(self) -> SqliteJournal:
        """The journal, opened once more, as a restarted process does."""
        journal = open_journal(self.state, self.clock, self.entropy)
        self._opened.append(journal)
        return journal

    def line(self, registry: FakeRegistry, hold: Hold | None = None) -> DeliveryLine:
        """A line of a new process's."""
        parts = LineParts(
            journal=self.journal,
            clock=self.clock,
            entropy=self.entropy,
            folder_sources=lambda _run: lambda _entry: BytesSource(b""),
            is_there=lambda _run: self.there,
            on_settle_again=self.again.append,
            on_pause=self._pause,
        )
        return DeliveryLine(registry.name, registry.open, parts, hold=hold)

    def _pause(self) -> None:
        self.pauses += 1

    def accept(self, name: str, *registries: str) -> int:
        """Queue a run."""
        run, _ = a_run(name=name)
        return self.journal.deliveries.accept(run, registries or ("main",))

    def only(self, registry: str = "main") -> Delivery:
        """The one delivery to a registry."""
        (delivery,) = self.journal.deliveries.all(registry=registry)
        return delivery

    def kinds(self) -> list[str]:
        """Kinds of the events, oldest first."""
        return [event["kind"] for event in reversed(self.journal.events.recent())]

    def close(self) -> None:
        """Close every journal that was opened."""
        for journal in self._opened:
            journal.close()

    def drain(self, line: DeliveryLine) -> int:
        """Let a line do all that is due; return how many deliveries that were."""
        count = 0
        while line.run_once():
            count += 1
        return count
