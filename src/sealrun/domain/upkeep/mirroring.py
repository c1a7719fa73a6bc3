"""Which runs a mirror holds: a pure plan with a reason for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar, Literal

import msgspec

from sealrun.domain.records import Record

Step = Literal["copy", "keep", "remove", "leave"]
DEFAULT_INTERVAL_S = 300.0


class MirrorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[mirror.NAME]`` of the settings, checked. `path` is absolute; times in seconds; no `experiments`: all.

    Without `keep_last` and `keep_within_s` a mirror gets every run and loses none.
    """

    name: str
    path: str
    registry: str
    experiments: tuple[str, ...] = ()
    keep_last: int | None = None
    keep_within_s: float | None = None
    interval_s: float = DEFAULT_INTERVAL_S

    @property
    def keeps_all(self) -> bool:
        """Whether it has no retention of its own."""
        return self.keep_last is None and self.keep_within_s is None


class MirrorRecord(Record, frozen=True, kw_only=True):
    """``.sealrun-mirror/mirror.json``: which mirror a folder is, of which registry, and whose state folder fills it."""

    KIND: ClassVar[str] = "mirror"
    mirror_id: str
    registry_id: str
    owner: str
    created_at: str


class MirroredRun(Record, frozen=True, kw_only=True):
    """``.sealrun-mirror/runs/EXPERIMENT/RUN_ID.json``: a run folder that the mirror made.

    `inode` is that of the folder: one that is another folder by now is somebody else's. `arrived` is False while it is
    not known whether the folder has its name yet.
    """

    KIND: ClassVar[str] = "mirrored"
    experiment: str
    run_id: str
    root_sha256: str
    finished_at: str
    status: str
    size: int
    files: int
    inode: int
    arrived: bool


class MirrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a mirror's plan sees it, in the registry or in the mirror."""

    experiment: str
    run_id: str
    root_sha256: str
    finished_at: str
    status: str
    size: int

    @property
    def key(self) -> tuple[str, str]:
        """What names the run's folder."""
        return (self.experiment, self.run_id)


class MirrorStep(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one run in the mirror, and why."""

    step: Step
    row: MirrorRow
    why: str


class MirrorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Every run of the registry and of the mirror, by experiment, newest first."""

    steps: tuple[MirrorStep, ...]

    def of(self, step: Step) -> tuple[MirrorStep, ...]:
        """Those with which the same is done."""
        return tuple(each for each in self.steps if each.step == step)


def plan_mirror(
    spec: MirrorSpec,
    registry: Iterable[MirrorRow],
    held: Mapping[tuple[str, str], MirrorRow],
    foreign: Collection[tuple[str, str]],
    now: str,
    oldest: str | None,
) -> MirrorPlan:
    """Decide for every run. `held` are the mirror's own; `foreign` names folders in it that it did not make.

    `oldest` is the time before which `keep_within_s` keeps nothing (``now`` minus it, as text). Runs of the registry
    and of the mirror are judged together: one that was retired there still counts here while it is among the newest.
    """
    wanted = {row.key: row for row in registry if not spec.experiments or row.experiment in spec.experiments}
    everything = {**held, **wanted}
    last = _newest(spec, everything.values())
    steps: list[MirrorStep] = []
    for key, row in everything.items():
        kept = _why_kept(spec, row, last, now, oldest)
        steps.append(_step(row, kept, in_registry=key in wanted, held=held.get(key), foreign=key in foreign))
    newest_first = sorted(steps, key=lambda each: (each.row.finished_at, each.row.run_id), reverse=True)
    return MirrorPlan(steps=tuple(sorted(newest_first, key=lambda each: each.row.experiment)))


def _step(row: MirrorRow, kept: str | None, *, in_registry: bool, held: MirrorRow | None, foreign: bool) -> MirrorStep:
    if held is not None and held.root_sha256 == row.root_sha256:
        if kept is None:
            return MirrorStep(step="remove", row=row, why="no rule of the mirror keeps it")
        return MirrorStep(step="keep", row=row, why=kept)
    if kept is None:
        return MirrorStep(step="leave", row=row, why="no rule of the mirror keeps it")
    if foreign:
        return MirrorStep(step="leave", row=row, why="its place is taken by a folder that the mirror did not make")
    if held is not None or not in_registry:
        return MirrorStep(step="leave", row=row, why="the mirror holds other content under this name")
    return MirrorStep(step="copy", row=row, why=kept)


def _newest(spec: MirrorSpec, rows: Iterable[MirrorRow]) -> dict[tuple[str, str], int]:
    """Number the runs of each experiment that did not fail, from the newest, as far as `keep_last` goes."""
    found: dict[tuple[str, str], int] = {}
    count: dict[str, int] = {}
    good = (row for row in rows if row.status in {"success", "unknown"})
    for row in sorted(good, key=lambda each: (each.finished_at, each.run_id), reverse=True):
        count[row.experiment] = number = count.get(row.experiment, 0) + 1
        if spec.keep_last is not None and number <= spec.keep_last:
            found[row.key] = number
    return found


def _why_kept(
    spec: MirrorSpec, row: MirrorRow, last: Mapping[tuple[str, str], int], now: str, oldest: str | None
) -> str | None:
    if spec.keeps_all:
        return "the mirror keeps every run"
    if row.key in last:
        return f"number {last[row.key]} of the last {spec.keep_last}"
    if oldest is not None and row.finished_at >= oldest:
        return f"finished {row.finished_at}, within the time that is kept (now {now})"
    return None
