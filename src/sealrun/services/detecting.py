"""Looking at a folder: which framework left it, which markers it has, what it still waits for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from sealrun.domain.declarations import MAX_RECORD_BYTES, parse_status, read_json, read_sums
from sealrun.domain.errors import RunRejectedError
from sealrun.domain.run import Status
from sealrun.domain.settling import (
    DONE_MARKER,
    SUCCESS_MARKER,
    SUMS_MARKER,
    FileLine,
    FrameworkStatus,
    Mark,
    SettleRules,
    Snapshot,
    Stale,
    Verdict,
    Waiting,
    decide_now,
    fingerprint,
    forbidden_paths,
    missing_patterns,
)
from sealrun.ports import Clock, OpenWriters, RunFolder, Survey, Tree

_MAX_SUMS_BYTES = 64 << 20
_MLFLOW_STATUS = re.compile(rb"^status: *'?\"?([A-Za-z0-9]+)", re.MULTILINE)
_MLFLOW: Mapping[str, Status] = {
    "3": "success",
    "FINISHED": "success",
    "4": "failed",
    "FAILED": "failed",
    "5": "interrupted",
    "KILLED": "interrupted",
}
_SACRED: Mapping[str, Status] = {
    "COMPLETED": "success",
    "FAILED": "failed",
    "INTERRUPTED": "interrupted",
    "TIMEOUT": "interrupted",
}

Framework = Callable[[RunFolder, Tree], FrameworkStatus | None]


def fingerprint_of(survey: Survey) -> str:
    """Digest of how a folder looks; see `domain.settling.fingerprint`."""
    tree = survey.tree
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
    try:
        marks = tuple(_marks(folder, tree, [name for name in rules.markers if name not in distrusted]))
        framework = find_framework(folder, tree, rules.preset)
    except RunRejectedError as error:
        problem = problem or str(error)
    return Snapshot(
        fingerprint=fingerprint_of(survey),
        files=len(tree.files),
        size=sum(facts.size for facts in tree.files.values()),
        newest=newest / 1e9,
        marks=marks,
        framework=framework,
        missing=missing_patterns(rules, tree.files),
        forbidden=forbidden_paths(rules, tree.files),
        problem=problem,
    )


def _marks(folder: RunFolder, tree: Tree, names: Sequence[str]) -> list[Mark]:
    found: list[Mark] = []
    for name in names:
        if name == DONE_MARKER:
            body = folder.read_small(name, MAX_RECORD_BYTES)
            if body is not None:
                value = read_json(body)
                status = parse_status(value.get("status")) if isinstance(value, dict) else None
                found.append(Mark(name, status or "unknown"))
        elif name == SUMS_MARKER:
            if _sums_name_everything(folder, tree):
                found.append(Mark(name, "unknown"))
        elif name in tree.files:
            found.append(Mark(name, "success" if name == SUCCESS_MARKER else "unknown"))
    return found


def _sums_name_everything(folder: RunFolder, tree: Tree) -> bool:
    """Tell whether a producer's own sums are well formed and every file they name is there, at least by name.

    That the digests match is checked when the run is sealed.
    """
    if SUMS_MARKER not in tree.files:
        return False
    sums = read_sums(folder.read_small(SUMS_MARKER, _MAX_SUMS_BYTES))
    return sums is not None and sums.keys() <= tree.files.keys()


def _success_file(folder: RunFolder, tree: Tree) -> FrameworkStatus | None:  # noqa: ARG001 - one signature for all
    """Spark and Hadoop: ``_SUCCESS`` at the top, and ``_temporary/`` is gone."""
    if any(path.startswith("_temporary/") for path in tree.files) or "_temporary" in tree.directories:
        return FrameworkStatus(framework="success-file", state="running", evidence="_temporary/ is there")
    if SUCCESS_MARKER in tree.files:
        return FrameworkStatus(framework="success-file", state="finished", evidence=SUCCESS_MARKER, status="success")
    return None


def _mlflow(folder: RunFolder, tree: Tree) -> FrameworkStatus | None:
    """MLflow's file store: ``meta.yaml`` of a run says ``status: 3`` (finished), 4, 5; 1 and 2 while it runs."""
    if "meta.yaml" not in tree.files:
        return None
    body = folder.read_small("meta.yaml", MAX_RECORD_BYTES)
    match = _MLFLOW_STATUS.search(body) if body and b"run_id:" in body else None
    if match is None:
        return None
    word = match[1].decode()
    status = _MLFLOW.get(word)
    evidence = f"meta.yaml: status {word}"
    if status is None:
        return FrameworkStatus(framework="mlflow", state="running", evidence=evidence)
    return FrameworkStatus(framework="mlflow", state="finished", evidence=evidence, status=status)


