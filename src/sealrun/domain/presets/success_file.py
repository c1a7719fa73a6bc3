"""Spark and Hadoop: ``_SUCCESS`` at the top, and ``_temporary/`` is gone.

The committers of object stores write a JSON object into ``_SUCCESS``; others leave it empty. A job may be told to write
none, and a streaming query never does: then there are parts, and quiet decides.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded, parse_time, read_json
from sealrun.domain.watches.settling import SUCCESS_MARKER, FrameworkStatus

_TEMPORARY = "_temporary"
_STAGING = ".spark-staging"
"""Where partitions wait that are to replace others."""
_STREAM = "_spark_metadata"
_PART = re.compile(r"(?:.*/)?part-(?:[mr]-)?[0-9]{5}-[0-9a-f]{8}-[0-9a-f-]{27}[.-][^/]*", re.DOTALL)
_FOOTER_BYTES = 16 << 10
_VERSION = re.compile(rb"org\.apache\.spark\.version\x18[\x03-\x28]([0-9][\w.+-]{2,39})")


def _status(look: Look) -> FrameworkStatus | None:
    at_work = next((name for name in (_TEMPORARY, _STAGING) if _has_folder(look, name)), None)
    if at_work is not None:
        return running("success-file", f"{at_work}/ is there", f"{SUCCESS_MARKER}, and that {at_work}/ is gone")
    if SUCCESS_MARKER in look.files:
        return FrameworkStatus(framework="success-file", state="finished", evidence=SUCCESS_MARKER, status="success")
    if any(path.startswith(f"{_STREAM}/") for path in look.files):
        return silent("success-file", f"{_STREAM}/ is there", "a streaming query has no end, so quiet decides")
    part = _first_part(look)
    awaits = f"there is no {SUCCESS_MARKER}: the job failed, or was told to write none, so quiet decides"
    return silent("success-file", f"{part} and no {SUCCESS_MARKER}", awaits) if part is not None else None


def _has_folder(look: Look, name: str) -> bool:
    """Tell whether a folder is at the top whose name begins like that, empty or not."""
    if any(path.startswith(name) for path in look.folders):
        return True
    return any(each.startswith(name) and each not in look.files for each in look.top)


def _first_part(look: Look) -> str | None:
    return min((path for path in look.files if "part-" in path and _PART.fullmatch(path)), default=None)


def _facts(look: Look) -> Facts:
    value = read_json(look.read(SUCCESS_MARKER, MAX_RECORD_BYTES))
    said = value if isinstance(value, dict) else {}
    millis, job = said.get("timestamp"), said.get("jobId")
    wanted = {key: said[key] for key in ("committer", "description", "jobIdSource") if isinstance(said.get(key), str)}
    metrics = said.get("metrics")
    return Facts(
        version=_version(look),
        run=job if isinstance(job, str) and job else None,
        finished_at=parse_time(millis / 1000) if isinstance(millis, int) and 0 < millis < 10**15 else None,
        params=bounded(wanted),
        metrics=bounded(metrics),
    )


def _version(look: Look) -> str | None:
    """Spark names itself at the end of each Parquet file."""
    part = _first_part(look)
    if part is None or not part.endswith(".parquet"):
        return None
    match = _VERSION.search(look.end(part, _FOOTER_BYTES) or b"")
    return match[1].decode("ascii", "replace") if match else None


def _is_maker(look: Look) -> bool:
    """An empty ``_SUCCESS`` is anybody's marker; with a committer's report or with parts it is Spark's or Hadoop's."""
    marker = look.files.get(SUCCESS_MARKER)
    reported = marker is not None and marker.size > 0
    return reported or any(path.rpartition("/")[2].startswith("part-") for path in look.files)


SUCCESS_FILE = Preset(name="success-file", status=_status, facts=_facts, is_maker=_is_maker)
