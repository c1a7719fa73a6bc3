"""Snakemake's working folder: locks and marks of incomplete files while it works, a log with a last word.

It takes its locks away even when it is interrupted, but leaves the marks of what it was making: those count only where
the log has no last word. Logs are named after local time, which has no zone; when jobs ran is in their metadata.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, nested, running, silent, text_of
from sealrun.domain.runs.declarations import parse_time, read_json
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_OWN = ".snakemake/"
_PART_BYTES = 64 << 10
_METADATA_BYTES = 64 << 10
_DONE = re.compile(r"^[0-9]{1,9} of [0-9]{1,9} steps \(100%\) done|^Nothing to be done", re.MULTILINE)
_LATEST = re.compile(r"^([0-9]{1,9}) of ([0-9]{1,9}) steps \(", re.MULTILINE)
_FAILED = re.compile(
    r"^Exiting because a job execution failed|^(?:    |\t)?Error in rule |^WorkflowError:"
    r"|^[A-Z]\w*(?:Error|Exception)(?: in |:)",
    re.MULTILINE,
)
_STOPPED = re.compile(
    r"^Terminating processes on user request|^Will exit after finishing currently running jobs", re.MULTILINE
)
_ENDED = re.compile(r"^Complete log", re.MULTILINE)
_UNLOCKED = re.compile(r"^Unlock(?:ed|ing) working directory", re.MULTILINE)
_VERSION = re.compile(r"^ *Snakemake version: ([0-9][\w.+-]{0,40})", re.MULTILINE)


def _status(look: Look) -> FrameworkStatus | None:
    if _OWN.rstrip("/") not in look.top:
        return None
    locks = nested(look.files, f"{_OWN}locks/")
    if locks:
        return running("snakemake", f"{_OWN}locks/{locks[0]} is there", f"that {_OWN}locks/ is empty")
    log = _log(look)
    said = _last_word(look, log)
    incomplete = nested(look.files, f"{_OWN}incomplete/")
    if incomplete and said.state == "silent":
        evidence = f"{_OWN}incomplete/ names {len(incomplete)} files"
        return running("snakemake", evidence, f"that {_OWN}incomplete/ is empty")
    return said


def _last_word(look: Look, log: str | None) -> FrameworkStatus:
    if log is None:
        return silent("snakemake", f"{_OWN} holds no log")
    end = text_of(look.end(log, _PART_BYTES))
    said = _read_end(end)
    return silent("snakemake", f"{log}: has no last word") if said is None else _finished(f"{log}: {said[0]}", said[1])


def _read_end(end: str) -> tuple[str, Status] | None:
    """Return what a log's end says, if it is one."""
    ended = _ENDED.search(end) is not None
    if ended and _STOPPED.search(end):
        return "it was told to stop", "interrupted"
    if _FAILED.search(end) and (ended or not _LATEST.search(end)):
        return "a job failed", "failed"
    if done := _DONE.findall(end):
        return done[-1], "success"
    if ended:
        return "ended before all steps were done, as it was told to", "partial"
    return ("unlocked, so the run before it was killed", "interrupted") if _UNLOCKED.search(end) else None


def _finished(evidence: str, status: Status) -> FrameworkStatus:
    return FrameworkStatus(framework="snakemake", state="finished", evidence=evidence, status=status)


def _log(look: Look) -> str | None:
    """Return the newest log; their names sort by time."""
    prefix = f"{_OWN}log/"
    return max((path for path in look.files if path.startswith(prefix) and path.endswith(".log")), default=None)


def _facts(look: Look) -> Facts:
    log = _log(look)
    version = _VERSION.search(text_of(look.start(log, _PART_BYTES))) if log is not None else None
    steps = _LATEST.findall(text_of(look.end(log, _PART_BYTES))) if log is not None else []
    starts: list[float] = []
    ends: list[float] = []
    for name in nested(look.files, f"{_OWN}metadata/"):
        job = read_json(look.read(f"{_OWN}metadata/{name}", _METADATA_BYTES))
        for key, times in (("starttime", starts), ("endtime", ends)):
            time = job.get(key) if isinstance(job, dict) else None
            if isinstance(time, int | float) and parse_time(time) is not None:
                times.append(time)
    return Facts(
        version=version[1] if version else None,
        started_at=parse_time(min(starts)) if starts else None,
        finished_at=parse_time(max(ends)) if ends else None,
        metrics={"steps_done": int(steps[-1][0]), "steps": int(steps[-1][1])} if steps else None,
    )


SNAKEMAKE = Preset(name="snakemake", status=_status, facts=_facts)
