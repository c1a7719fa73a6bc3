"""The producer's side of the parts: seal a path, publish it now, look once at every watch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from threading import Lock
from typing import Any

from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.adapters.run_folders.seals import LocalSeals
from sealrun.adapters.run_folders.sources import LocalFolderSource, open_alone
from sealrun.adapters.run_folders.writers import FRESH_S, ProcWriters
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.bootstrap.verbs.reports import Delivered, PublishReport, ScanReport
from sealrun.bootstrap.verbs.written_records import write_records
from sealrun.domain.address import parse_name
from sealrun.domain.errors import SealrunError, UsageError
from sealrun.domain.oversight.metering import HASHED_BYTES
from sealrun.domain.runs.run import Completion
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import UNMETERED, Clock, Delivery, Entropy, HashCache, Meters
from sealrun.services.delivery.delivering_now import deliver_now
from sealrun.services.delivery.meters import DeliveryMeters
from sealrun.services.delivery.parts import SIDE_BY_SIDE, AtHand, Sources, alone_with
from sealrun.services.delivery.staging import StagedSealings
from sealrun.services.delivery.together import deliver_together
from sealrun.services.oversight.measuring import MeasuredJournal
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.watching.accepting import Acceptor
from sealrun.services.watching.intake import Intake
from sealrun.services.watching.sealing import Sealing, SealRequest, seal

_BY_COMMAND = Completion(method="command", evidence="sealrun", confidence="declared")
_POLL_S = 0.5
_TOGETHER = 64


def folder_sources(run: SealedRun, hashes: HashCache) -> Sources:
    """Return where a sealed run's bytes are in its folder; the upload itself finds out whether they changed."""
    folder = LocalFolder(run.folder, unit=run.envelope().unit, hashes=hashes)
    return folder.source


