"""Scrub: verify a part of a registry each time, going round, so that after enough rounds everything was read again.

Runs (by the digest of their reference), objects and packs (by their own) have a place in the digest space. A round
takes a window of it, in order: of the runs in there the seals, the refs, and whether every object is there with its
size; of the objects and packs in there every byte. Where a pack is damaged, what runs have in it is read by itself, so
that the files that are damaged are named, and no others. Pointers and the index are compared each time. What is held
in memory does not grow with the registry, but for the names of the runs in the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

import msgspec

from sealrun.domain.address import (
    OBJECTS,
    PACKS,
    AttemptId,
    Digest,
    Key,
    parse_object_key,
    refs_key,
    run_key,
    runs_prefix,
)
from sealrun.domain.errors import IntegrityError, NotFoundError, UnsupportedFormatError, UsageError
from sealrun.domain.grouping import in_groups
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, Manifest
from sealrun.domain.upkeep.damage import OF_BYTES, SPACE, Damage, VerifyReport, Window, place_of
from sealrun.ports import Clock, ObjectStat, Store
from sealrun.services.access.reading import Reader
from sealrun.services.mending.comparing import end_of_log, every_pointer, live_attempts
from sealrun.services.mending.rereading import Advance, Rereader
from sealrun.services.mending.verifying import Verifier
from sealrun.services.storage.bodies import read_body
from sealrun.services.threads.fanning import fan_out

_PARTS = 256
_WIDTH = 8


class ScrubReport(msgspec.Struct, frozen=True, kw_only=True):
    """One round. `next` is where the next one has to begin; `complete` says that the whole window was verified."""

    report: VerifyReport
    window: Window
    next: float
    complete: bool


class Scrubber:
    """Scrubs one registry. Reads only; any number may work at once."""

    def __init__(self, reader: Reader, clock: Clock, *, advance: Advance | None = None) -> None:
        """Measure the budget with `clock`; `advance` is told bytes."""
        self._reader = reader
        self._store = reader.store
        self._clock = clock
        self._advance = advance

    def scrub(self, start: float, share: float, budget_s: float | None = None) -> ScrubReport:
        """Verify a window, `share` of everything from `start` on, for at most `budget_s` seconds.

        The budget is looked at between objects: what was begun is finished, and at least one run or object is verified
        in any round, so that rounds that are cut short get round, too. Repeating is harmless.
        """
        if share <= 0:
            msg = f"nothing to verify: a share of {share}; take one above 0"
            raise UsageError(msg)
        window = Window(start, share)
        return _Round(self._reader, self._clock, window, budget_s, self._advance).run()


class _Round:
    """What one round has found so far."""

    def __init__(
        self, reader: Reader, clock: Clock, window: Window, budget_s: float | None, advance: Advance | None
    ) -> None:
        self._reader = reader
        self._store = reader.store
        self._clock = clock
        self._window = window
        self._ends = None if budget_s is None else clock.monotonic() + budget_s
        self._begun = False
        self._records = Verifier(reader, read_bytes=False)
        self._objects = Rereader(reader.store, advance=advance)
        self._members = Rereader(reader.store)
        self._inside: set[Key] = set()
        self._found: list[Damage] = []
        self._damaged: dict[Key, Damage] = {}
        self._sealed: dict[str, set[str]] = {}
        self._read = 0

    def run(self) -> ScrubReport:
        """Go through the window, then attribute what is damaged to runs."""
        cut = self._through_window()
        self._derived(self._window.length if cut is None else self._window.distance(cut))
        if self._damaged:
            self._found += self._attributed()
        report = VerifyReport(
            runs=sum(len(runs) for runs in self._sealed.values()),
            objects=self._read,
            bytes_read=self._objects.bytes_read,
            damages=_distinct(self._found),
        )
        reached = self._window.end if cut is None else cut / SPACE
        return ScrubReport(report=report, window=self._window, next=reached, complete=cut is None)

    def _derived(self, reached: int) -> None:
        """Compare every pointer, and the rows of those runs that lie before `reached`."""
        for experiment in self._reader.experiments():

            def among(run_id: str, experiment: str = experiment) -> bool:
                return self._window.distance(_place_of_run(experiment, run_id)) < reached

            self._found += self._records.index(experiment, self._sealed.get(experiment, set()), among)
        pointed: set[AttemptId] = set()
        for pointer in every_pointer(self._store):
            self._found += self._records.pointer(pointer, pointed)

    def _through_window(self) -> int | None:
        """Take runs and objects in the order of their places; return where the budget ended, if it did.

        Everything before that place was verified.
        """
        runs = self._runs_in_window()
        for prefix, low, high in self._parts():
            for group in in_groups(self._objects_of(prefix, low, high), self._width()):
                place = _place_of_object(group[0].key)
                cut = self._take_runs(runs, self._window.distance(place))
                if cut is not None or self._is_over():
                    return place if cut is None else cut
                self._reread(group)
                self._begun = True
            cut = self._take_runs(runs, high)
            if cut is not None:
                return cut
        return None

    def _take_runs(self, runs: list[tuple[int, str, str]], before: int) -> int | None:
        """Verify the runs that lie before a distance, nearest first; return where the budget ended, if it did."""
        while runs and runs[-1][0] < before:
            _, experiment, run_id = runs[-1]
            if self._is_over():
                return _place_of_run(experiment, run_id)
            runs.pop()
            self._found += self._records.each_attempt(experiment, run_id, self._sealed.setdefault(experiment, set()))
            self._begun = True
        return None

    def _parts(self) -> Iterator[tuple[str, int, int]]:
        """Yield the window piece by piece: a prefix, and from which distance to which it is wanted.

        The piece in which the window begins comes again at the end when the window goes all the way round.
        """
        width = SPACE // _PARTS
        number = self._window.first // width
        for part in range(number, number + _PARTS + 1):
            low = max(part * width - self._window.first, 0)
            high = min((part + 1) * width - self._window.first, self._window.length)
            if low < high:
                yield f"{part % _PARTS:02x}/", low, high

    def _runs_in_window(self) -> list[tuple[int, str, str]]:
        """Runs in the window with their distances, the farthest first."""
        found: list[tuple[int, str, str]] = []
        for experiment in self._reader.experiments():
            for run_id in self._store.list_folders(runs_prefix(experiment)):
                distance = self._window.distance(_place_of_run(experiment, run_id))
                if distance < self._window.length:
                    found.append((distance, experiment, run_id))
        return sorted(found, reverse=True)

    def _objects_of(self, prefix: str, low: int, high: int) -> Iterator[ObjectStat]:
        """Yield objects and packs below a prefix of the digest, by digest."""
        return merge(*(self._listed(kind + prefix, low, high) for kind in (OBJECTS, PACKS)), key=_place_of_found)

    def _listed(self, prefix: str, low: int, high: int) -> Iterator[ObjectStat]:
        for found in self._store.list(prefix):
            try:
                distance = self._window.distance(_place_of_object(found.key))
            except UnsupportedFormatError:
                continue  # nothing of ours
            if low <= distance < high:
                yield found

    def _reread(self, group: list[ObjectStat]) -> None:
        def one(found: ObjectStat) -> Damage | None:
            return self._objects.reread(parse_object_key(found.key).digest, found.key, found.size)

        for damage in fan_out(one, group, self._width()):
            self._read += 1
            if damage is not None and damage.key is not None:
                self._damaged[damage.key] = damage

    def _attributed(self) -> Iterator[Damage]:
        """Say which files of which runs are damaged; bytes that nobody needs any more are nobody's damage.

        But a pack whose every needed file is whole is said to be damaged, by each of its runs: unzip may not read it.
        """
        around: dict[Key, list[Damage]] = {}
        for target in self._needing():
            yield from self._of_attempt(target, around)
        for damages in around.values():
            yield from damages

    def _needing(self) -> Iterator[Target]:
        """Every attempt whose files are needed."""
        for experiment in self._reader.experiments():
            for run_id in self._store.list_folders(runs_prefix(experiment)):
                try:
                    targets = live_attempts(self._store, experiment, run_id)
                except (IntegrityError, UsageError):
                    continue
                yield from targets
        for pointer in every_pointer(self._store):
            try:
                newest = end_of_log(self._reader, pointer)
            except (IntegrityError, NotFoundError):
                continue
            if newest is not None:
                yield newest.target

    def _of_attempt(self, target: Target, around: dict[Key, list[Damage]]) -> Iterator[Damage]:
        key = refs_key(target.attempt)
        try:
            objects = Refs.read(read_body(self._store, key), key).objects
        except (IntegrityError, NotFoundError):
            return
        touched = {digest: stored for digest, stored in objects.items() if stored.key in self._damaged}
        wrong = self._wrong(touched)
        ref = f"{target.experiment}/{target.run_id}"
        for pack in {stored.key for stored in touched.values()}:
            if any(damage.key == pack for damage in wrong.values()):
                self._inside.add(pack)
                around.pop(pack, None)
            elif pack not in self._inside:
                detail = f"{pack} is damaged, but not in any file that a run has in it"
                around.setdefault(pack, []).append(
                    Damage(ref=ref, kind="bytes", detail=detail, key=pack, attempt=target.attempt)
                )
        manifest = _manifest(self._store, target) if wrong else None
        for entry in manifest.entries if manifest is not None else ():
            if entry.sha256 in wrong:
                yield msgspec.structs.replace(wrong[entry.sha256], ref=ref, path=entry.path, attempt=target.attempt)

    def _wrong(self, touched: dict[Digest, Stored]) -> dict[Digest, Damage]:
        """What is damaged among contents whose object or pack is: of packs the members are read."""
        self._members.look((digest, stored) for digest, stored in touched.items() if stored.offset is not None)
        found = {
            digest: self._damaged[stored.key] if stored.offset is None else self._members.damage_of(stored)
            for digest, stored in touched.items()
        }
        return {digest: damage for digest, damage in found.items() if damage is not None}

    def _width(self) -> int:
        return max(1, min(self._store.capabilities.parallel, _WIDTH))

    def _is_over(self) -> bool:
        return self._begun and self._ends is not None and self._clock.monotonic() >= self._ends


def _place_of_run(experiment: str, run_id: str) -> int:
    return place_of(sha256(f"{experiment}/{run_id}".encode()))


def _place_of_found(found: ObjectStat) -> int:
    return _place_of_object(found.key)


def _place_of_object(key: Key) -> int:
    return place_of(parse_object_key(key).digest)


def _manifest(store: Store, target: Target) -> Manifest | None:
    key = run_key(target.experiment, target.run_id, MANIFEST_FILE)
    try:
        return Manifest.read(read_body(store, key), key)
    except (IntegrityError, NotFoundError):
        return None  # that is damage of its own, which is found when it is the run's turn


def _distinct(damages: list[Damage]) -> tuple[Damage, ...]:
    """Leave out what was found twice: an object of the wrong size has the wrong bytes, too."""
    kept: dict[object, Damage] = {}
    for damage in damages:
        of_bytes = damage.kind in OF_BYTES
        mark = (damage.ref, damage.path, damage.attempt, damage.key) if of_bytes else damage
        kept.setdefault(mark, damage)
    return tuple(kept.values())
