"""W&B offline (and online) runs: ``run-ID.wandb`` and ``logs/debug-internal.log`` in ``offline-run-TIME-ID``.

The log's last lines say that all streams finished; the run's own record holds the exit code. If W&B outlived the
program and the program did not say how it ended, it was killed. If W&B was killed, too, neither is there, and such a
run is never taken to have ended.
"""

from __future__ import annotations

import re
from typing import Literal

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent, text_of
from sealrun.domain.presets.wandb_log import BLOCK, WandbLog, is_wandb_log, read_wandb_log
from sealrun.domain.runs.declarations import bounded, parse_time, read_json
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_RECORD = re.compile(r"run-([^/]+)\.wandb\Z")
_LOG = "logs/debug-internal.log"
_END = re.compile(r"stream: all finished|\bstream: closed\b|\ball (?:streams )?finished\b|\bshutting down sender\b")
"""What W&B's core says, said until 0.19, and what its service in Python said before."""
_LAST_LINES = 3
_END_BYTES = 4096
_PART_BYTES = 8 * BLOCK


def _status(look: Look) -> FrameworkStatus | None:
    path = _record(look)
    if path is None:
        return None
    found = _read(look, path)
    code = found.exit_code
    said = "" if code is None else f", exit code {code}"
    if _LOG not in look.files:
        awaited = running("wandb", f"{path} holds no exit record", f"the exit record in {path}")
        return awaited if code is None else _finished(f"{path}{said}", found)
    end = look.end(_LOG, _END_BYTES)
    if end is None:
        return silent("wandb", f"{_LOG}: cannot be read")
    lines = text_of(end).rstrip().split("\n")[-_LAST_LINES:]
    if any(_END.search(line) for line in lines):
        return _finished(f"{_LOG}: all finished{said or ', no exit code'}", found)
    if code is None:
        return running("wandb", f"{_LOG} does not say that all is finished", f"'all finished' at the end of {_LOG}")
    # The program has ended and W&B may still write; or it is another version, which ends its log in other words.
    return _finished(f"{path}{said}", found, wait="settle")


def _finished(evidence: str, found: WandbLog, wait: Literal["grace", "settle"] = "grace") -> FrameworkStatus:
    code = found.exit_code
    status: Status = "success" if code == 0 else "failed" if code else "interrupted" if found.run else "unknown"
    return FrameworkStatus(framework="wandb", state="finished", evidence=evidence, status=status, wait=wait)


def _facts(look: Look) -> Facts:
    path = _record(look)
    found = WandbLog() if path is None else _read(look, path)
    first = read_json((look.start(_LOG, _END_BYTES) or b"").split(b"\n", 1)[0])
    last = read_json((look.end(_LOG, _END_BYTES) or b"").rstrip().rsplit(b"\n", 1)[-1])
    version = re.search(r'"core version":"([^"]{1,40})"', text_of(look.start(_LOG, _END_BYTES)))
    ended = found.started + found.runtime if found.started is not None and found.runtime is not None else None
    name = _RECORD.match(path) if path is not None else None
    return Facts(
        version=version[1] if version else (found.version or "").partition("+")[0] or None,
        run=found.run or (name[1] if name else None),
        ids=found.ids or None,
        started_at=_time(first) or parse_time(found.started),
        finished_at=(_time(last) or parse_time(ended)) if found.exit_code is not None else None,
        pipeline_id=found.project,
        pipeline_version=found.commit,
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
