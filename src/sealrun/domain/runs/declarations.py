"""What a run's own files say of it, read with tolerance: a foreign or malformed record is not used, never fatal.

Recognised, from the weakest: ``manifest.json`` with a run id (``{"run_id", "algo", "created", "inputs", "outputs"}``),
``run.json`` (``{"run_id", "pipeline_id", "pipeline_version", "trigger", "inputs", "outputs", "status", …}``),
``checks.json``, ``metrics.json``, and ``.sealrun/done.json``, which has the last word.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from sealrun.domain.address import Digest, is_name
from sealrun.domain.errors import SealrunError
from sealrun.domain.records import JsonObject, canonical_json
from sealrun.domain.runs.foreign import is_root_line
from sealrun.domain.runs.manifest import parse_sum_line
from sealrun.domain.runs.run import Producer, Status

RECORD_FILES = ("manifest.json", "run.json", ".sealrun/done.json")
CHECKS_FILE = "checks.json"
METRICS_FILE = "metrics.json"
MAX_RECORD_BYTES = 4 << 20
_MAX_METRICS_BYTES = 64 << 10
_MAX_DEPTH = 50
_SURROGATE = re.compile("[\ud800-\udfff]")
_LAST_SECOND = 253_402_300_799
_STATUS_WORDS: Mapping[str, Status] = {
    **dict.fromkeys(("success", "succeeded", "ok", "completed", "complete", "finished", "done", "passed"), "success"),
    **dict.fromkeys(("failed", "failure", "fail", "error", "errored", "crashed"), "failed"),
    **dict.fromkeys(("partial", "incomplete"), "partial"),
    **dict.fromkeys(("interrupted", "cancelled", "canceled", "aborted", "killed", "stopped"), "interrupted"),
    # A run that is taken while it says that it runs never came to say how it ended.
    **dict.fromkeys(("running", "started"), "interrupted"),
}
_STARTED = ("started_at", "started", "start_time", "created_at", "created_utc", "created")
_FINISHED = ("finished_at", "finished", "finished_utc", "ended_at", "end_time", "completed_at")


def parse_status(value: object) -> Status | None:
    """Read a status in any of the usual words, or return None."""
    return _STATUS_WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def utc_text(seconds: float) -> str:
    """Write POSIX seconds as ``2026-01-17T14:30:52Z``; times that no calendar holds are brought to its ends."""
    return _z(datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC))


def parse_time(value: object) -> str | None:
    """Read an ISO 8601 time (without zone: UTC) or POSIX seconds, to whole seconds; None if it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return utc_text(value) if 0 < value <= _LAST_SECOND else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return _z(moment)


def _z(moment: datetime) -> str:
    return moment.replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def read_json(body: bytes | None) -> object:
    """Decode JSON made by anybody, or return None. NaN and infinities, which JSON has not, become their names."""
    if body is None:
        return None
    try:
        value: object = json.loads(body, parse_constant=str, parse_float=_finite)
        return _clean(value, 0)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _clean(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        msg = "nested too deeply"
        raise ValueError(msg)
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {cast("str", _clean(key, depth)): _clean(item, depth + 1) for key, item in value.items()}
    return value


def read_producer(records: Mapping[str, bytes]) -> Producer:
    """Combine the records found in a run (file name → bytes) into what the run says of itself."""
    merged: JsonObject = {}
    for file in RECORD_FILES:
        value = read_json(records.get(file))
        if isinstance(value, dict) and (file != "manifest.json" or "run_id" in value):
            merged |= {key: item for key, item in value.items() if item is not None}
    checks = read_json(records.get(CHECKS_FILE))
    if isinstance(checks, dict):
        checks = checks.get("checks")
    metrics = read_json(records.get(METRICS_FILE))
    run_id = merged.get("run_id")
    return Producer(
        run_id=run_id if isinstance(run_id, str) and is_name(run_id) else None,
        status=parse_status(merged.get("status")),
        started_at=_first_time(merged, _STARTED),
        finished_at=_first_time(merged, _FINISHED),
        pipeline_id=_text(merged.get("pipeline_id", merged.get("algo"))),
        pipeline_version=_text(merged.get("pipeline_version")),
        trigger=_trigger(merged),
        inputs=_list(merged.get("inputs")),
        outputs=_list(merged.get("outputs")),
        checks=_list(checks) or _list(merged.get("checks")),
        tags=_tags(merged.get("tags")),
        params=_object(merged.get("params")),
        metrics=bounded(metrics if isinstance(metrics, dict) else merged.get("metrics")),
        artifacts=_list(merged.get("artifacts")),
    )


def _first_time(record: JsonObject, keys: tuple[str, ...]) -> str | None:
    times = (parse_time(record.get(key)) for key in keys)
    return next((time for time in times if time), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _list(value: object) -> list[Any] | None:
    return value if isinstance(value, list) and value else None


def _object(value: object) -> JsonObject | None:
    return value if isinstance(value, dict) and value else None


def _tags(value: object) -> list[str] | None:
    found = {tag for tag in value if isinstance(tag, str) and tag} if isinstance(value, list) else set()
    return sorted(found) or None


def _trigger(record: JsonObject) -> JsonObject | None:
    value = record.get("trigger")
    if isinstance(value, str) and value:
        return {"type": value}
    flat = {key: record[f"trigger_{key}"] for key in ("type", "source") if f"trigger_{key}" in record}
    if flat and "actor" in record:
        flat["actor"] = record["actor"]
    return _object(value) or _object(flat)


def bounded(value: object) -> JsonObject | None:
    """Metrics or parameters as they are while they are small; of many the plain numbers and words at the top."""
    if not isinstance(value, dict) or not value:
        return None
    if len(canonical_json(value)) <= _MAX_METRICS_BYTES:
        return value
    plain = {key: item for key, item in sorted(value.items()) if isinstance(item, int | float | str)}
    while plain and len(canonical_json(plain)) > _MAX_METRICS_BYTES:
        plain = dict(list(plain.items())[: len(plain) // 2])
    return plain or None


def read_sums(body: bytes | None) -> dict[str, Digest] | None:
    """Read a producer's own MANIFEST.sha256: digests by path inside the run, or None if it is not one.

    Anything ``sha256sum`` writes is taken, comment lines are skipped.
    """
    if not body:
        return None
    try:
        lines = body.decode("utf-8").split("\n")
        pairs = [parse_sum_line(line) for line in lines if line and not line.startswith("#") and not is_root_line(line)]
    except (ValueError, SealrunError):
        return None
    return {path.removeprefix("./"): digest for path, digest in pairs} or None
