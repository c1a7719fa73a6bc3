"""One source on its way out: every step, in the order that survives a crash and a producer that writes meanwhile.

::

    verify copies ─ journal: reclaimed ─ set aside ─ read every byte again ─ begin ─ delete what was read

Until `begin` a crash leaves a folder under a hidden name, which the next round puts back. After it every file is known
to be good in the registries and some may be missing here: it is never put back, since it would be taken for a new and
smaller run; the next round verifies the copies once more and goes on. A file that differs is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sealrun.domain.errors import (
    AccessDeniedError,
    IntegrityError,
    NoRegistryError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
)
from sealrun.domain.runs.manifest import Manifest
from sealrun.domain.upkeep.reclaiming import difference
from sealrun.ports import Contents, Delivery, FolderRecord, Journal, OpenWriters, SetAside, SourceRemover
from sealrun.services.sources.copies import Holder, verify_copy
from sealrun.services.sources.sources_due import Case, Ledger, Needs

_NAMED = 3
_OUTAGES = (UnavailableError, OutcomeUnknownError, AccessDeniedError, NoRegistryError)

Advance = Callable[[int], None]


class RefusedError(SealrunError):
    """The source stays. `soon`: an outage, so it may be tried again in the next round."""

    def __init__(self, reason: str, *, soon: bool = False) -> None:
        """Say why."""
        super().__init__(reason)
        self.soon = soon


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What the copies say: the content of the run, and the registries that hold it, verified a moment ago."""

    manifest: Manifest
    registries: tuple[str, ...]


class Deletion:
    """Deletes sources. `RefusedError` or any other `SealrunError`: that one stays, or what is left of it."""

    def __init__(
        self,
        journal: Journal,
        holder: Callable[[str], Holder],
        remover: SourceRemover,
        writers: OpenWriters,
        advance: Advance | None = None,
    ) -> None:
        """Verify copies in what `holder` opens by a registry's name; tell `advance` the bytes read there."""
        self._journal = journal
        self._holder = holder
        self._remover = remover
        self._writers = writers
        self._needs = Needs(journal, remover)
        self._advance = advance

    def delete(self, case: Case) -> Verified:
        """Take one source through all steps."""
        verified = self._verify(case)
        self._check_quiet(case, case.record.path)
        reason = f"reclaimed: {case.ref} was verified in {', '.join(verified.registries)}"
        # Before the name changes, so that intake does not take a folder that is set aside for one that was lost.
        self._journal.folders.set(msgspec.structs.replace(case.record, state="reclaimed", reason=reason))
        try:
            aside = self._remover.set_aside(case.record.path)
        except BaseException:
            self._journal.folders.set(case.record)
            raise
        try:
            contents = self._read(case, aside, verified.manifest)
            self._check_quiet(case, aside.hidden)
            begun = self._remover.begin(aside)
        except BaseException:
            self.put_back(case, aside)
            raise
        self._remove(case, begun, contents)
        return verified

    def put_back(self, case: Case | None, aside: SetAside) -> None:
        """Undo a step that was not the last: the folder has its name again, and the journal says what it said."""
        self._remover.put_back(aside)
        if case is not None:
            reason = case.record.reason if case.record.state == "sealed" else "it has its name again"
            self._journal.folders.set(msgspec.structs.replace(case.record, state="sealed", reason=reason))

    def go_on(self, case: Case, aside: SetAside) -> Verified:
        """Delete the rest of a source whose deletion had begun, after the same checks."""
        verified = self._verify(case)
        contents = self._read(case, aside, verified.manifest)
        self._check_quiet(case, aside.hidden)
        self._remove(case, aside, contents)
        return verified

    def _verify(self, case: Case) -> Verified:
        """Have copies read again until enough different registries are good."""
        good: dict[str, str] = {}
        manifest: Manifest | None = None
        problems: list[str] = []
        outage = False
        for delivery in case.deliveries:
            if len(good) >= case.rule.copies:
                break
            try:
                holder, found = self._copy(case, delivery)
            except SealrunError as error:
                problems.append(f"{delivery.registry}: {error}")
                outage = outage or isinstance(error, _OUTAGES)
                if isinstance(error, IntegrityError):
                    self._journal.events.record(
                        "verify.damage", case.ref, registry=delivery.registry, detail=str(error)
                    )
            else:
                manifest = found
                good.setdefault(holder.registry_id, delivery.registry)
        if manifest is None or len(good) < case.rule.copies:
            why = "; ".join(problems) or "the registries are one and the same"
            msg = f"{len(good)} verified copies, {case.rule.copies} are asked for ({why})"
            raise RefusedError(msg, soon=outage)
        return Verified(manifest=manifest, registries=tuple(good.values()))

    def _copy(self, case: Case, delivery: Delivery) -> tuple[Holder, Manifest]:
        if delivery.published is None or case.record.manifest_sha256 is None:
            msg = "does not have it yet"
            raise RefusedError(msg)
        holder = self._holder(delivery.registry)
        return holder, verify_copy(holder, delivery.published, case.record.manifest_sha256, self._advance)

    def _read(self, case: Case, aside: SetAside, manifest: Manifest) -> Contents:
        contents = self._remover.contents(aside, case.place.watch.unit)
        problem = difference(manifest, contents.entries, contents.links, contents.directories, begun=aside.begun)
        if problem is not None:
            raise RefusedError(problem)
        return contents

    def _check_quiet(self, case: Case, path: str) -> None:
        writing = self._writers.writers(path)
        if writing:
            msg = f"open for writing by {', '.join(writing[:_NAMED])}"
            raise RefusedError(msg)
        needed = self._needs.of(case)
        if needed:
            msg = f"its files are still needed: {'; '.join(needed)}"
            raise RefusedError(msg, soon=True)

    def _remove(self, case: Case, aside: SetAside, contents: Contents) -> None:
        kept = self._remover.remove(aside, contents)
        if not kept:
            return
        what = "; ".join(kept[:_NAMED])
        if not aside.begun:
            self.put_back(case, aside)
            raise RefusedError(what)
        msg = f"{what}; what is left stands in {aside.hidden!r}: look at it, and delete it or move it back by hand"
        raise RefusedError(msg)


def heal(deletion: Deletion, aside: SetAside, record: FolderRecord | None, ledger: Ledger) -> Verified | None:
    """Bring what a crash left to its end: put it back, or go on with its deletion (then what was verified).

    The journal's `record` is the memory; where it was lost, a deletion that had begun is not gone on with.
    """
    case = None if record is None else ledger.case(record)
    if not aside.begun:
        deletion.put_back(case if record is not None and record.state == "reclaimed" else None, aside)
        return None
    if case is None:
        msg = (
            "a deletion that had begun is not gone on with, since the settings or the journal do not ask for it any "
            f"more; what is left stands in {aside.hidden!r}: look at it, and delete it or move it back by hand"
        )
        raise RefusedError(msg)
    return deletion.go_on(case, aside)
