"""Nextflow's launch folder: the last line of ``.nextflow/history`` says OK or ERR, and ``-`` while the run lasts.

Its times have no zone and are not used. ``work/`` belongs to the run unless the watch excludes it.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent, text_of
from sealrun.domain.runs.declarations import bounded
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_HISTORY = ".nextflow/history"
_LOG = ".nextflow.log"
_PART_BYTES = 64 << 10
_COLUMNS = 7
_SHOWN = 80
_STATUSES: dict[str, Status] = {"OK": "success", "ERR": "failed"}
_VERSION = re.compile(r"N E X T F L O W\s+~\s+version ([0-9][\w.-]{0,40})|\bVersion: ([0-9][\w.-]{0,40}) build")
_PIPELINE = re.compile(r"\brun\s+(?:-\S+\s+)*([^\s-]\S*)")


def _status(look: Look) -> FrameworkStatus | None:
    if _HISTORY not in look.files:
        return None
    row = _last_row(look)
    if row is None:
        return silent("nextflow", f"{_HISTORY}: holds no row that could be read")
    name, word = row[2][:_SHOWN], row[3][:_SHOWN]
    evidence = f"{_HISTORY}: {name} {word}"
    status = _STATUSES.get(word)
    if status is not None:
        return FrameworkStatus(framework="nextflow", state="finished", evidence=evidence, status=status)
    if word == "-":
        return running("nextflow", evidence, f"OK or ERR for {name} in {_HISTORY}")
    return silent("nextflow", evidence)


def _last_row(look: Look) -> list[str] | None:
    """Columns: time, duration, name, status, revision, session, command."""
    lines = [line for line in text_of(look.end(_HISTORY, _PART_BYTES)).split("\n") if line.strip()]
    row = [cell.strip() for cell in lines[-1].split("\t", _COLUMNS - 1)] if lines else []
    return row if len(row) == _COLUMNS else None


def _facts(look: Look) -> Facts:
    row = _last_row(look) or [""] * _COLUMNS
    _, duration, name, _, revision, session, command = row
    version = _VERSION.search(text_of(look.start(_LOG, _PART_BYTES)))
    pipeline = _PIPELINE.search(command)
    said = {"command": command, "session": session, "duration": duration}
    return Facts(
        version=(version[1] or version[2]) if version else None,
        run=name or None,
        pipeline_id=pipeline[1] if pipeline else None,
        pipeline_version=revision if revision not in {"", "-"} else None,
        params=bounded({key: value for key, value in said.items() if value not in {"", "-"}}),
    )


NEXTFLOW = Preset(name="nextflow", status=_status, facts=_facts)
