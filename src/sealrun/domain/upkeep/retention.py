"""Which runs of an experiment are kept, and why each one is kept or retired. Pure; a plan is what a dry run prints.

A policy is generous: a run is kept if any rule keeps it, if a pointer or a published name stands on it, or if somebody
pinned or holds it. Adding a rule, or raising a number, never retires a run that was kept before; only the empty policy,
which retires nothing, stands outside of that.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.errors import UsageError
from sealrun.domain.registry.indexing import Row

SUCCESSFUL = frozenset({"success", "unknown"})
"""Statuses that the counting rules count: most folders never declare one."""
STILL_LISTED = "retired already, but the index still lists it"
"""Why a plan names a run that is gone: a retirement was cut short."""
_DAY_S = 86400.0
_COUNTS = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep of an experiment. ``None``, 0 and an empty list mean that there is no such rule.

    The first five count successful runs of distinct content, newest first: the last N runs, or the newest run of each
    of the last N days, ISO weeks, months or years (UTC) that have any. `keep_within_s` keeps what finished within so
    many seconds, `keep_tags` what has any of these tags, `keep_status` what ended in one of these ways.
    """

    keep_last: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    keep_within_s: float | None = None
    keep_tags: tuple[str, ...] = ()
    keep_status: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse numbers below zero with `UsageError`: what they would keep is anybody's guess."""
        for name in (*_COUNTS, "keep_within_s"):
            if (getattr(self, name) or 0) < 0:
                msg = f"{name}: expected a number of at least 0, got {getattr(self, name)}"
                raise UsageError(msg)

    @property
    def empty(self) -> bool:
        """Whether it has no rule at all: then nothing is retired."""
        return not self.rules

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules as people write them: ``keep_last=3``."""
        counts = (f"{name}={getattr(self, name)}" for name in _COUNTS if getattr(self, name))
        within = (f"keep_within={_days(self.keep_within_s)}",) if self.keep_within_s else ()
        tags = (f"keep_tags={','.join(self.keep_tags)}",) if self.keep_tags else ()
        status = (f"keep_status={','.join(self.keep_status)}",) if self.keep_status else ()
        return (*counts, *within, *tags, *status)


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What retention needs to know of a run. `size` is in bytes, shared ones included.

    `attempts` sealed it; those in `listed` have a row in the index. `grounds` are what keeps it whatever a policy says:
    ``pointer train@latest``. `obstacle`: why it cannot be retired just now. `gone`: it was retired before, and only
    what lists it is left to be removed.
    """

    experiment: str
    run_id: RunId
    status: str
    finished_at: str
    size: int
    files: int
    tree_digest: Digest
    tags: tuple[str, ...] = ()
    attempts: tuple[AttemptId, ...] = ()
    listed: tuple[AttemptId, ...] = ()
    grounds: tuple[str, ...] = ()
    obstacle: str | None = None
    gone: bool = False

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"

    @property
    def order(self) -> tuple[str, str]:
        """Newest is what ``latest`` would take for it: finish time, then run id."""
        return (self.finished_at, self.run_id)

    @property
    def finished(self) -> datetime | None:
        """When the run finished; None if its record says nothing that can be read."""
        try:
            moment = datetime.fromisoformat(self.finished_at)
        except ValueError:
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    @classmethod
    def of(cls, rows: Sequence[Row], grounds: Iterable[str] = ()) -> RunFacts:
        """Take the facts from the rows of one run: those of its newest attempt."""
        newest = max(rows, key=lambda row: row.attempt)
        attempts = tuple(sorted(row.attempt for row in rows))
        return cls(
            experiment=sys.intern(newest.experiment),
            run_id=newest.run_id,
            status=sys.intern(newest.status),
            finished_at=newest.finished_at,
            size=newest.size,
            files=newest.files,
            tree_digest=newest.tree_digest,
            tags=newest.tags,
            attempts=attempts,
            listed=attempts,
            grounds=tuple(grounds),
        )


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A run, whether it is kept, and why. `counted`: a rule that counts runs counts it."""

    run: RunFacts
    keep: bool
    reasons: tuple[str, ...]
    counted: bool = False

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return self.run.ref


class RetentionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be retired and what kept, newest first, each with its reasons.

    `experiment` is None if runs of several were asked for. `why` goes into the records; `note` says what the reader of
    the plan should know besides.
    """

    experiment: str | None
    judged: tuple[Judged, ...]
    why: str
    note: str | None = None

    @property
    def kept(self) -> tuple[Judged, ...]:
        """Runs that stay."""
        return tuple(judged for judged in self.judged if judged.keep)

    @property
    def retired(self) -> tuple[Judged, ...]:
        """Runs that go."""
        return tuple(judged for judged in self.judged if not judged.keep)


def plan_retention(experiment: str, runs: Iterable[RunFacts], policy: Policy, now: datetime) -> RetentionPlan:
    """Judge every run of an experiment by `policy`. Ages are measured from `now`, which is aware."""
    ordered = sorted(runs, key=lambda run: run.order, reverse=True)
    if policy.empty:
        note = "the policy is empty: nothing is retired"
        kept = tuple(Judged(run=run, keep=True, reasons=(*run.grounds, "the policy is empty")) for run in ordered)
        return RetentionPlan(experiment=experiment, judged=kept, why="", note=note)
    count = _Count.of(ordered, policy)
    judged = tuple(_judge(run, policy, now, count) for run in ordered)
    return RetentionPlan(experiment=experiment, judged=judged, why=f"retention by {', '.join(policy.rules)}")


