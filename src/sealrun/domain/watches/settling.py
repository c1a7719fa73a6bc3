"""When is a folder complete: a state machine over snapshots of it, without a clock or a file system.

Strongest evidence first: an explicit marker, a framework's own status, then quiet (no change for the settle time and
no open writer). Whatever the evidence, a missing required file or a forbidden one (a download's temporary name) means
wait. "Unchanged" is what *we* observed, on a clock that never goes back: files dated in the future or the past and a
wall clock that jumps change nothing.

A marker alone is not trusted at the first look: ``cp -r`` and ``tar`` may deliver it before the files it speaks for.
So even then the folder must stay as it is for `MARKER_GRACE_S` with nobody writing.

A run that `recording` records names its producer. While that lives nothing but its own declaration ends the run; where
nobody can tell (it is on another machine), its signs of life count, and `gone_after_s` without one is an end, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from sealrun.domain.runs.recorder import Recorder, pulse_time
from sealrun.domain.runs.run import Completion, Method, Status

MARKER_GRACE_S = 2.0
SUCCESS_MARKER = "_SUCCESS"
DONE_MARKER = ".sealrun/done.json"
SUMS_MARKER = "MANIFEST.sha256"
DEFAULT_MARKERS = (SUCCESS_MARKER, DONE_MARKER, SUMS_MARKER)
DEFAULT_FORBID = ("*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", ".~lock*", "_temporary/")
_WRITER_LOOK_S = 5.0
_BLOCKED_LOOK_S = 30.0
_NAMED = 5
_COMMITTERS = "_temporary"
"""What Spark's and Hadoop's committers leave behind when they are killed."""


class SettleRules(msgspec.Struct, frozen=True, kw_only=True):
    """What completion means for one watch. Times in seconds; patterns in gitignore syntax.

    `sealed_here`: seals that sealrun wrote into the folders are no markers. rsync's temporary names (``.name.Xy12ab``)
    are always forbidden unless `forbid` is empty.
    """

    settle_s: float = 30.0
    markers: tuple[str, ...] = DEFAULT_MARKERS
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = DEFAULT_FORBID
    stale_after_s: float = 72 * 3600.0
    preset: str = "auto"
    gone_after_s: float = 600.0
    on_stale: Literal["alarm", "seal"] = "alarm"
    sealed_here: bool = False


class Mark(msgspec.Struct, frozen=True):
    """An explicit marker that was found, and the status it declares."""

    name: str
    status: Status


class FrameworkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a framework's own files say. ``silent``: recognised, but it never says when it is done.

    `awaits` is what would show the end, or why nothing does. `wait`: how long a folder that is ``finished`` must stay
    as it is; ``settle`` where something may still follow.
    """

    framework: str
    state: Literal["running", "finished", "silent"]
    evidence: str
    status: Status = "unknown"
    awaits: str = ""
    wait: Literal["grace", "settle"] = "grace"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a folder. `newest` is the newest change of any file, POSIX seconds by the file system's clock.

    `missing` are required patterns that nothing matches, `forbidden` the first forbidden paths, `problem` what would
    make sealing reject the folder. `recorder` is who records it, or did when it died, `pulse` its last sign of life.
    """

    fingerprint: str
    files: int
    size: int
    newest: float
    marks: tuple[Mark, ...] = ()
    framework: FrameworkStatus | None = None
    missing: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    problem: str | None = None
    recorder: Recorder | None = None
    pulse: str = ""


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered between looks; monotonic seconds. `idle_s` was already idle before `unchanged_since`.

    `pulse` is the producer's last sign of life, seen first at `pulse_since`.
    """

    fingerprint: str
    first_seen: float
    unchanged_since: float
    idle_s: float = 0.0
    pulse: str | None = None
    pulse_since: float = 0.0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Not complete yet: why, and after how many seconds to look again at the latest."""

    watching: Watching
    reasons: tuple[str, ...]
    next_look_s: float


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """Complete, by this evidence and with the status that the evidence declares."""

    watching: Watching
    completion: Completion
    status: Status


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """Unchanged for so long that nobody is going to complete it. A change makes it settle again."""

    watching: Watching
    reason: str


Verdict = Waiting | Complete | Stale


class _Evidence(msgspec.Struct, frozen=True):
    completion: Completion
    status: Status
    quiet_s: float
    at_once: bool = False
    """One look is enough for a command that does not stay."""
    pulseless_s: float = 0.0
    """And no sign of life for so long."""


def observe(previous: Watching | None, fingerprint: str, now: float, pulse: str = "") -> Watching:
    """Remember that the folder looked like `fingerprint` at `now`; harmless to repeat."""
    if previous is None:
        return Watching(fingerprint=fingerprint, first_seen=now, unchanged_since=now, pulse=pulse, pulse_since=now)
    seen = previous
    if previous.fingerprint != fingerprint:
        seen = msgspec.structs.replace(previous, fingerprint=fingerprint, unchanged_since=now, idle_s=0.0)
    if seen.pulse != pulse:
        seen = msgspec.structs.replace(seen, pulse=pulse, pulse_since=now)
    return seen


def decide(
    rules: SettleRules,
    previous: Watching | None,
    snapshot: Snapshot,
    now: float,
    open_writers: Sequence[str] = (),
    *,
    lives: bool | None = None,
) -> Verdict:
    """Decide from one more look at `now` (monotonic). `open_writers` names processes that still write.

    `lives`: whether the run's recorder does; None if nobody here can tell.
    """
    watching = observe(previous, snapshot.fingerprint, now, snapshot.pulse)
    unchanged = max(0.0, now - watching.unchanged_since)
    blocked = what_blocks(snapshot)
    evidence = _evidence(rules, snapshot, lives)
    awaited = max(evidence.quiet_s - unchanged, evidence.pulseless_s - max(0.0, now - watching.pulse_since))
    occupied = _occupied(snapshot, open_writers, lives)
    if not blocked and not occupied and awaited <= 0:
        return Complete(watching=watching, completion=evidence.completion, status=evidence.status)
    if not blocked and not occupied:
        reasons = (_settling(evidence, snapshot),)
        return Waiting(watching=watching, reasons=reasons, next_look_s=max(0.05, awaited))
    if unchanged + watching.idle_s >= rules.stale_after_s and not occupied and _is_given_up(rules, snapshot, blocked):
        given_up = f"no change for {rules.stale_after_s:g} s and no open writer, although {blocked[-1]}"
        return Complete(watching=watching, completion=Completion("quiet", given_up, "inferred"), status="interrupted")
    look = min(_BLOCKED_LOOK_S if blocked or lives else _WRITER_LOOK_S, max(1.0, rules.settle_s))
    blocked = blocked or occupied
    if unchanged + watching.idle_s >= rules.stale_after_s:
        reason = f"unchanged for {rules.stale_after_s / 3600:g} h and still not complete: {'; '.join(blocked)}"
        return Stale(watching=watching, reason=reason)
    return Waiting(watching=watching, reasons=blocked, next_look_s=look)


def _is_given_up(rules: SettleRules, snapshot: Snapshot, blocked: Sequence[str]) -> bool:
    """Tell whether nothing is awaited but the end of a framework's run, which a stale one is taken not to have had."""
    if rules.on_stale != "seal" or snapshot.marks or snapshot.recorder or snapshot.missing or not snapshot.files:
        return False
    running = snapshot.framework is not None and snapshot.framework.state == "running"
    return running and bool(blocked) and all(f"{_COMMITTERS}/" in path for path in snapshot.forbidden)


