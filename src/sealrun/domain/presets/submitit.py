"""submitit: ``JOB_submitted.pkl`` when a job is handed over, ``JOB_TASK_result.pkl`` when a task of it ended.

A result is the pickle of ``("success", value)`` or ``("error", traceback)``: its first string is read, nothing else.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import MAX_FILES, Facts, Look, Preset, running, silent
from sealrun.domain.presets.pickles import first_string
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_SUBMITTED = re.compile(r"([0-9]+(?:_[0-9]+)?)_submitted\.pkl\Z")
_RESULT = re.compile(r"([0-9]+(?:_[0-9]+)?)_([0-9]+)_result\.pkl\Z")
_LOG = re.compile(r"([0-9]+(?:_[0-9]+)?)_([0-9]+)_log\.(?:out|err)\Z")
_START_BYTES = 4096


def _status(look: Look) -> FrameworkStatus | None:
    submitted = sorted(match[1] for path in look.top if (match := _SUBMITTED.match(path)))
    results = sorted(path for path in look.top if _RESULT.match(path))
    if not submitted and not results:
        return None
    ended = {match.groups() for path in results if (match := _RESULT.match(path))}
    begun = {match.groups() for path in look.top if (match := _LOG.match(path))}
    expected = begun | {(job, "0") for job in submitted}
    if open_tasks := sorted(expected - ended):
        job, task = open_tasks[0]
        more = f" and {len(open_tasks) - 1} more" if len(open_tasks) > 1 else ""
        return running("submitit", f"{len(ended)} of {len(expected)} tasks ended", f"{job}_{task}_result.pkl{more}")
    words = [first_string(look.start(path, _START_BYTES)) for path in results[:MAX_FILES]]
    unread = next((path for path, word in zip(results, words, strict=False) if word not in {"success", "error"}), None)
    if unread is not None:
        return silent("submitit", f"{unread}: neither success nor error could be read")
    failed = words.count("error")
    status: Status = "success" if not failed else "failed" if failed == len(words) else "partial"
    evidence = f"{len(results)} results, {failed} of them errors" if len(results) > 1 else f"{results[0]}: {words[0]}"
    return FrameworkStatus(framework="submitit", state="finished", evidence=evidence, status=status)


def _facts(look: Look) -> Facts:
    jobs = sorted({match[1] for path in look.top if (match := _RESULT.match(path))})
    return Facts(run=jobs[0] if len(jobs) == 1 else None)


SUBMITIT = Preset(name="submitit", status=_status, facts=_facts)
