"""Mirrors: plain copies of a registry's runs at natural paths, for people who browse.

A run is copied file by file, each verified while it is copied, into a place where nobody looks, and gets its name when
it is complete. Whatever the run itself does not call so, two files are put beside its own: ``run.json``, the envelope,
and ``MANIFEST.sha256``, which ``sha256sum -c`` takes in the run's folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from sealrun.domain.address import RunId
from sealrun.domain.errors import IntegrityError, NoSpaceError, SealrunError, UnavailableError
from sealrun.domain.grouping import in_groups
from sealrun.domain.ready import ready
from sealrun.domain.reference import RunReference
from sealrun.domain.runs.declarations import utc_text
from sealrun.domain.runs.manifest import RUN_FILE, SUMS_FILE, Entry, Manifest, sum_line
from sealrun.domain.upkeep.mirroring import MirroredRun, MirrorPlan, MirrorRow, MirrorSpec, MirrorStep, plan_mirror
from sealrun.ports import Clock, Events, MirrorIncoming, MirrorPlace
from sealrun.services.access.pouring import Chunks, pour
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.threads.fanning import fan_through

_PARALLEL = 8
_TOGETHER = 256
Advance = Callable[[int], None]


class MirrorFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A run that could not be copied or removed now; it is tried again."""

    ref: str
    reason: str


class MirrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did. `bytes_copied` counts what was read from the registry."""

    copied: tuple[str, ...]
    removed: tuple[str, ...]
    failed: tuple[MirrorFailure, ...]
    bytes_copied: int
    damaged: bool


class Mirror:
    """One mirror of one registry. Whoever calls `execute` sees to it that no other process does for this mirror."""

    def __init__(
        self, spec: MirrorSpec, reader: Reader, registry_id: str, place: MirrorPlace, clock: Clock, events: Events
    ) -> None:
        """Copy from `reader` to `place`."""
        self._spec = spec
        self._reader = reader
        self._registry_id = registry_id
        self._place = place
        self._clock = clock
        self._events = events

    def plan(self) -> MirrorPlan:
        """Say what is copied, kept and removed, and why. Writes nothing, and makes no mirror where there is none."""
        there = self._place.find(self._registry_id) is not None
        held = {(run.experiment, run.run_id): _row(run) for run in (self._place.held() if there else ())}
        rows = [row for name in self._experiments() for row in map(_row, self._reader.runs(name))]
        foreign = self._place.foreign(row.key for row in rows)
        now = self._clock.now().timestamp()
        within = self._spec.keep_within_s
        oldest = None if within is None else utc_text(now - within)
        return plan_mirror(self._spec, rows, held, foreign, utc_text(now), oldest)

    def enter(self, *, take_over: bool = False) -> str:
        """Make the place this mirror's own and heal what a crash left; return the mirror's id. See `MirrorPlace`."""
        return self._place.enter(self._registry_id, take_over=take_over).mirror_id

    def execute(self, plan: MirrorPlan, advance: Advance | None = None) -> MirrorReport:
        """Copy first, newest runs first, then remove. Harmless to repeat after any crash; `enter` comes before it.

        A run that fails does not stop the others. In an experiment in which one failed nothing is removed, unless it
        failed for want of room.
        """
        done = _Done(advance)
        self._place.discard_incoming({step.row.key for step in plan.of("copy")})
        for step in sorted(plan.of("copy"), key=lambda each: each.row.finished_at, reverse=True):
            if not self._try(step, self._copy, done):
                break
        done.held = {(run.experiment, run.run_id): run for run in self._place.held()}
        for step in plan.of("remove"):
            if step.row.experiment not in done.spared and not self._try(step, self._remove, done):
                break
        report = MirrorReport(
            copied=tuple(done.copied),
            removed=tuple(done.removed),
            failed=tuple(done.failed),
            bytes_copied=done.bytes_copied,
            damaged=done.damaged,
        )
        if report.copied or report.removed or report.failed:
            counts = {"copied": len(report.copied), "removed": len(report.removed), "failed": len(report.failed)}
            reasons = {"reason": report.failed[0].reason} if report.failed else {}
            self._events.record("mirror.updated", self._spec.name, **counts, **reasons)
        return report

    def _try(self, step: MirrorStep, work: Callable[[MirrorRow, _Done], None], done: _Done) -> bool:
        """Do one step; False if the place is away or full, so that the others would fail as well."""
        try:
            work(step.row, done)
        except SealrunError as error:
            done.failed.append(MirrorFailure(ref=_ref(step.row), reason=" ".join(str(error).split())))
            done.damaged = done.damaged or isinstance(error, IntegrityError)
            if not isinstance(error, NoSpaceError):
                done.spared.add(step.row.experiment)
            return not isinstance(error, NoSpaceError | UnavailableError)
        return True

    def _copy(self, row: MirrorRow, done: _Done) -> None:
        reader = self._reader
        view = reader.load(reader.resolve_reference(RunReference(row.experiment, RunId(row.run_id), None)))
        if view.target.root_sha256 != row.root_sha256:
            msg = f"{view.ref}: the index says ROOT_SHA256 {row.root_sha256}, sealed is {view.target.root_sha256}"
            raise IntegrityError(msg)
        incoming = self._place.receive(_marker(row, view))

        def one(entry: Entry, chunks: Chunks) -> None:
            incoming.write(entry.path, map(done.counted, chunks), executable=entry.executable)

        manifest = view.manifest
        pour(reader, view, _absent(incoming, manifest, done) if incoming.resumed else manifest.entries, one)
        records = _write_records(view, incoming)
        for folder in manifest.directories:
            incoming.folder(folder)
        for link in manifest.links:
            incoming.link(link.path, link.target)

        def names() -> set[str]:
            return {*(entry.path for entry in manifest.entries), *(link.path for link in manifest.links), *records}

        incoming.commit(names)
        done.copied.append(view.ref)

    def _remove(self, row: MirrorRow, done: _Done) -> None:
        run = done.held.get(row.key)
        if run is not None:
            self._place.remove(run)
            done.removed.append(_ref(row))

    def _experiments(self) -> list[str]:
        known = self._reader.experiments()
        return [name for name in known if not self._spec.experiments or name in self._spec.experiments]


class _Done:
    """What a round has done so far; told from many threads."""

    def __init__(self, advance: Advance | None) -> None:
        self.copied: list[str] = []
        self.removed: list[str] = []
        self.failed: list[MirrorFailure] = []
        self.spared: set[str] = set()
        self.held: dict[tuple[str, str], MirroredRun] = {}
        self.damaged = False
        self.bytes_copied = 0
        self._lock = threading.Lock()
        self._advance = advance

    def counted(self, chunk: bytes | memoryview) -> bytes | memoryview:
        with self._lock:
            self.bytes_copied += len(chunk)
        self.advance(len(chunk))
        return chunk

    def advance(self, size: int) -> None:
        if self._advance is not None:
            self._advance(size)


def _absent(incoming: MirrorIncoming, manifest: Manifest, done: _Done) -> list[Entry]:
    """Files that an earlier attempt, if there was one, has not left there."""

    def lacking(group: list[Entry]) -> list[Entry]:
        return [entry for entry in group if not incoming.has(entry)]

    left = [entry for some in fan_through(lacking, in_groups(manifest.entries, _TOGETHER), _PARALLEL) for entry in some]
    done.advance(sum(entry.size for entry in manifest.entries) - sum(entry.size for entry in left))
    return left


def _natural_sums(manifest: Manifest) -> Iterator[bytes]:
    """MANIFEST.sha256 of a run's files at their natural paths: what ``sha256sum -c`` takes in the run's folder."""
    for some in in_groups(manifest.entries, _TOGETHER):
        yield "".join(sum_line(entry.sha256, entry.path) for entry in some).encode()


def _write_records(view: RunView, incoming: MirrorIncoming) -> set[str]:
    """Put the two records beside the run's files, where it has nothing of that name itself; return which."""
    manifest = view.manifest
    own = chain(
        (entry.path for entry in manifest.entries), (link.path for link in manifest.links), manifest.directories
    )
    tops = {path.partition("/")[0] for path in own if path.startswith((RUN_FILE, SUMS_FILE))}
    records: dict[str, Iterable[bytes]] = {RUN_FILE: [view.run_json], SUMS_FILE: _natural_sums(manifest)}
    wanted = {name: body for name, body in records.items() if name not in tops}
    for name, body in wanted.items():
        incoming.write(name, body, executable=False)
    return set(wanted)


def _marker(row: MirrorRow, view: RunView) -> MirroredRun:
    return MirroredRun(
        experiment=row.experiment,
        run_id=row.run_id,
        root_sha256=row.root_sha256,
        finished_at=row.finished_at,
        status=row.status,
        size=row.size,
        files=len(view.manifest.entries),
        inode=0,
        arrived=False,
    )


def _row(run: object) -> MirrorRow:
    return msgspec.convert(run, ready(MirrorRow), from_attributes=True)


def _ref(row: MirrorRow) -> str:
    return f"{row.experiment}/{row.run_id}"