def _occupied(snapshot: Snapshot, open_writers: Sequence[str], lives: bool | None) -> tuple[str, ...]:  # noqa: FBT001 - see `decide`
    """Say who is still at it."""
    if lives and snapshot.recorder is not None and all(mark.name != DONE_MARKER for mark in snapshot.marks):
        return (f"{snapshot.recorder}, which records it, lives; awaited: its declaration, {DONE_MARKER}",)
    return (f"open for writing by {', '.join(open_writers[:_NAMED])}",) if open_writers else ()


def decide_now(
    rules: SettleRules,
    snapshot: Snapshot,
    now: float,
    wall: float,
    open_writers: Sequence[str] = (),
    *,
    lives: bool | None = None,
) -> Verdict:
    """Decide from a single look, for a command that does not stay: what is complete now is taken.

    A marker, or the status of a framework after which nothing follows, counts at once; quiet is judged by the newest
    change of the files against the wall clock, so files from the future are not taken, and so is a sign of life.
    """
    evidence = _evidence(rules, snapshot, lives)
    age = max(0.0, wall - snapshot.newest) if snapshot.files or snapshot.problem else 0.0  # no file tells it
    since = now - max(evidence.quiet_s, 0.0) if evidence.at_once else now - age
    given = pulse_time(snapshot.pulse)
    seen = Watching(
        fingerprint=snapshot.fingerprint,
        first_seen=since,
        unchanged_since=since,
        pulse=snapshot.pulse,
        pulse_since=now - (age if given is None else max(0.0, wall - given)),
    )
    return decide(rules, seen, snapshot, now, open_writers, lives=lives)