class _Count(msgspec.Struct, frozen=True):
    """What the rules that count look at, and what they say.

    `distinct`: the newest successful run of each content, newest first; `places`: how many come before each. One whose
    finish time is unreadable takes no place, nor does one that is gone. `reasons` are those of the runs that count.
    """

    distinct: Mapping[Digest, RunFacts]
    places: Mapping[Digest, int]
    reasons: Mapping[RunId, Sequence[str]]

    @classmethod
    def of(cls, ordered: Iterable[RunFacts], policy: Policy) -> _Count:
        """Count runs, which come newest first."""
        distinct: dict[Digest, RunFacts] = {}
        for run in ordered:
            if run.status in SUCCESSFUL and not run.gone and run.finished is not None:
                distinct.setdefault(run.tree_digest, run)
        places = {digest: place for place, digest in enumerate(distinct)}
        return cls(distinct, places, _counted(list(distinct.values()), policy))

    def twin(self, run: RunFacts) -> RunFacts | None:
        """The run that stands for all of its content, unless that is `run` itself."""
        found = self.distinct.get(run.tree_digest)
        return None if found is None or found.run_id == run.run_id else found


def _counted(runs: Sequence[RunFacts], policy: Policy) -> dict[RunId, list[str]]:
    """Apply the rules that count to runs of distinct content, newest first: reasons by run."""
    reasons: dict[RunId, list[str]] = defaultdict(list)
    last = policy.keep_last or 0
    for place, run in enumerate(runs[:last], 1):
        reasons[run.run_id].append(f"keep_last={last}: number {place} of the newest successful runs")
    for name, most, bucket in (
        ("keep_daily", policy.keep_daily, "%Y-%m-%d"),
        ("keep_weekly", policy.keep_weekly, "%G-W%V"),
        ("keep_monthly", policy.keep_monthly, "%Y-%m"),
        ("keep_yearly", policy.keep_yearly, "%Y"),
    ):
        for run_id, label in _newest_of_each(runs, bucket, most or 0):
            reasons[run_id].append(f"{name}={most}: newest successful run of {label}")
    return reasons


def _newest_of_each(runs: Iterable[RunFacts], bucket: str, most: int) -> Iterable[tuple[RunId, str]]:
    """The newest run of each of the last `most` buckets (times in that format) that have any, of runs newest first."""
    seen: dict[str, RunId] = {}
    for run in runs:
        if run.finished is None:
            continue
        label = run.finished.strftime(bucket)
        if label not in seen and len(seen) == most:
            break
        seen.setdefault(label, run.run_id)
    return [(run_id, label) for label, run_id in seen.items()]


def _judge(run: RunFacts, policy: Policy, now: datetime, count: _Count) -> Judged:
    if run.gone:
        return Judged(run=run, keep=False, reasons=(STILL_LISTED,))
    counted = count.reasons.get(run.run_id, ())
    reasons = [*run.grounds, *counted, *_kept_by_itself(run, policy, now)]
    twin = count.twin(run)
    if twin is not None and twin.run_id in count.reasons:
        reasons.append(f"same content as {twin.ref}, which counts")
    if reasons:
        return Judged(run=run, keep=True, reasons=tuple(reasons), counted=bool(counted))
    against = _nothing_keeps(run, count)
    if run.obstacle is not None:
        return Judged(run=run, keep=True, reasons=(f"{run.obstacle}; otherwise it would be retired: {against}",))
    return Judged(run=run, keep=False, reasons=(against,))


def _kept_by_itself(run: RunFacts, policy: Policy, now: datetime) -> Iterable[str]:
    """Reasons that depend on no other run."""
    finished = run.finished
    if finished is None:
        yield f"its finish time {run.finished_at!r} cannot be read"
    elif policy.keep_within_s and finished >= _before(now, policy.keep_within_s):
        age = max(0.0, (now - finished).total_seconds())
        yield f"keep_within={_days(policy.keep_within_s)}: finished {_days(age)} ago"
    tags = [tag for tag in policy.keep_tags if tag in run.tags]
    if tags:
        yield f"keep_tags: tagged {', '.join(tags)}"
    if run.status in policy.keep_status:
        yield f"keep_status: {run.status}"


def _nothing_keeps(run: RunFacts, count: _Count) -> str:
    if run.status not in SUCCESSFUL:
        return f"no rule keeps it: its status is {run.status}, and only successful runs are counted"
    twin = count.twin(run)
    if twin is not None:
        return f"no rule keeps it: same content as {twin.ref}, which no rule counts"
    newer = count.places[run.tree_digest]
    return f"no rule keeps it: {newer} newer successful run{'' if newer == 1 else 's'} of distinct content"


def _before(now: datetime, seconds: float) -> datetime:
    """`seconds` before `now`, or the beginning of all time."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _days(seconds: float | None) -> str:
    return f"{(seconds or 0) / _DAY_S:.4g}d"
