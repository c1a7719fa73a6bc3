"""MLflow's file store: ``meta.yaml`` of a run says how it stands; parameters, metrics and tags are a file each.

A run that was deleted stays where it is, and says so; a child is a folder beside its parent and names it.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, known, nested, running, silent, text_of
from sealrun.domain.presets.tables import number_of
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded, parse_time
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_META = "meta.yaml"
_STATUS = re.compile(r"^status: *'?\"?([A-Za-z0-9]{1,20})", re.MULTILINE)
_LINE = re.compile(r"^([a-z_]+): *'?\"?([^'\"\r\n]{1,1000})", re.MULTILINE)
_STATUSES: dict[str, Status] = {
    "3": "success",
    "FINISHED": "success",
    "4": "failed",
    "FAILED": "failed",
    "5": "interrupted",
    "KILLED": "interrupted",
}
_UNFINISHED = {"1", "2", "RUNNING", "SCHEDULED"}
_VALUE_BYTES = 8 << 10
_MODEL = "/MLmodel"
_VERSION = re.compile(r"^mlflow_version: *'?([0-9][\w.+-]{0,40})", re.MULTILINE)
_DELETED = re.compile(r"^lifecycle_stage: *'?\"?deleted", re.MULTILINE)


def _status(look: Look) -> FrameworkStatus | None:
    if _META not in look.files:
        return None
    text = text_of(look.read(_META, MAX_RECORD_BYTES))
    match = _STATUS.search(text) if "run_id:" in text else None
    if match is None:
        return None
    word = match[1]
    evidence = f"{_META}: status {word}{', deleted' if _DELETED.search(text) else ''}"
    status = _STATUSES.get(word)
    if status is not None:
        return FrameworkStatus(framework="mlflow", state="finished", evidence=evidence, status=status)
    if word in _UNFINISHED:
        return running("mlflow", evidence, f"status 3 (finished), 4 (failed) or 5 (killed) in {_META}")
    return silent("mlflow", evidence, f"{word} is no status that is known, so quiet decides")


def _facts(look: Look) -> Facts:
    said = dict(_LINE.findall(text_of(look.read(_META, MAX_RECORD_BYTES))))
    tags = {name: _value(look, f"tags/{name}") for name in nested(look.files, "tags/")}
    metrics = {name: _last(look, f"metrics/{name}") for name in nested(look.files, "metrics/")}
    params = {name: _value(look, f"params/{name}") for name in nested(look.files, "params/")}
    own = {name: value for name, value in tags.items() if not name.startswith("mlflow.") and value}
    ids = {
        "experiment": said.get("experiment_id"),
        "name": said.get("run_name") or tags.get("mlflow.runName"),
        "parent": tags.get("mlflow.parentRunId"),
        "stage": "deleted" if said.get("lifecycle_stage") == "deleted" else None,
    }
    return Facts(
        version=_version(look),
        run=said.get("run_id"),
        ids=known(ids),
        started_at=_time(said.get("start_time")),
        finished_at=_time(said.get("end_time")),
        pipeline_id=(tags.get("mlflow.source.name") or "").rpartition("/")[2] or None,
        pipeline_version=tags.get("mlflow.source.git.commit"),
        tags=sorted(f"{name}={value}" for name, value in own.items()) or None,
        params=bounded({name: value for name, value in params.items() if value is not None}),
        metrics=bounded({name: value for name, value in metrics.items() if value is not None}),
    )


def _version(look: Look) -> str | None:
    """A run does not say which version made it, but a model that was logged into it does."""
    model = min((path for path in look.files if path.startswith("artifacts/") and path.endswith(_MODEL)), default=None)
    match = _VERSION.search(text_of(look.read(model, MAX_RECORD_BYTES))) if model is not None else None
    return match[1] if match else None


def _value(look: Look, path: str) -> str | None:
    body = look.read(path, _VALUE_BYTES)
    return None if body is None else text_of(body)


def _last(look: Look, path: str) -> float | int | str | None:
    """Lines are ``TIME VALUE [STEP]``, in the order of logging."""
    lines = text_of(look.end(path, _VALUE_BYTES)).split("\n")
    rows = [line.split() for line in lines if line.strip()]
    return number_of(rows[-1][1]) if rows and len(rows[-1]) in {2, 3} else None


def _time(text: str | None) -> str | None:
    """Milliseconds since 1970."""
    return parse_time(int(text) / 1000) if text is not None and re.fullmatch(r"[0-9]{1,16}", text) else None


MLFLOW = Preset(name="mlflow", status=_status, facts=_facts)