def what_blocks(snapshot: Snapshot) -> tuple[str, ...]:
    """Say what keeps a folder from being complete that only a change of its files can end; empty if nothing does."""
    reasons: list[str] = []
    if not snapshot.files and snapshot.problem is None:
        reasons.append("holds no files yet")
    if snapshot.missing:
        reasons.append(f"required but not there: {', '.join(snapshot.missing[:_NAMED])}")
    if snapshot.forbidden:
        reasons.append(f"still being written, by its name: {', '.join(map(repr, snapshot.forbidden[:_NAMED]))}")
    framework = snapshot.framework
    if framework is not None and framework.state == "running" and not (snapshot.marks or snapshot.recorder):
        awaits = f"; awaited: {framework.awaits}" if framework.awaits else ""
        reasons.append(f"{framework.framework} says that it is running ({framework.evidence}){awaits}")
    return tuple(reasons)


def _evidence(rules: SettleRules, snapshot: Snapshot, lives: bool | None) -> _Evidence:  # noqa: FBT001 - see `decide`
    short = min(rules.settle_s, MARKER_GRACE_S)
    framework = snapshot.framework
    if snapshot.marks and not (lives is None and _beats(snapshot)):
        mark = next((mark for mark in snapshot.marks if mark.status == "failed"), snapshot.marks[0])
        return _Evidence(_declared("marker", mark.name), mark.status, short, at_once=True)
    if snapshot.recorder is not None:
        return _left_by(snapshot.recorder, rules, lives)
    if framework is not None and framework.state == "finished":
        completion = _declared("framework", f"{framework.framework}: {framework.evidence}")
        if framework.wait == "settle":
            return _Evidence(completion, framework.status, rules.settle_s)
        return _Evidence(completion, framework.status, short, at_once=True)
    return _Evidence(_quiet(rules), "unknown", rules.settle_s)


def _beats(snapshot: Snapshot) -> bool:
    """Tell whether a producer may be alive elsewhere that has not declared the end itself: its tools' markers wait."""
    beating = snapshot.recorder is not None and snapshot.recorder.heartbeat_s is not None
    return beating and all(mark.name != DONE_MARKER for mark in snapshot.marks)


def _left_by(recorder: Recorder, rules: SettleRules, lives: bool | None) -> _Evidence:  # noqa: FBT001 - see `decide`
    """A recorded run without a declaration: its producer died, or it may still be at work where nobody here sees it."""
    silent_s, before = 0.0, ""
    if lives is False:
        before = "its producer is gone, "
    elif recorder.heartbeat_s is not None:
        silent_s = max(rules.gone_after_s, 2 * recorder.heartbeat_s)
        before = f"no sign of life of its producer for {silent_s:g} s, "
    return _Evidence(_quiet(rules, before), "unknown", rules.settle_s, pulseless_s=silent_s)


def _quiet(rules: SettleRules, before: str = "") -> Completion:
    return Completion("quiet", f"{before}no change for {rules.settle_s:g} s and no open writer", "inferred")


def _declared(method: Method, evidence: str) -> Completion:
    return Completion(method, evidence, "declared")


def _settling(evidence: _Evidence, snapshot: Snapshot) -> str:
    if evidence.completion.confidence == "declared":
        return f"{evidence.completion.evidence} is there; waiting {evidence.quiet_s:g} s for late files"
    if evidence.pulseless_s:
        return f"{snapshot.recorder} records it; awaited: {DONE_MARKER}, or {evidence.completion.evidence}"
    return f"changed within the last {evidence.quiet_s:g} s"
