"""Looking at a folder: which framework left it, which markers it has, what it still waits for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sealrun.domain.errors import RunRejectedError
from sealrun.domain.presets import PRESETS, Facts, Recognised, recognise
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, parse_status, read_json, read_sums
from sealrun.domain.runs.recorder import (
    HEARTBEAT_FILE,
    MAX_RECORDING_BYTES,
    RECORDING_FILE,
    Recorder,
    pulse_time,
    read_recorder,
)
from sealrun.domain.watches.in_place import is_in_place_seal
from sealrun.domain.watches.looks import FileLine, fingerprint, forbidden_paths, missing_patterns
from sealrun.domain.watches.settling import (
    DONE_MARKER,
    SUCCESS_MARKER,
    SUMS_MARKER,
    FrameworkStatus,
    Mark,
    SettleRules,
    Snapshot,
    Stale,
    Verdict,
    Waiting,
    decide_now,
)
from sealrun.ports import Clock, OpenWriters, RunFolder, Survey, Tree
from sealrun.services.watching.recognising import FolderLook

__all__ = ["PRESETS", "Explanation", "explain", "find_framework", "fingerprint_of", "take_snapshot"]

_MAX_SUMS_BYTES = 64 << 20
_MAX_PULSE_BYTES = 4096


def fingerprint_of(survey: Survey) -> str:
    """Digest of how a folder looks; see `domain.watches.settling.fingerprint`."""
    tree = survey.tree
    # Trees are sorted: there may be a million files, and sorting them here would hold them all.
    files = (FileLine(path, f.size, f.mtime_ns, f.ctime_ns, f.executable) for path, f in tree.files.items())
    others = [f"folder {path}" for path in tree.directories]
    others += [f"link {link.path}\0{link.target}" for link in tree.links]
    others += [f"problem {survey.problem}"] if survey.problem else []
    return fingerprint(files, others)


def take_snapshot(
    folder: RunFolder, rules: SettleRules, survey: Survey, *, distrusted: frozenset[str] = frozenset()
) -> Snapshot:
    """Describe `survey` of `folder` for the decision. Markers named in `distrusted` do not count."""
    tree = survey.tree
    newest = max((max(f.mtime_ns, f.ctime_ns) for f in tree.files.values()), default=0)
    problem = survey.problem
    marks: tuple[Mark, ...] = ()
    framework = None
    recorder, pulse = _recorder(folder)
    try:
        names = [name for name in rules.markers if name not in distrusted]
        marks = tuple(_marks(folder, tree, names, sealed_here=rules.sealed_here))
        framework = find_framework(folder, tree, rules.preset)
    except RunRejectedError as error:
        problem = problem or str(error)
    missing = missing_patterns(rules, tree.files)
    if framework is None and not marks and recorder is None and _asks_for_one(folder, rules.preset):
        missing = (*missing, f"anything by which a run of {rules.preset} is recognised")
    return Snapshot(
        fingerprint=fingerprint_of(survey),
        files=len(tree.files),
        size=sum(facts.size for facts in tree.files.values()),
        newest=newest / 1e9,
        marks=marks,
        framework=framework,
        missing=missing,
        forbidden=forbidden_paths(rules, tree.files),
        problem=problem,
        recorder=recorder,
        pulse=pulse,
    )


def _asks_for_one(folder: RunFolder, preset: str) -> bool:
    """Tell whether the watch takes the runs of one framework: what is none, or none yet, is not taken for quiet."""
    return folder.unit == "folder" and preset not in {"auto", "none"}


def _recorder(folder: RunFolder) -> tuple[Recorder | None, str]:
    """Who records the run, if somebody does or died while doing it, and their last sign of life."""
    if folder.unit != "folder":
        return None, ""
    try:
        recorder = read_recorder(folder.read_small(RECORDING_FILE, MAX_RECORDING_BYTES))
        if recorder is None or recorder.heartbeat_s is None:
            return recorder, ""
        return recorder, (folder.read_small(HEARTBEAT_FILE, _MAX_PULSE_BYTES) or b"").decode("ascii", "replace")
    except RunRejectedError:
        return None, ""  # unreadable, as if it were not there: then the files decide


def _marks(folder: RunFolder, tree: Tree, names: Sequence[str], *, sealed_here: bool) -> list[Mark]:
    found: list[Mark] = []
    for name in names:
        if name == DONE_MARKER:
            body = folder.read_small(name, MAX_RECORD_BYTES)
            if body is not None:
                value = read_json(body)
                status = parse_status(value.get("status")) if isinstance(value, dict) else None
                found.append(Mark(name, status or "unknown"))
        elif name == SUMS_MARKER:
            if _sums_name_everything(folder, tree, sealed_here=sealed_here):
                found.append(Mark(name, "unknown"))
        elif name in tree.files:
            found.append(Mark(name, "success" if name == SUCCESS_MARKER else "unknown"))
    return found


def _sums_name_everything(folder: RunFolder, tree: Tree, *, sealed_here: bool) -> bool:
    """Tell whether a producer's own sums are well formed and every file they name is there, at least by name.

    That the digests match is checked when the run is sealed.
    """
    if SUMS_MARKER not in tree.files:
        return False
    body = folder.read_small(SUMS_MARKER, _MAX_SUMS_BYTES)
    if sealed_here and is_in_place_seal(body):
        return False  # our own word, which a crash may have left here: the producer's is awaited as before
    sums = read_sums(body)
    return sums is not None and sums.keys() <= tree.files.keys()


def find_framework(folder: RunFolder, tree: Tree, preset: str) -> FrameworkStatus | None:
    """Ask the framework that `preset` names, or with ``auto`` each in turn; ``none`` asks nobody."""
    return _recognise(FolderLook(folder, tree), folder, preset).status


def _recognise(look: FolderLook, folder: RunFolder, preset: str) -> Recognised:
    return recognise(look, preset) if folder.unit == "folder" else Recognised()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a folder's completeness. `awaited` is empty exactly when it would be taken now.

    `framework` decides, `frameworks` are all that were recognised, `recognised_by` the sign of each, `inside` the runs
    of frameworks below the folder, `framework_facts` what they say of the run, `unread` what they left that could not
    be used, and why.
    """

    path: str
    complete: bool
    evidence: str | None
    awaited: tuple[str, ...]
    rejected: str | None
    markers: tuple[str, ...]
    framework: str | None
    framework_says: str | None
    framework_awaits: str | None
    frameworks: tuple[str, ...]
    recognised_by: tuple[str, ...]
    inside: tuple[str, ...]
    framework_facts: JsonObject
    unread: tuple[str, ...]
    missing: tuple[str, ...]
    forbidden: tuple[str, ...]
    recorder: str | None
    writers: tuple[str, ...]
    files: int
    size: int
    quiet_s: float
    empty_folders: tuple[str, ...]
    links: tuple[str, ...]


