"""Hydra: ``.hydra/config.yaml`` in a job's folder (or another ``output_subdir``), ``multirun.yaml`` in a sweep's.

A job that failed leaves the same files as one that did not, unless ``PickleJobInfoCallback`` is used: it writes
``config.pickle`` when a job begins and ``job_return.pickle``, which holds its status, when it ends. Under some
launchers it cannot pickle and leaves both empty: then the job has ended, and nobody knows how.
"""

from __future__ import annotations

from collections.abc import Collection

from sealrun.domain.presets.looking import MAX_FILES, Facts, Look, Preset, declared_end, known, running, silent
from sealrun.domain.presets.pickles import MAX_PICKLE_BYTES, enum_number
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_CONFIG = "config.yaml"
_SETTINGS = "hydra.yaml"
_FILES = (_CONFIG, _SETTINGS, "overrides.yaml")
_BEGUN = "config.pickle"
_ENDED = "job_return.pickle"
_SWEEP = "multirun.yaml"
_SEARCH = "optimization_results.yaml"
"""A sweeper that searches writes it when its search is over; some of them write no ``multirun.yaml``."""
_STATUSES: dict[int | None, Status] = {1: "success", 2: "failed"}
_WORDS = {1: "COMPLETED", 2: "FAILED"}
_MAX_DEPTH = 8


def _status(look: Look) -> FrameworkStatus | None:
    folders = _config_folders(look.files)
    own = _own(folders)
    if own is not None:
        return _job(look, own)
    is_sweep = _SWEEP in look.files or (bool(folders) and _SEARCH in look.files)
    return _sweep(look, folders) if is_sweep else None


def _config_folders(paths: Collection[str]) -> list[str]:
    """Return the folders (with a final ``/``) in which Hydra left a job's configuration, sorted.

    In its usual folder the configuration alone is enough.
    """
    usual = {path.removesuffix(_CONFIG) for path in paths if path.endswith(f".hydra/{_CONFIG}")}
    other = {path.removesuffix(_SETTINGS) for path in paths if path.endswith(f"/{_SETTINGS}")}
    named = {folder for folder in other if all(folder + name in paths for name in _FILES)}
    return sorted(folder for folder in usual | named if folder.count("/") <= _MAX_DEPTH)


def _own(folders: list[str]) -> str | None:
    """Return the one that is directly in this folder, so that this is a job."""
    return next((folder for folder in folders if folder.count("/") == 1), None)


def _job(look: Look, folder: str) -> FrameworkStatus:
    declared = declared_end(look, _run_of(folder)) if _run_of(folder) else None
    if declared is not None:
        return FrameworkStatus(framework="hydra", state="finished", evidence=declared[0], status=declared[1])
    if folder + _ENDED in look.files:
        number = enum_number(look.start(folder + _ENDED, MAX_PICKLE_BYTES), "JobStatus")
        status = _STATUSES.get(number)
        if number is None or status is None:
            awaits = "the job has ended and the callback could not say how, so quiet decides"
            return silent("hydra", f"{folder}{_ENDED}: no status could be read", awaits)
        evidence = f"{folder}{_ENDED}: {_WORDS[number]}"
        return FrameworkStatus(framework="hydra", state="finished", evidence=evidence, status=status)
    if folder + _BEGUN in look.files:
        return running("hydra", f"{folder}{_BEGUN} is there", f"{folder}{_ENDED}")
    awaits = "hydra shows the end of a job only with PickleJobInfoCallback, so quiet decides"
    return silent("hydra", folder + _CONFIG, awaits)


def _run_of(folder: str) -> str:
    """Return the job's own folder (with a final ``/``), in which that of its configuration is; empty for this one."""
    above = folder.rstrip("/").rpartition("/")[0]
    return f"{above}/" if above else ""


def _sweep(look: Look, folders: list[str]) -> FrameworkStatus | None:
    """A sweep is over when the jobs that began are over; which are to come is nowhere said, so quiet is waited for.

    That a job runs is seen in names alone, so it is seen of all jobs; how they ended is read of the first `MAX_FILES`.
    """
    files = look.files
    begun = [job for job in folders if job + _BEGUN in files and job + _ENDED not in files]
    open_jobs = [job for job in begun if declared_end(look, _run_of(job)) is None]
    if open_jobs:
        return _job(look, open_jobs[0])
    if not folders:
        return silent("hydra", _SWEEP, "hydra does not say which jobs are to come, so quiet decides")
    said = [_job(look, job) for job in folders[:MAX_FILES]]
    unsaid = next((job for job in said if job.state != "finished"), None)
    failed = sum(job.status == "failed" for job in said)
    if unsaid is not None and _SEARCH not in look.files:
        return unsaid
    status: Status = "failed" if failed == len(said) else "partial" if failed else "success"
    if unsaid is not None:
        return _ended(f"{_SEARCH} is there, so the search is over", "partial" if failed else "unknown")
    return _ended(f"{_SWEEP}: {len(folders)} jobs ended, {failed} of them failed", status)


def _ended(evidence: str, status: Status) -> FrameworkStatus:
    return FrameworkStatus(framework="hydra", state="finished", evidence=evidence, status=status, wait="settle")


def _facts(look: Look) -> Facts:
    notes: list[str] = []
    folders = _config_folders(look.files)
    own = _own(folders)
    source = _SWEEP if own is None and _SWEEP in look.files else (own or next(iter(folders), "")) + _SETTINGS
    settings = _mapping(look, source, notes).get("hydra")
    settings = settings if isinstance(settings, dict) else {}
    metrics = None
    if own is not None:
        config = _mapping(look, own + _CONFIG, notes)
    else:
        task = _at(settings, "overrides", "task") if source == _SWEEP else None
        config = {"overrides": task} if isinstance(task, list) else {}
        found = _mapping(look, _SEARCH, notes) if _SEARCH in look.files else {}
        config |= {"best": found["best_params"]} if isinstance(found.get("best_params"), dict) else {}
        metrics = {"best": found["best_value"]} if isinstance(found.get("best_value"), int | float) else None
    number = _at(settings, "job", "num")
    job = {"job": _text(_at(settings, "job", "id")) or (str(number) if isinstance(number, int) else None)}
    return Facts(
        version=_text(_at(settings, "runtime", "version")),
        ids=known(job) if own is not None else None,
        pipeline_id=_text(_at(settings, "job", "name")),
        params=bounded(config),
        metrics=metrics,
        notes=tuple(notes),
    )


def _mapping(look: Look, path: str, notes: list[str]) -> JsonObject:
    from sealrun.domain.presets.plain_yaml import read_yaml  # noqa: PLC0415 - only where Hydra was

    value = read_yaml(look.read(path, MAX_RECORD_BYTES))
    if isinstance(value, dict):
        return value
    notes.append(f"{path}: not used, it is absent, too large or not plain YAML")
    return {}


def _at(settings: JsonObject, table: str, key: str) -> object:
    inner = settings.get(table)
    return inner.get(key) if isinstance(inner, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value not in {"", "???"} else None


HYDRA = Preset(name="hydra", status=_status, facts=_facts)
