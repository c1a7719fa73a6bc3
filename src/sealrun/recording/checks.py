"""Checks of a run, and the status that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.recording.evidence import Evidence, missing_evidence, parse_evidence

CHECK_STATUSES = ("pass", "fail", "skip", "warn")
_BADNESS = ("success", "partial", "interrupted", "failed")


@dataclass(frozen=True)
class Check:
    """One check: ``pass``, ``fail``, ``skip`` (not made) or ``warn``; its evidence; what is wrong with that."""

    name: str
    status: str
    evidence: tuple[Evidence, ...] = ()
    problem: str | None = None

    @classmethod
    def make(cls, name: str, status: str, evidence: str | Sequence[str] | None) -> Check:
        """Build a check, or raise `UsageError` for a status or a reference that cannot be."""
        if status not in CHECK_STATUSES:
            msg = f"check {name!r}: not a status of a check: {status!r} (there is {', '.join(CHECK_STATUSES)})"
            raise UsageError(msg)
        texts = [evidence] if isinstance(evidence, str) else list(evidence or ())
        return cls(name, status, tuple(parse_evidence(text) for text in texts))

    def to_json(self) -> JsonObject:
        """Return what ``checks.json`` says of it. One piece of evidence is a text, several are a list."""
        texts = [evidence.text for evidence in self.evidence]
        said: JsonObject = {
            "name": self.name,
            "status": self.status,
            "evidence": texts[0] if len(texts) == 1 else texts,
        }
        return said if self.problem is None else {**said, "problem": self.problem}


def status_of(checks: Iterable[Check]) -> str:
    """Derive a run's status: ``failed`` by a failed check, ``partial`` by a skipped one or a warning."""
    statuses = {check.status for check in checks}
    return "failed" if "fail" in statuses else "partial" if statuses & {"skip", "warn"} else "success"


def worse(first: str, second: str) -> str:
    """Return the worse of two run statuses: nobody's word makes a run better than its checks."""
    return max(first, second, key=_BADNESS.index)


def look_at_evidence(checks: Iterable[Check], record: Mapping[str, object], lines: int, folder: Path) -> list[Check]:
    """Return the checks, those failed whose evidence is not there. See `evidence.missing_evidence`."""
    looked: list[Check] = []
    for check in checks:
        problems = (missing_evidence(each, record, lines, folder) for each in check.evidence)
        problem = next((text for text in problems if text), None)
        looked.append(check if problem is None else replace(check, status="fail", problem=problem))
    return looked


def checks_json(run_id: str, checks: Sequence[Check]) -> JsonObject:
    """Return what ``checks.json`` holds; its status is the one that follows from the checks alone."""
    said = [check.to_json() for check in checks]
    return {"schema": "1", "run_id": run_id, "checks": said, "status": status_of(checks)}
