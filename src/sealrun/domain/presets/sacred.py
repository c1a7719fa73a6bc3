"""Sacred's file storage: ``run.json`` beside ``config.json`` says how the run stands.

A run that was only queued has no ``cout.txt``, and no heartbeat yet.
"""

from __future__ import annotations

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded, parse_time, read_json
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_RUN = "run.json"
_FILES = {_RUN, "config.json"}
_QUEUED = "QUEUED"
_STATUSES: dict[str, Status] = {
    "COMPLETED": "success",
    "FAILED": "failed",
    "INTERRUPTED": "interrupted",
    "TIMEOUT": "interrupted",
}
_UNFINISHED = {"RUNNING", _QUEUED}


def _status(look: Look) -> FrameworkStatus | None:
    if not look.files.keys() >= _FILES:
        return None
    value = _record(look, _RUN)
    word = value.get("status")
    began = "heartbeat" in value and "cout.txt" in look.files
    queued = word == _QUEUED and isinstance(value.get("experiment"), dict)
    if not isinstance(word, str) or not (began or queued):
        return None
    evidence = f"{_RUN}: {word[:40]}"
    status = _STATUSES.get(word)
    if status is not None:
        return FrameworkStatus(framework="sacred", state="finished", evidence=evidence, status=status)
    if word in _UNFINISHED:
        return running("sacred", evidence, f"COMPLETED, FAILED, INTERRUPTED or TIMEOUT in {_RUN}")
    return silent("sacred", evidence)


def _facts(look: Look) -> Facts:
    run, metrics = _record(look, _RUN), _record(look, "metrics.json")
    about = run.get("experiment")
    about = about if isinstance(about, dict) else {}
    needs = about.get("dependencies")
    needs = [need for need in needs if isinstance(need, str)] if isinstance(needs, list) else []
    name, version = about.get("name"), next((need for need in needs if need.startswith("sacred==")), None)
    last = {name: series["values"][-1] for name, series in metrics.items() if _is_series(series)}
    if isinstance(run.get("result"), int | float | str | dict):
        last.setdefault("result", run["result"])
    return Facts(
        version=version.removeprefix("sacred==") if version else None,
        started_at=parse_time(run.get("start_time")),
        finished_at=parse_time(run.get("stop_time")),
        pipeline_id=name if isinstance(name, str) and name else None,
        pipeline_version=_commit(about.get("repositories")),
        params=bounded(_record(look, "config.json")),
        metrics=bounded(last),
    )


def _record(look: Look, path: str) -> JsonObject:
    value = read_json(look.read(path, MAX_RECORD_BYTES))
    return value if isinstance(value, dict) else {}


def _is_series(series: object) -> bool:
    values = series.get("values") if isinstance(series, dict) else None
    return isinstance(values, list) and bool(values)


def _commit(repositories: object) -> str | None:
    first = repositories[0] if isinstance(repositories, list) and repositories else None
    commit = first.get("commit") if isinstance(first, dict) else None
    return commit if isinstance(commit, str) and commit else None


SACRED = Preset(name="sacred", status=_status, facts=_facts, owns=frozenset({_RUN, "metrics.json"}))