def explain(folder: RunFolder, rules: SettleRules, writers: OpenWriters, clock: Clock) -> Explanation:
    """Look at a folder once and say everything. Reads and hashes nothing but markers; changes nothing."""
    survey = folder.survey()
    snapshot = take_snapshot(folder, rules, survey)
    writing = tuple(writers.writers(folder.path))
    wall = clock.now().timestamp()
    lives = None if snapshot.recorder is None else writers.lives(snapshot.recorder)
    verdict = decide_now(rules, snapshot, clock.monotonic(), wall, writing, lives=lives)
    framework = snapshot.framework
    recognised, facts = _facts(folder, survey, rules.preset)
    said = {name: getattr(facts, name) for name in facts.__struct_fields__ if name != "notes"}
    return Explanation(
        path=folder.path,
        complete=not _awaited(verdict) and snapshot.problem is None,
        evidence=None if _awaited(verdict) else _evidence(verdict),
        awaited=_awaited(verdict),
        rejected=snapshot.problem,
        markers=tuple(mark.name for mark in snapshot.marks),
        framework=framework.framework if framework else None,
        framework_says=f"{framework.state} ({framework.evidence})" if framework else None,
        framework_awaits=framework.awaits or None if framework else None,
        frameworks=recognised.names,
        recognised_by=recognised.lines,
        inside=recognised.lines_inside,
        framework_facts={name: value for name, value in said.items() if value is not None},
        unread=facts.notes,
        missing=snapshot.missing,
        forbidden=snapshot.forbidden,
        recorder=None if snapshot.recorder is None else _life(snapshot, lives, wall),
        writers=writing,
        files=snapshot.files,
        size=snapshot.size,
        quiet_s=max(0.0, wall - snapshot.newest) if snapshot.files else 0.0,
        empty_folders=survey.tree.directories,
        links=tuple(f"{link.path} -> {link.target}" for link in survey.tree.links),
    )


def _facts(folder: RunFolder, survey: Survey, preset: str) -> tuple[Recognised, Facts]:
    look = FolderLook(folder, survey.tree)
    try:
        recognised = _recognise(look, folder, preset)
        return recognised, recognised.facts(look)
    except RunRejectedError:
        return Recognised(), Facts()  # the snapshot names the file that cannot be read


def _life(snapshot: Snapshot, lives: bool | None, wall: float) -> str:  # noqa: FBT001 - None: nobody can tell
    """Say who records the run, and what shows that it lives or does not."""
    if lives is not None:
        return f"{snapshot.recorder}: {'lives' if lives else 'is gone'}"
    given = pulse_time(snapshot.pulse)
    said = "it gives none" if given is None else f"the last {max(0.0, wall - given):.0f} s ago, by its clock"
    return f"{snapshot.recorder}: not visible from here; signs of life: {said}"


def _awaited(verdict: Verdict) -> tuple[str, ...]:
    match verdict:
        case Waiting(reasons=reasons):
            return reasons
        case Stale(reason=reason):
            return (reason,)
        case _:
            return ()


def _evidence(verdict: Verdict) -> str | None:
    completion = getattr(verdict, "completion", None)
    return None if completion is None else f"{completion.method}: {completion.evidence}"
