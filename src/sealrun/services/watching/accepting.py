"""From a folder that settled to a sealed run in the journal, or to the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from sealrun.domain.errors import ConfigurationError, RunChangedError, RunRejectedError, SealrunError
from sealrun.domain.oversight.metering import REJECTED, SEAL_SECONDS, SEALED
from sealrun.domain.runs.run import Completion, Status
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import (
    UNMETERED,
    Clock,
    FolderRecord,
    FolderSeals,
    FolderSource,
    FolderState,
    Journal,
    Meters,
    RunFolder,
)
from sealrun.services.watching.sealing import Sealing, SealRequest, seal
from sealrun.services.watching.sealing_in_place import seal_in_place

Sealer = Callable[[RunFolder, SealRequest], Sealing]
OnSealed = Callable[[int, Sealing], None]


class SealJob(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that is complete: by which evidence, and how it looked then."""

    path: str
    completion: Completion
    status: Status
    fingerprint: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job. ``again``: it changed meanwhile, settle again; ``failed``: try again later."""

    outcome: Literal["sealed", "unchanged", "rejected", "skipped", "again", "failed"]
    reason: str = ""
    sealed: int | None = None
    run_id: str | None = None


class Acceptor:
    """Seals complete candidates of one watch and hands them to the delivery queue. Callable from many threads."""

    def __init__(
        self,
        watch: WatchSpec,
        source: FolderSource,
        journal: Journal,
        clock: Clock,
        *,
        sealer: Sealer = seal,
        on_sealed: OnSealed | None = None,
        seals: FolderSeals | None = None,
        meters: Meters = UNMETERED,
    ) -> None:
        """Seal with `sealer` (which may stage bytes on the way); tell `on_sealed` what was accepted, under which id.

        Where the watch seals in place, `seals` writes into the folders. `meters` count what becomes of candidates.
        """
        self.watch = watch
        self.source = source
        self.journal = journal
        self.clock = clock
        self._sealer = sealer
        self._on_sealed = on_sealed
        self._seals = seals
        self._sealed, self._rejected = (meters.counter(metric, watch=watch.name) for metric in (SEALED, REJECTED))
        self._seconds = meters.histogram(SEAL_SECONDS, watch=watch.name)

    def accept(self, job: SealJob) -> Taken:
        """Seal the candidate and queue it, durably on return. A repeat after a crash is harmless.

        Whatever goes wrong with the folder or a store is told in the answer, never raised.
        """
        try:
            return self._seal(job)
        except RunChangedError as error:
            self.journal.events.record("run.changed", job.path, watch=self.watch.name, reason=str(error))
            return Taken(outcome="again", reason=str(error))
        except RunRejectedError as error:
            self.refuse(job.path, "rejected", "run.rejected", str(error), job.fingerprint)
            return Taken(outcome="rejected", reason=str(error))
        except SealrunError as error:
            return Taken(outcome="failed", reason=str(error))

    def refuse(self, path: str, state: FolderState, event: str, reason: str, fingerprint: str) -> None:
        """Remember that a candidate is not taken while it looks like this, and say why. Nothing is touched."""
        known = self.journal.folders.get(self.watch.name, path)
        record = self.record(known, path, state, reason, fingerprint)
        self.journal.folders.set(record)
        self.journal.events.record(event, path, watch=self.watch.name, reason=reason)
        if state == "rejected":
            self._rejected(1)

    def record(
        self, known: FolderRecord | None, path: str, state: FolderState, reason: str, fingerprint: str
    ) -> FolderRecord:
        """Return a folder's new record, which keeps what is known of its last seal."""
        since = self.clock.now().timestamp()
        if known is None:
            return FolderRecord(
                watch=self.watch.name, path=path, state=state, reason=reason, since=since, fingerprint=fingerprint
            )
        return msgspec.structs.replace(known, state=state, reason=reason, since=since, fingerprint=fingerprint)

    def _seal(self, job: SealJob) -> Taken:
        watch = self.watch
        known = self.journal.folders.get(watch.name, job.path)
        request = SealRequest(
            experiment=watch.experiment_of(job.path),
            completion=job.completion,
            status=job.status,
            names=watch.names,
            supersedes=known.run_id if known else None,
            fingerprint=job.fingerprint,
            preset=watch.preset,
        )
        folder = self.source.open(job.path)
        if watch.seal == "in-place":
            first = seal(folder, request)
            if self._is_kept_back(first):
                return self._keep_back(job.path, first.fingerprint)
            request = msgspec.structs.replace(request, fingerprint=self._seal_in_place(folder, first))
        began = self.clock.monotonic()
        sealing = self._sealer(folder, request)
        self._seconds(self.clock.monotonic() - began)
        envelope = sealing.envelope
        if self._is_kept_back(sealing):
            return self._keep_back(job.path, sealing.fingerprint)
        reason = f"{job.completion.method}: {job.completion.evidence}"
        record = self.record(known, job.path, "sealed", reason, sealing.fingerprint)
        if known is not None and known.sealed is not None and known.manifest_sha256 == envelope.manifest_sha256:
            self.journal.folders.set(record)
            return Taken(outcome="unchanged", sealed=known.sealed, run_id=known.run_id)
        record = msgspec.structs.replace(record, run_id=envelope.run_id, manifest_sha256=envelope.manifest_sha256)
        number = self.journal.deliveries.accept(sealing.run, watch.registries, record)
        self.journal.events.record(
            "run.sealed", f"{envelope.experiment}/{envelope.run_id}", watch=watch.name, path=job.path, reason=reason
        )
        self._sealed(1)
        if self._on_sealed is not None:
            self._on_sealed(number, sealing)
        return Taken(outcome="sealed", sealed=number, run_id=envelope.run_id)

    def _seal_in_place(self, folder: RunFolder, first: Sealing) -> str:
        """Write the seal into the folder; return how that looks then. What changed since an earlier seal is named."""
        if self._seals is None:
            msg = f"watch {self.watch.name!r}: seals runs in place, and nothing here may write into them"
            raise ConfigurationError(msg)
        done = seal_in_place(folder, first, self._seals)
        if done.altered is not None:
            reason = f"changed after it was sealed in place: {done.altered}; it is sealed again, as a new revision"
            self.journal.events.record("run.altered", folder.path, watch=self.watch.name, reason=reason)
        if done.wrote:
            self.journal.events.record("run.sealed_in_place", folder.path, watch=self.watch.name)
        return done.fingerprint

    def _is_kept_back(self, sealing: Sealing) -> bool:
        return sealing.envelope.status == "failed" and self.watch.on_failed != "seal"

    def _keep_back(self, path: str, fingerprint: str) -> Taken:
        if self.watch.on_failed == "skip":
            reason = "the run declares that it failed, and the watch skips failed runs"
            self.refuse(path, "skipped", "run.skipped", reason, fingerprint)
            return Taken(outcome="skipped", reason=reason)
        reason = (
            "the run declares that it failed, and the watch keeps failed runs back; publish it by hand if it is wanted"
        )
        self.refuse(path, "rejected", "run.quarantined", reason, fingerprint)
        return Taken(outcome="rejected", reason=reason)
