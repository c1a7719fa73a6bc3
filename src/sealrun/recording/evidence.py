"""References by which a check points at its evidence, and whether what they point at is there.

``run.json:outputs[0].ref`` names a field of the record, ``run.log:line:12`` a line of the log, ``artifacts/a.csv`` a
file of the run. Anything else is a plain remark, such as ``rows=120``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from sealrun.domain.errors import UsageError

Kind = Literal["field", "line", "file", "remark"]
_FIELD = "run.json:"
_LINE = "run.log:"
_FILE = "artifacts/"
_STEP = re.compile(r"\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]")
_LINE_NUMBER = re.compile(r"line:([1-9][0-9]{0,11})\Z")


class Evidence(NamedTuple):
    """One reference, read. `steps` lead to a field; `line` counts from 1; `path` is below the run."""

    text: str
    kind: Kind
    steps: tuple[str | int, ...] = ()
    line: int = 0
    path: str = ""


def parse_evidence(text: str) -> Evidence:
    """Read a reference, or raise `UsageError` if it begins like one and is none."""
    if text.startswith(_FIELD):
        return Evidence(text, "field", steps=_steps(text))
    if text.startswith(_LINE):
        match = _LINE_NUMBER.match(text.removeprefix(_LINE))
        if match is None:
            msg = f"evidence {text!r}: a line of the log is written run.log:line:N, the first being 1"
            raise UsageError(msg)
        return Evidence(text, "line", line=int(match[1]))
    if text.startswith(_FILE):
        path = PurePosixPath(text)
        if text.endswith("/") or ".." in path.parts or len(path.parts) == 1:
            msg = f"evidence {text!r}: a file of the run is written artifacts/PATH, without '..'"
            raise UsageError(msg)
        return Evidence(text, "file", path=str(path))
    return Evidence(text, "remark")


def _steps(text: str) -> tuple[str | int, ...]:
    rest = text.removeprefix(_FIELD).removeprefix("$")
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        match = _STEP.match(rest, at)
        if match is None:
            break
        steps.append(int(match[2]) if match[2] else match[1] or match[3])
        at = match.end()
    if not steps or at < len(rest):
        msg = f"evidence {text!r}: a field of the record is written run.json:PATH, such as run.json:outputs[0].ref"
        raise UsageError(msg)
    return tuple(steps)


def missing_evidence(evidence: Evidence, record: Mapping[str, object], lines: int, folder: Path) -> str | None:
    """Say why what `evidence` names is not there, or None if it is.

    `record` is what ``run.json`` holds, `lines` how many lines the log has, `folder` the run's.
    """
    if evidence.kind == "field":
        value: object = record
        for step in evidence.steps:
            fields = dict(enumerate(value)) if isinstance(value, list) else value
            if not isinstance(fields, Mapping) or step not in fields:
                return f"{evidence.text}: the record has no such field"
            value = fields[step]
    elif evidence.kind == "line" and evidence.line > lines:
        return f"{evidence.text}: the log has {lines} lines"
    elif evidence.kind == "file" and not (folder / evidence.path).is_file():
        return f"{evidence.text}: there is no such file"
    return None
