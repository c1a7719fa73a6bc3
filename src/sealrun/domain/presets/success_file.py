"""Spark and Hadoop: ``_SUCCESS`` at the top, and ``_temporary/`` is gone.

The committers of object stores write a JSON object into ``_SUCCESS``; others leave it empty.
"""

from __future__ import annotations

from sealrun.domain.declarations import MAX_RECORD_BYTES, bounded, parse_time, read_json
from sealrun.domain.presets.looking import Facts, Look, Preset, running
from sealrun.domain.settling import SUCCESS_MARKER, FrameworkStatus

_TEMPORARY = "_temporary"


def _status(look: Look) -> FrameworkStatus | None:
    empty = any(path == _TEMPORARY or path.startswith(f"{_TEMPORARY}/") for path in look.folders)
    if empty or (_TEMPORARY in look.top and _TEMPORARY not in look.files):
        return running("success-file", f"{_TEMPORARY}/ is there", f"{SUCCESS_MARKER}, and that {_TEMPORARY}/ is gone")
    if SUCCESS_MARKER in look.files:
        return FrameworkStatus(framework="success-file", state="finished", evidence=SUCCESS_MARKER, status="success")
    return None


def _facts(look: Look) -> Facts:
    value = read_json(look.read(SUCCESS_MARKER, MAX_RECORD_BYTES))
    said = value if isinstance(value, dict) else {}
    millis, job = said.get("timestamp"), said.get("jobId")
    wanted = {key: said[key] for key in ("committer", "description", "jobIdSource") if isinstance(said.get(key), str)}
    metrics = said.get("metrics")
    return Facts(
        run=job if isinstance(job, str) and job else None,
        finished_at=parse_time(millis / 1000) if isinstance(millis, int) and 0 < millis < 10**15 else None,
        params=bounded(wanted),
        metrics=bounded(metrics),
    )


def _is_maker(look: Look) -> bool:
    """An empty ``_SUCCESS`` is anybody's marker; with a committer's report or with parts it is Spark's or Hadoop's."""
    marker = look.files.get(SUCCESS_MARKER)
    reported = marker is not None and marker.size > 0
    return reported or any(path.rpartition("/")[2].startswith("part-") for path in look.files)


SUCCESS_FILE = Preset(name="success-file", status=_status, facts=_facts, is_maker=_is_maker)
