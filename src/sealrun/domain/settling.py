"""When is a folder complete: a state machine over snapshots of it, without a clock or a file system.

Strongest evidence first: an explicit marker, a framework's own status, then quiet (no change for the settle time and
no open writer). Whatever the evidence, a missing required file or a forbidden one (a download's temporary name) means
wait. "Unchanged" is what *we* observed, on a clock that never goes back: files dated in the future or the past and a
wall clock that jumps change nothing.

A marker alone is not trusted at the first look: ``cp -r`` and ``tar`` may deliver it before the files it speaks for.
So even then the folder must stay as it is for `MARKER_GRACE_S` with nobody writing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from sealrun.domain.patterns import matches
from sealrun.domain.run import Completion, Method, Status

MARKER_GRACE_S = 2.0
SUCCESS_MARKER = "_SUCCESS"
DONE_MARKER = ".sealrun/done.json"
SUMS_MARKER = "MANIFEST.sha256"
DEFAULT_MARKERS = (SUCCESS_MARKER, DONE_MARKER, SUMS_MARKER)
DEFAULT_FORBID = ("*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", ".~lock*", "_temporary/")
_RSYNC_TEMPORARY = re.compile(r"(?:.*/)?\.[^/]+\.(?=[^/]*[0-9A-Z])[0-9A-Za-z]{6}\Z", re.DOTALL)
_WRITER_LOOK_S = 5.0
_BLOCKED_LOOK_S = 30.0
_NAMED = 5


class SettleRules(msgspec.Struct, frozen=True, kw_only=True):
    """What completion means for one watch. Times in seconds; patterns in gitignore syntax.

    rsync's temporary names (``.name.Xy12ab``) are always forbidden unless `forbid` is empty.
    """

    settle_s: float = 30.0
    markers: tuple[str, ...] = DEFAULT_MARKERS
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = DEFAULT_FORBID
    stale_after_s: float = 72 * 3600.0
    preset: str = "auto"


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
    make sealing reject the folder.
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


class Watching(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered between looks; monotonic seconds. `idle_s` was already idle before `unchanged_since`."""

    fingerprint: str
    first_seen: float
    unchanged_since: float
    idle_s: float = 0.0


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


def observe(previous: Watching | None, fingerprint: str, now: float) -> Watching:
    """Remember that the folder looked like `fingerprint` at `now`; harmless to repeat."""
    if previous is None:
        return Watching(fingerprint=fingerprint, first_seen=now, unchanged_since=now)
    if previous.fingerprint != fingerprint:
        return Watching(fingerprint=fingerprint, first_seen=previous.first_seen, unchanged_since=now)
    return previous


def decide(
    rules: SettleRules, previous: Watching | None, snapshot: Snapshot, now: float, open_writers: Sequence[str] = ()
) -> Verdict:
    """Decide from one more look at `now` (monotonic). `open_writers` names processes that still write."""
    watching = observe(previous, snapshot.fingerprint, now)
    unchanged = max(0.0, now - watching.unchanged_since)
    blocked = what_blocks(snapshot)
    evidence = _evidence(rules, snapshot)
    if not blocked and unchanged >= evidence.quiet_s and not open_writers:
        return Complete(watching=watching, completion=evidence.completion, status=evidence.status)
    if not blocked and unchanged < evidence.quiet_s:
        reasons = (_settling(evidence),)
        return Waiting(watching=watching, reasons=reasons, next_look_s=max(0.05, evidence.quiet_s - unchanged))
    if not blocked:
        blocked = (f"open for writing by {', '.join(open_writers[:_NAMED])}",)
        look = min(_WRITER_LOOK_S, max(1.0, rules.settle_s))
    else:
        look = min(_BLOCKED_LOOK_S, max(1.0, rules.settle_s))
    if unchanged + watching.idle_s >= rules.stale_after_s:
        reason = f"unchanged for {rules.stale_after_s / 3600:g} h and still not complete: {'; '.join(blocked)}"
        return Stale(watching=watching, reason=reason)
    return Waiting(watching=watching, reasons=blocked, next_look_s=look)


