"""W&B offline (and online) runs: ``run-ID.wandb`` and ``logs/debug-internal.log`` in ``offline-run-TIME-ID``.

The log's last line says that all streams finished; the run's own record holds the exit code. After a kill neither is
there, and such a run is never taken to have ended.
"""

from __future__ import annotations

import re

from sealrun.domain.declarations import bounded, parse_time, read_json
from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent, text_of
from sealrun.domain.presets.wandb_log import BLOCK, WandbLog, is_wandb_log, read_wandb_log
from sealrun.domain.run import Status
from sealrun.domain.settling import FrameworkStatus

_RECORD = re.compile(r"run-([^/]+)\.wandb\Z")
_LOG = "logs/debug-internal.log"
_END = re.compile(r"stream: all finished|\ball (?:streams )?finished\b")
_END_BYTES = 4096
_PART_BYTES = 8 * BLOCK


def _status(look: Look) -> FrameworkStatus | None:
    path = _record(look)
    if path is None:
        return None
    code = _read(look, path).exit_code
    status: Status = "unknown" if code is None else "failed" if code else "success"
    said = "" if code is None else f", exit code {code}"
    if _LOG not in look.files:
        if code is None:
            return running("wandb", f"{path} holds no exit record", f"the exit record in {path}")
        return FrameworkStatus(framework="wandb", state="finished", evidence=f"{path}{said}", status=status)
    end = look.end(_LOG, _END_BYTES)
    if end is None:
        return silent("wandb", f"{_LOG}: cannot be read")
    lines = text_of(end).rstrip().rsplit("\n", 1)
    if not _END.search(lines[-1]):
        return running(
            "wandb", f"{_LOG} does not say that all is finished", f"'all finished' in the last line of {_LOG}"
        )
    evidence = f"{_LOG}: all finished{said}"
    return FrameworkStatus(framework="wandb", state="finished", evidence=evidence, status=status)


def _facts(look: Look) -> Facts:
    path = _record(look)
    found = WandbLog() if path is None else _read(look, path)
    first = read_json((look.start(_LOG, _END_BYTES) or b"").split(b"\n", 1)[0])
    last = read_json((look.end(_LOG, _END_BYTES) or b"").rstrip().rsplit(b"\n", 1)[-1])
    version = re.search(r'"core version":"([^"]{1,40})"', text_of(look.start(_LOG, _END_BYTES)))
    return Facts(
        version=version[1] if version else None,
        run=found.run,
        started_at=_time(first),
        finished_at=_time(last) if found.exit_code is not None else None,
        pipeline_id=found.project,
        tags=sorted(set(found.tags)) or None,
        params=bounded(found.config),
        metrics=bounded(found.summary),
    )


def _record(look: Look) -> str | None:
    return next((path for path in sorted(look.top) if _RECORD.match(path)), None)


def _read(look: Look, path: str) -> WandbLog:
    """Read a run's record: all of it, or the beginning and the end of a long one."""
    found = WandbLog()
    start = look.start(path, _PART_BYTES) or b""
    if not is_wandb_log(start):
        return found
    read_wandb_log(start, found, begins=True)
    facts = look.files.get(path)
    size = 0 if facts is None else facts.size
    if size > len(start):
        # The end is read from a block's boundary, where a header stands.
        end = look.end(path, size % BLOCK + _PART_BYTES) or b""
        if len(end) == size % BLOCK + _PART_BYTES:
            read_wandb_log(end, found, begins=False)
    return found


def _time(line: object) -> str | None:
    text = line.get("time") if isinstance(line, dict) else None
    # Nanoseconds, of which Python reads six digits.
    return parse_time(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)) if isinstance(text, str) else None


WANDB = Preset(name="wandb", status=_status, facts=_facts)
