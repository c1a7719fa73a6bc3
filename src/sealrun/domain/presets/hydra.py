"""Hydra: ``.hydra/config.yaml`` in a job's folder, ``multirun.yaml`` in a sweep's.

A job that failed leaves the same files as one that did not, unless ``PickleJobInfoCallback`` is used: it writes
``config.pickle`` when a job begins and ``job_return.pickle``, which holds its status, when it ends.
"""

from __future__ import annotations

from sealrun.domain.declarations import MAX_RECORD_BYTES, bounded
from sealrun.domain.presets.looking import MAX_FILES, Facts, Look, Preset, running, silent
from sealrun.domain.presets.pickles import MAX_PICKLE_BYTES, enum_number
from sealrun.domain.presets.plain_yaml import read_yaml
from sealrun.domain.records import JsonObject
from sealrun.domain.run import Status
from sealrun.domain.settling import FrameworkStatus

_CONFIG = ".hydra/config.yaml"
_SETTINGS = ".hydra/hydra.yaml"
_BEGUN = ".hydra/config.pickle"
_ENDED = ".hydra/job_return.pickle"
_SWEEP = "multirun.yaml"
_STATUSES: dict[int | None, Status] = {1: "success", 2: "failed"}
_WORDS = {1: "COMPLETED", 2: "FAILED"}


def _status(look: Look) -> FrameworkStatus | None:
    if _CONFIG in look.files:
        return _job(look, "")
    return _sweep(look) if _SWEEP in look.files else None


def _job(look: Look, folder: str) -> FrameworkStatus:
    if folder + _ENDED in look.files:
        number = enum_number(look.start(folder + _ENDED, MAX_PICKLE_BYTES), "JobStatus")
        status = _STATUSES.get(number)
        if number is None or status is None:
            return silent("hydra", f"{folder}{_ENDED}: no status could be read")
        evidence = f"{folder}{_ENDED}: {_WORDS[number]}"
        return FrameworkStatus(framework="hydra", state="finished", evidence=evidence, status=status)
    if folder + _BEGUN in look.files:
        return running("hydra", f"{folder}{_BEGUN} is there", f"{folder}{_ENDED}")
    awaits = "hydra shows the end of a job only with PickleJobInfoCallback, so quiet decides"
    return silent("hydra", folder + _CONFIG, awaits)


def _sweep(look: Look) -> FrameworkStatus | None:
    """A sweep is over when the jobs that began are over; which are to come is nowhere said, so quiet is waited for."""
    jobs = sorted(path.removesuffix(_CONFIG) for path in look.files if path.endswith(f"/{_CONFIG}"))[:MAX_FILES]
    said = [_job(look, job) for job in jobs if job.count("/") == 1]
    waiting = next((job for job in said if job.state != "finished"), None)
    if waiting is not None:
        return waiting
    if not said:
        return silent("hydra", _SWEEP)
    failed = sum(job.status == "failed" for job in said)
    status: Status = "success" if not failed else "failed" if failed == len(said) else "partial"
    evidence = f"{_SWEEP}: {len(said)} jobs ended, {failed} of them failed"
    return FrameworkStatus(framework="hydra", state="finished", evidence=evidence, status=status, wait="settle")


def _facts(look: Look) -> Facts:
    notes: list[str] = []
    source = _CONFIG if _CONFIG in look.files else _SWEEP
    config = _mapping(look, source, notes)
    settings = _mapping(look, _SETTINGS, notes).get("hydra") if source == _CONFIG else config.get("hydra")
    settings = settings if isinstance(settings, dict) else {}
    name, version = _text(settings, "job", "name"), _text(settings, "runtime", "version")
    if source == _SWEEP:
        overrides = settings.get("overrides")
        task = overrides.get("task") if isinstance(overrides, dict) else None
        config = {"overrides": task} if isinstance(task, list) else {}
    return Facts(version=version, pipeline_id=name, params=bounded(config), notes=tuple(notes))


def _mapping(look: Look, path: str, notes: list[str]) -> JsonObject:
    value = read_yaml(look.read(path, MAX_RECORD_BYTES))
    if isinstance(value, dict):
        return value
    notes.append(f"{path}: not used, it is absent, too large or not plain YAML")
    return {}


def _text(settings: JsonObject, table: str, key: str) -> str | None:
    inner = settings.get(table)
    value = inner.get(key) if isinstance(inner, dict) else None
    return value if isinstance(value, str) and value else None


HYDRA = Preset(name="hydra", status=_status, facts=_facts)