def decide_now(
    rules: SettleRules, snapshot: Snapshot, now: float, wall: float, open_writers: Sequence[str] = ()
) -> Verdict:
    """Decide from a single look, for a command that does not stay: what is complete now is taken.

    A marker, or the status of a framework after which nothing follows, counts at once; quiet is judged by the newest
    change of the files against the wall clock, so files from the future are not taken.
    """
    evidence = _evidence(rules, snapshot)
    age = max(0.0, wall - snapshot.newest)
    since = now - max(evidence.quiet_s, 0.0) if evidence.at_once else now - age
    seen = Watching(fingerprint=snapshot.fingerprint, first_seen=since, unchanged_since=since)
    return decide(rules, seen, snapshot, now, open_writers)


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
    if framework is not None and framework.state == "running" and not snapshot.marks:
        awaits = f"; awaited: {framework.awaits}" if framework.awaits else ""
        reasons.append(f"{framework.framework} says that it is running ({framework.evidence}){awaits}")
    return tuple(reasons)


def _evidence(rules: SettleRules, snapshot: Snapshot) -> _Evidence:
    short = min(rules.settle_s, MARKER_GRACE_S)
    framework = snapshot.framework
    if snapshot.marks:
        failed = next((mark for mark in snapshot.marks if mark.status == "failed"), None)
        mark = failed or snapshot.marks[0]
        return _Evidence(_declared("marker", mark.name), mark.status, short, at_once=True)
    if framework is not None and framework.state == "finished":
        completion = _declared("framework", f"{framework.framework}: {framework.evidence}")
        if framework.wait == "settle":
            return _Evidence(completion, framework.status, rules.settle_s)
        return _Evidence(completion, framework.status, short, at_once=True)
    quiet = Completion("quiet", f"no change for {rules.settle_s:g} s and no open writer", "inferred")
    return _Evidence(quiet, "unknown", rules.settle_s)


def _declared(method: Method, evidence: str) -> Completion:
    return Completion(method, evidence, "declared")


def _settling(evidence: _Evidence) -> str:
    if evidence.completion.confidence == "declared":
        return f"{evidence.completion.evidence} is there; waiting {evidence.quiet_s:g} s for late files"
    return f"changed within the last {evidence.quiet_s:g} s"


class FileLine(msgspec.Struct, frozen=True):
    """What of one file enters the fingerprint; times in nanoseconds. ctime catches a rewrite that restores mtime."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    executable: bool


def fingerprint(files: Iterable[FileLine], others: Iterable[str] = ()) -> str:
    """Digest of a folder's appearance: its files, and `others` (links, empty folders, problems) as text."""
    hasher = hashlib.sha256()
    for file in sorted(files, key=lambda line: line.path):
        line = f"{file.path}\0{file.size}\0{file.mtime_ns}\0{file.ctime_ns}\0{file.executable:d}\0"
        hasher.update(line.encode("utf-8", "surrogateescape"))
    for other in sorted(others):
        hasher.update(f"\0{other}\0".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def forbidden_paths(rules: SettleRules, paths: Iterable[str]) -> tuple[str, ...]:
    """The first few of `paths` whose names say that they are still being written."""
    if not rules.forbid:
        return ()
    found = (path for path in paths if matches(rules.forbid, path) or _RSYNC_TEMPORARY.match(path))
    return tuple(path for path, _ in zip(found, range(_NAMED), strict=False))


def missing_patterns(rules: SettleRules, paths: Iterable[str]) -> tuple[str, ...]:
    """Required patterns that none of `paths` matches."""
    if not rules.require:
        return ()
    known = tuple(paths)
    return tuple(need for need in rules.require if not any(matches((need,), path) for path in known))
