"""Verify: re-read what a registry holds and compare. Reports damage by run and path; changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Literal

import msgspec

from sealrun.domain.address import (
    ATTEMPTS,
    NAMES,
    Digest,
    Key,
    pointers_prefix,
    retired_key,
    runs_prefix,
    seal_key,
)
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.domain.indexing import Row
from sealrun.domain.manifest import Entry, Sums
from sealrun.domain.pointing import Target
from sealrun.domain.publication import Stored
from sealrun.ports import Store
from sealrun.services.fanning import fan_out
from sealrun.services.pointers import PointerName
from sealrun.services.reading import Reader, RunView
from sealrun.services.standing import read_outcome

_CHUNK = 4 * 1024 * 1024
Kind = Literal["seal", "refs", "missing", "size", "bytes", "pointer", "index"]


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was sealed. `path` is the file inside the run, where one is concerned."""

    ref: str
    kind: Kind
    detail: str
    path: str | None = None


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at and what was wrong."""

    runs: int
    objects: int
    bytes_read: int
    damages: tuple[Damage, ...]


class Verifier:
    """Verifies runs of one registry; bytes that several runs share are read once per verifier."""

    def __init__(
        self, reader: Reader, *, read_bytes: bool = True, advance: Callable[[int], None] | None = None
    ) -> None:
        """With `read_bytes` every object is read and hashed; without, only its presence and size are checked."""
        self._reader = reader
        self._store: Store = reader.store
        self._read_bytes = read_bytes
        self._advance = advance
        self._seen: dict[str, Damage | None] = {}
        self._bytes = 0
        self._counting = Lock()

    def run(self, target: Target) -> VerifyReport:
        """Verify one run: its seal, its refs, and every object."""
        return self._report([target], ())

    def everything(self, experiments: Iterable[str] | None = None) -> VerifyReport:
        """Verify every run, pointer and index row, of some experiments or of all."""
        names = list(experiments) if experiments is not None else self._reader.experiments()
        targets: list[Target] = []
        damages: list[Damage] = []
        pointers: list[PointerName] = []
        for experiment in names:
            found, wrong = self._targets(experiment)
            targets += found
            damages += wrong
            prefix = pointers_prefix(experiment)
            pointers += [PointerName.of_experiment(experiment, name) for name in self._store.list_folders(prefix)]
        if experiments is None:
            pointers += [PointerName.of_artifact(name) for name in self._store.list_folders(NAMES)]
        for pointer in pointers:
            damages += self._pointer(pointer, targets)
        return self._report(targets, damages)

    def _report(self, targets: Iterable[Target], damages: Iterable[Damage]) -> VerifyReport:
        found, runs = list(damages), 0
        for target in targets:
            runs += 1
            found.extend(self._verify(target))
        return VerifyReport(runs=runs, objects=len(self._seen), bytes_read=self._bytes, damages=tuple(found))

    def _targets(self, experiment: str) -> tuple[list[Target], list[Damage]]:
        """Runs by their folders, the primary record; and rows that disagree with them."""
        damages: list[Damage] = []
        targets: list[Target] = []
        for run_id in self._store.list_folders(runs_prefix(experiment)):
            ref = f"{experiment}/{run_id}"
            try:
                targets.append(self._reader.resolve(ref))
            except NotFoundError:
                continue  # never sealed, or retired: nothing is promised of it
            except (IntegrityError, UsageError) as error:
                damages.append(Damage(ref=ref, kind="seal", detail=str(error)))
        try:
            rows = {row.attempt: row for row in self._reader.rows(experiment)}
        except IntegrityError as error:
            return targets, [*damages, Damage(ref=experiment, kind="index", detail=str(error))]
        sealed = {target.run_id for target in targets}
        in_index = {row.run_id for row in rows.values()}
        wrong = {
            target.run_id: "sealed, but in no index row"
            for target in targets
            if target.run_id not in in_index and not self._announcing(target)
        }
        lost = {row.run_id: self._lost(row) for row in rows.values() if row.run_id not in sealed}
        wrong |= {run_id: detail for run_id, detail in lost.items() if detail is not None}
        damages += [Damage(ref=f"{experiment}/{run_id}", kind="index", detail=wrong[run_id]) for run_id in wrong]
        return targets, damages

    def _lost(self, row: Row) -> str | None:
        """Say what is wrong about a row whose run is not found by its folder; None if it was retired."""
        try:
            outcome = read_outcome(self._store, row.attempt)
        except IntegrityError as error:
            return str(error)
        if outcome is None or outcome.decision != "sealed":
            return "has a row but is not sealed"
        if self._store.stat(retired_key(row.attempt)) is not None:
            return None
        if self._store.stat(seal_key(row.experiment, row.run_id, row.attempt)) is not None:
            return None  # its folder is there and was looked at
        return f"is sealed by attempt {row.attempt}, but its seal marker is gone from the run folder"

    def _announcing(self, target: Target) -> bool:
        """A run whose intent still stands is being announced; its row is on the way."""
        prefix = f"{ATTEMPTS}{target.attempt}/"
        return any(found.key.endswith("/intent.json") for found in self._store.list(prefix))

    def _pointer(self, pointer: PointerName, targets: list[Target]) -> Iterator[Damage]:
        """Check a pointer's log, and that it stands on a sealed run; one that only a pointer keeps joins `targets`."""
        try:
            history = self._reader.history_of(pointer)
            target = history[0].target if history else None
            outcome = None if target is None else read_outcome(self._store, target.attempt)
        except (IntegrityError, NotFoundError) as error:
            yield Damage(ref=pointer.label, kind="pointer", detail=str(error))
            return
        if target is None:
            yield Damage(ref=pointer.label, kind="pointer", detail="has no generation")
            return
        sealed = outcome is not None and outcome.decision == "sealed" and outcome.root_sha256 == target.root_sha256
        if outcome is None or not sealed or (outcome.experiment, outcome.run_id) != (target.experiment, target.run_id):
            ref = f"{target.experiment}/{target.run_id}"
            detail = f"leads to {ref}, which attempt {target.attempt} did not seal like that"
            yield Damage(ref=pointer.label, kind="pointer", detail=detail)
            return
        kept_by_pointer = self._store.stat(retired_key(target.attempt)) is not None
        if kept_by_pointer and all(target.attempt != other.attempt for other in targets):
            targets.append(msgspec.structs.replace(target, path=None))

    def _verify(self, target: Target) -> Iterator[Damage]:
        ref = f"{target.experiment}/{target.run_id}"
        try:
            view = self._reader.load(target)
        except (IntegrityError, NotFoundError) as error:
            yield Damage(ref=ref, kind="seal", detail=str(error))
            return
        if Sums.build(view.run_json, view.manifest_json, view.manifest).lines != view.sums.lines:
            yield Damage(ref=ref, kind="seal", detail="MANIFEST.sha256 and manifest.json list different files")
        yield from self._entries(view)

    def _entries(self, view: RunView) -> Iterator[Damage]:
        width = self._store.capabilities.parallel
        fresh: dict[Digest, Stored] = {}
        for entry in view.manifest.entries:
            stored = view.objects.get(entry.sha256)
            if stored is None:
                yield Damage(ref=view.ref, path=entry.path, kind="refs", detail="refs do not say where its bytes are")
            elif stored.key not in self._seen:
                fresh[entry.sha256] = stored
        pairs = list(fresh.items())
        for (_, stored), damage in zip(pairs, fan_out(self._object, pairs, min(width, 8)), strict=True):
            self._seen[stored.key] = damage
        for entry in view.manifest.entries:
            yield from self._of_entry(view, entry)

    def _of_entry(self, view: RunView, entry: Entry) -> Iterator[Damage]:
        stored = view.objects.get(entry.sha256)
        found = self._seen.get(stored.key) if stored else None
        if found is not None:
            yield msgspec.structs.replace(found, ref=view.ref, path=entry.path)

    def _object(self, pair: tuple[Digest, Stored]) -> Damage | None:
        digest, stored = pair
        found = self._store.stat(stored.key)
        if found is None:
            return Damage(ref="", kind="missing", detail=f"{stored.key} is missing")
        if found.size != stored.size:
            return Damage(ref="", kind="size", detail=f"{stored.key} has {found.size} bytes, sealed were {stored.size}")
        if not self._read_bytes:
            return None
        try:
            read = self._digest(stored.key)
        except NotFoundError:
            return Damage(ref="", kind="missing", detail=f"{stored.key} is missing")
        if read != digest:
            return Damage(ref="", kind="bytes", detail=f"{stored.key} holds other bytes than were sealed")
        return None

    def _digest(self, key: Key) -> str:
        hasher = hashlib.sha256()
        with self._store.open(key) as source:
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                with self._counting:
                    self._bytes += len(chunk)
                if self._advance is not None:
                    self._advance(len(chunk))
        return hasher.hexdigest()