class Producer:
    """Seals and publishes from this process. The journal's claims keep it apart from a daemon beside it."""

    def __init__(
        self,
        journal: MeasuredJournal,
        registries: Mapping[str, RegistrySpec],
        watches: Sequence[WatchSpec],
        clock: Clock,
        entropy: Entropy,
        *,
        jobs: int | None = None,
        meters: Meters = UNMETERED,
    ) -> None:
        """Publish to `registries`; each is opened when the first run goes there. `meters` count what is done."""
        self._meters = meters
        self._journal = journal
        self._registries = registries
        self._watches = watches
        self._clock = clock
        self._entropy = entropy
        self._jobs = jobs
        self._opener = Opener(journal, clock, entropy)
        self._opened: dict[str, OpenedRegistry] = {}
        self._opening = Lock()
        self._unopened: dict[str, SealrunError] | None = None
        self._targets: tuple[str, ...] = ()
        self._may_send = True
        self._staged = StagedSealings(self._first_open, lambda: self._may_send)

    def seal(self, path: str, experiment: str, *, run_id: str | None = None, output: Path | None = None) -> Sealing:
        """Seal without publishing; with `output`, write the three records there. The run itself is not touched."""
        sealing = seal(self._open(path), self.request(experiment, run_id, {}, ()))
        if output is not None:
            write_records(sealing.run, output)
        return sealing

    def publish(
        self,
        path: str,
        experiment: str,
        *,
        registries: Sequence[str] = (),
        run_id: str | None = None,
        names: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
    ) -> PublishReport:
        """Seal `path` and publish it now, there and nowhere else. What cannot be delivered now stays queued."""
        self.aim(registries)
        try:
            sealing = self._staged.seal(self._open(path), self.request(experiment, run_id, names or {}, tags))
            number = self._accept(sealing.run)
            self._staged.keep(number, sealing)
        finally:
            self._staged.sweep()
        return self._report(sealing.run, self._deliver_all(number, self._targets))

    def aim(self, registries: Sequence[str]) -> None:
        """Publish to these registries from now on, or to all that may be written; `UsageError` if one cannot be."""
        self._targets = tuple(dict.fromkeys(registries)) or tuple(self._writable())
        self._check_targets()

    def publish_sealed(self, run: SealedRun) -> PublishReport:
        """Publish what was sealed elsewhere, from its folder. What cannot be delivered now stays queued."""
        number = self._accept(run)
        return self._report(run, self._deliver_all(number, self._targets))

    def _accept(self, run: SealedRun) -> int:
        """Queue a run for every target, also where it was published before: it may have been retired since."""
        number = self._journal.deliveries.accept(run, self._targets)
        self._journal.deliveries.repeat(number, self._targets)
        return number

    def scan_once(self) -> ScanReport:
        """Take what is complete now in every watch, and deliver everything that is queued, some side by side.

        A registry that cannot be opened is not tried again for each run.
        """
        waiting: dict[str, str] = {}
        rejected: dict[str, str] = {}
        unseen: dict[str, str] = {}
        taken: set[int] = set()
        done: dict[int, PublishReport] = {}
        self._unopened = {}

        def launch(work: Callable[[], None]) -> None:
            try:
                work()
            finally:
                self._staged.sweep()
            # What waits in a stage takes a file of this process each, and memory.
            if len(taken - done.keys()) >= _TOGETHER or self._staged.full:
                self._deliver_each(taken - done.keys(), done)

        try:
            for watch in self._watches:
                self._targets = watch.registries
                self._may_send = watch.on_failed == "seal"  # others are kept back, which is known once they are sealed
                writers = ProcWriters(max_age_s=FRESH_S)
                intake = Intake(self._acceptor(watch, taken), writers, launch=launch, settle_now=True)
                report = intake.rescan(self._clock.monotonic())
                if report.missing is not None:
                    unseen[watch.name] = report.missing
                for record in self._journal.folders.all(watch.name):
                    if record.state in {"settling", "stale"}:
                        waiting[record.path] = record.reason
                    elif record.state == "rejected":
                        rejected[record.path] = record.reason
            queued = {delivery.sealed for delivery in self._journal.deliveries.all(state="queued")}
            self._deliver_each((queued | taken) - done.keys(), done)
        finally:
            self._unopened = None
        for opened in self._opened.values():
            opened.compact()  # nobody else does, where cron takes the daemon's place
        published = tuple(report for _, report in sorted(done.items()))
        return ScanReport(published=published, waiting=waiting, rejected=rejected, unseen=unseen)

    def _deliver_each(self, numbers: Collection[int], done: dict[int, PublishReport]) -> None:
        """Deliver runs, and put what became of each into `done`."""

        def deliver(number: int) -> PublishReport:
            return self._report(self._journal.deliveries.run(number), self._deliver_all(number))

        done.update(deliver_together(numbers, partial(alone_with, self._at_hand), deliver, SIDE_BY_SIDE))

    def registry(self, name: str) -> OpenedRegistry:
        """Return the registry of that name, opened for publishing."""
        with self._opening:
            if self._unopened is not None and name in self._unopened:
                raise self._unopened[name]
            if name not in self._opened:
                try:
                    self._opened[name] = self._opener.for_publishing(self._registries[name])
                except SealrunError as error:
                    if self._unopened is not None:
                        self._unopened[name] = error
                    raise
            return self._opened[name]

    def close(self) -> None:
        """Close every store."""
        for opened in self._opened.values():
            opened.close()
        self._opened.clear()

    def _open(self, path: str) -> LocalFolder:
        return open_alone(path, self._journal.hashes, workers=self._jobs)

    def _writable(self) -> list[str]:
        return [name for name, spec in self._registries.items() if not spec.read_only]

    def _check_targets(self) -> None:
        if not self._targets:
            msg = "there is no registry to publish to; make one with `sealrun init .`, or name one with --registry"
            raise UsageError(msg)
        for name in self._targets:
            if name not in self._registries:
                msg = f"no registry {name!r} in the settings (they name: {', '.join(self._registries) or 'none'})"
                raise UsageError(msg)
            if self._registries[name].read_only:
                msg = f"registry {name!r} is read-only, as the settings say (read_only = true); publish to another one"
                raise UsageError(msg)

    def request(
        self, experiment: str, run_id: str | None, names: Mapping[str, str], tags: Sequence[str]
    ) -> SealRequest:
        """What a command says of a run that it seals."""
        return SealRequest(
            experiment=parse_name(experiment, "experiment"),
            completion=_BY_COMMAND,
            names=names,
            tags=tuple(tags),
            run_id=run_id,
        )

    def _acceptor(self, watch: WatchSpec, taken: set[int]) -> Acceptor:
        def on_sealed(number: int, sealing: Sealing) -> None:
            taken.add(number)
            self._staged.keep(number, sealing)

        meters, hashed = self._meters, self._meters.counter(HASHED_BYTES, watch=watch.name)
        source = LocalFolderSource(watch, self._journal.hashes, self._jobs, hashed=hashed)
        parts: dict[str, Any] = {"sealer": self._staged.seal, "on_sealed": on_sealed, "seals": LocalSeals()}
        return Acceptor(watch, source, self._journal, self._clock, **parts, meters=meters)

    def _first_open(self) -> OpenedRegistry | None:
        """Return the first target on this machine, else the first. What cannot be opened stops no sealing."""
        opened = []
        for name in self._targets:
            with suppress(SealrunError):
                opened.append(self.registry(name))
        return next((registry for registry in opened if registry.store.capabilities.links), next(iter(opened), None))

    def _deliver_all(self, number: int, only: Collection[str] | None = None) -> tuple[Delivered, ...]:
        try:
            names = sorted(known.registry for known in self._journal.deliveries.of(number))
            return tuple(self._deliver(number, name) for name in names if name in (only or self._writable()))
        finally:
            self._staged.release(number)

    def _deliver(self, number: int, name: str) -> Delivered:
        """Deliver one run to one registry now, or wait for the process that is at it."""
        while True:
            known = self._known(number, name)
            if known.state == "published":
                return Delivered(registry=name, published=known.published)
            if known.state == "parked":
                return Delivered(registry=name, published=None, error=SealrunError(known.error or "parked"))
            claimed = self._journal.deliveries.claim(name, inf, number)
            if claimed is None:
                self._clock.sleep(_POLL_S)
                continue
            error = deliver_now(
                claimed,
                self._journal,
                lambda: self.registry(name),
                self._at_hand(number),
                self._clock,
                self._entropy,
                DeliveryMeters(self._meters, name, self._clock, self._journal.moments.accepted),
            )
            if error is not None:
                return Delivered(registry=name, published=None, error=error)

    def _at_hand(self, number: int) -> AtHand:
        """A sealed run: from this process, or from the journal and its folder."""
        known = self._staged.at_hand(number)
        if known is None:
            run = self._journal.deliveries.run(number)
            known = AtHand(run, folder_sources(run, self._journal.hashes))
        return known

    def _known(self, number: int, name: str) -> Delivery:
        return next(known for known in self._journal.deliveries.of(number) if known.registry == name)

    def _report(self, run: SealedRun, deliveries: tuple[Delivered, ...]) -> PublishReport:
        envelope = run.envelope()
        done = next((delivered.published for delivered in deliveries if delivered.published), None)
        return PublishReport(
            experiment=envelope.experiment,
            run_id=done.run_id if done else envelope.run_id,
            name=envelope.name,
            root_sha256=done.root_sha256 if done else run.sums().root,
            size=envelope.size,
            files=envelope.files,
            deliveries=deliveries,
        )