def _sacred(folder: RunFolder, tree: Tree) -> FrameworkStatus | None:
    """Sacred's file storage: ``run.json`` beside ``cout.txt`` says COMPLETED, FAILED, …; RUNNING while it runs."""
    if not {"run.json", "cout.txt", "config.json"} <= tree.files.keys():
        return None
    value = read_json(folder.read_small("run.json", MAX_RECORD_BYTES))
    word = value.get("status") if isinstance(value, dict) else None
    if not isinstance(word, str) or not isinstance(value, dict) or "heartbeat" not in value:
        return None
    status = _SACRED.get(word)
    if status is not None:
        return FrameworkStatus(framework="sacred", state="finished", evidence=f"run.json: {word}", status=status)
    if word in {"RUNNING", "QUEUED"}:
        return FrameworkStatus(framework="sacred", state="running", evidence=f"run.json: {word}")
    return FrameworkStatus(framework="sacred", state="silent", evidence=f"run.json: {word}")


def _hydra(folder: RunFolder, tree: Tree) -> FrameworkStatus | None:  # noqa: ARG001 - one signature for all
    """Hydra leaves the same files whether its job fails or not: recognised, but silent."""
    if ".hydra/config.yaml" not in tree.files:
        return None
    return FrameworkStatus(framework="hydra", state="silent", evidence=".hydra/config.yaml")


FRAMEWORKS: Mapping[str, Framework] = {
    "success-file": _success_file,
    "mlflow": _mlflow,
    "sacred": _sacred,
    "hydra": _hydra,
}
PRESETS = ("auto", "none", *FRAMEWORKS)


def find_framework(folder: RunFolder, tree: Tree, preset: str) -> FrameworkStatus | None:
    """Ask the framework that `preset` names, or with ``auto`` each in turn; ``none`` asks nobody."""
    asked = FRAMEWORKS.values() if preset == "auto" else [FRAMEWORKS[preset]] if preset in FRAMEWORKS else []
    answers = (ask(folder, tree) for ask in asked if folder.unit == "folder")
    return next((answer for answer in answers if answer is not None), None)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about a folder's completeness. `awaited` is empty exactly when it would be taken now."""

    path: str
    complete: bool
    evidence: str | None
    awaited: tuple[str, ...]
    rejected: str | None
    markers: tuple[str, ...]
    framework: str | None
    framework_says: str | None
    missing: tuple[str, ...]
    forbidden: tuple[str, ...]
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
    verdict = decide_now(rules, snapshot, clock.monotonic(), wall, writing)
    framework = snapshot.framework
    return Explanation(
        path=folder.path,
        complete=not _awaited(verdict) and snapshot.problem is None,
        evidence=None if _awaited(verdict) else _evidence(verdict),
        awaited=_awaited(verdict),
        rejected=snapshot.problem,
        markers=tuple(mark.name for mark in snapshot.marks),
        framework=framework.framework if framework else None,
        framework_says=f"{framework.state} ({framework.evidence})" if framework else None,
        missing=snapshot.missing,
        forbidden=snapshot.forbidden,
        writers=writing,
        files=snapshot.files,
        size=snapshot.size,
        quiet_s=max(0.0, wall - snapshot.newest) if snapshot.files else 0.0,
        empty_folders=survey.tree.directories,
        links=tuple(f"{link.path} -> {link.target}" for link in survey.tree.links),
    )


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
