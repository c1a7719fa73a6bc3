"""Verify: re-read what a registry holds and compare. Reports damage by run and path; changes nothing.

Runs are taken one at a time. Of a registry of a million objects, what stays in memory is a fingerprint per object, the
ids of one experiment's runs, and whatever is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from sealrun.domain.address import AttemptId, retired_key, runs_prefix
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.domain.runs.entries import columns_of
from sealrun.domain.runs.manifest import Sums
from sealrun.domain.upkeep.damage import Damage, VerifyReport, Window
from sealrun.ports import Store
from sealrun.services.access.loading import RunFiles
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.mending.comparing import (
    check_pointer,
    compare_index,
    compare_index_copy,
    compare_pointer_copy,
    compare_run_folder,
    every_pointer,
    live_attempts,
    unlisted,
)
from sealrun.services.mending.looking import Looker
from sealrun.services.mending.rereading import Advance, Outside, Rereader


class Verifier:
    """Verifies runs of one registry; bytes that several runs share are read once per verifier."""

    def __init__(
        self,
        reader: Reader,
        *,
        read_bytes: bool = True,
        window: Window | None = None,
        outside: Outside = "look",
        copies: bool = False,
        advance: Advance | None = None,
        objects: Looker | None = None,
    ) -> None:
        """See `Rereader` for what is read. With `copies`, convenience copies that are out of date are reported, too.

        `objects` is asked about bytes instead, if it is given.
        """
        self._reader = reader
        self._store: Store = reader.store
        self._copies = copies
        self._objects: Looker = objects or Rereader(
            reader.store, read_bytes=read_bytes, window=window, outside=outside, advance=advance
        )
        self._runs = 0

    @property
    def runs(self) -> int:
        """How many runs were looked at."""
        return self._runs

    def run(self, target: Target) -> VerifyReport:
        """Verify one run as one attempt holds it: its seal, its refs, and every object."""
        return self._report(self.attempt(target))

    def whole_run(self, experiment: str, run_id: str) -> VerifyReport:
        """Verify one run as every attempt holds it that is not retired, its row, and the pointers that stand on it."""
        return self._report(self._whole_run(experiment, run_id))

    def everything(self, experiments: Iterable[str] | None = None) -> VerifyReport:
        """Verify every run, pointer and index row, of some experiments or of all."""
        return self._report(self._everything(experiments))

    def _report(self, damages: Iterable[Damage]) -> VerifyReport:
        found = tuple(damages)
        return VerifyReport(
            runs=self._runs, objects=self._objects.objects, bytes_read=self._objects.bytes_read, damages=found
        )

    def _whole_run(self, experiment: str, run_id: str) -> Iterator[Damage]:
        sealed: set[str] = set()
        yield from self.each_attempt(experiment, run_id, sealed)
        try:
            listed = {row.run_id for row in self._reader.rows(experiment)}
        except IntegrityError as error:
            yield Damage(ref=experiment, kind="index", detail=str(error))
        else:
            yield from unlisted(self._store, experiment, run_id) if sealed - listed else ()
        pointed: set[AttemptId] = set()
        for pointer in every_pointer(self._store):
            for found in self._pointer(pointer, pointed, only=(experiment, run_id)):
                if found.kind != "pointer":
                    yield found

    def _everything(self, experiments: Iterable[str] | None) -> Iterator[Damage]:
        names = list(experiments) if experiments is not None else self._reader.experiments()
        for experiment in names:
            sealed: set[str] = set()
            for run_id in self._store.list_folders(runs_prefix(experiment)):
                yield from self.each_attempt(experiment, run_id, sealed)
            yield from self.index(experiment, sealed)
        pointed: set[AttemptId] = set()
        for pointer in every_pointer(self._store, names if experiments is not None else None):
            yield from self._pointer(pointer, pointed)

    def each_attempt(self, experiment: str, run_id: str, sealed: set[str]) -> Iterator[Damage]:
        """Verify a run as every attempt holds it that is not retired, and add it to `sealed` if it stands.

        Of one that was never sealed, or is retired, nothing is promised.
        """
        try:
            targets = live_attempts(self._store, experiment, run_id)
        except (IntegrityError, UsageError) as error:
            yield Damage(ref=f"{experiment}/{run_id}", kind="seal", detail=str(error))
            return
        if targets:
            sealed.add(run_id)
            self._runs += 1
        for number, target in enumerate(targets):
            yield from self._verify(target, copies=self._copies and not number)

    def index(
        self, experiment: str, sealed: Collection[str], among: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Damage]:
        """Compare an experiment's rows with its runs; those `among` them that stand are `sealed`."""
        yield from compare_index(self._reader, experiment, sealed, among)
        if self._copies:
            yield from compare_index_copy(self._store, experiment)

    def pointer(self, pointer: PointerName, pointed: set[AttemptId]) -> Iterator[Damage]:
        """Check a pointer's log and where it stands; a retired run that only it keeps is verified.

        `pointed` remembers those, since several pointers may stand on one.
        """
        yield from self._pointer(pointer, pointed)

    def _pointer(
        self, pointer: PointerName, pointed: set[AttemptId], only: tuple[str, str] | None = None
    ) -> Iterator[Damage]:
        target = check_pointer(self._reader, pointer)
        if isinstance(target, Damage):
            yield target
            return
        if only is not None and only != (target.experiment, target.run_id):
            return
        if self._copies:
            yield from compare_pointer_copy(self._reader, pointer)
        if target.attempt not in pointed and self.keeps(target):
            pointed.add(target.attempt)
            yield from self.attempt(target)

    def keeps(self, target: Target) -> bool:
        """Tell whether a pointer that stands there keeps a run that was retired: of others, the run says enough."""
        return self._store.stat(retired_key(target.attempt)) is not None

    def attempt(self, target: Target) -> Iterator[Damage]:
        """Verify one run as one attempt holds it."""
        self._runs += 1
        yield from self._verify(msgspec.structs.replace(target, path=None))

    def _verify(self, target: Target, *, copies: bool = False) -> Iterator[Damage]:
        ref = f"{target.experiment}/{target.run_id}"
        try:
            view = self._reader.load(target)
            contradiction = _contradicts(view)
        except (IntegrityError, NotFoundError) as error:
            yield Damage(ref=ref, kind="seal", detail=str(error), attempt=target.attempt)
            return
        if contradiction:
            detail = "MANIFEST.sha256 and manifest.json list different files"
            yield Damage(ref=ref, kind="seal", detail=detail, attempt=target.attempt)
        files = view.without_records()
        del view
        yield from self._entries(files)
        if copies:
            yield from compare_run_folder(self._store, files)

    def _entries(self, view: RunFiles) -> Iterator[Damage]:
        all_of_them = all(digest in view.objects for some in columns_of(view.manifest.entries) for digest in some[1])
        self._objects.look_all(view.objects)
        if all_of_them and not self._objects.any_damaged:
            return
        for entry in view.manifest.entries:
            stored = view.objects.get(entry.sha256)
            if stored is None:
                found: Damage | None = Damage(ref="", kind="refs", detail="refs do not say where its bytes are")
            else:
                found = self._objects.damage_of(stored)
            if found is not None:
                yield msgspec.structs.replace(found, ref=view.ref, path=entry.path, attempt=view.target.attempt)


def _contradicts(view: RunView) -> bool:
    """Tell whether MANIFEST.sha256 lists other files than the manifest, in whatever order and form it lists them."""
    sums = Sums.build(view.run_json, view.manifest_json, view.manifest)
    return sums.body != view.sums_file and sums.lines != view.sums.lines
