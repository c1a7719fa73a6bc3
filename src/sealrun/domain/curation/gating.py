"""What has to pass before a pointer moves, and the evidence that it did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from sealrun.domain.curation.catalogue import CATALOG_EXPERIMENT
from sealrun.domain.curation.validating import CHECKS, VALIDATED, Check, Finding
from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.run import Envelope

_PASSED = frozenset({"pass", "skip"})


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to pass: these checks, and a `command` that exits with 0 in a restored copy of the run."""

    require: tuple[Check, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def validates(self) -> bool:
        """Whether anything is required that validating looks at."""
        return any(check in VALIDATED for check in self.require)

    def and_also(self, other: Gate) -> Gate:
        """Require what both do; of two commands the other's."""
        return Gate(
            require=tuple(check for check in CHECKS if check in {*self.require, *other.require}),
            command=other.command or self.command,
        )


def parse_requirements(texts: Iterable[str]) -> tuple[Check, ...]:
    """Read the names of checks; `UsageError` names those there are. A command is required by naming it."""
    given = set(texts)
    known = {check for check in CHECKS if check != "command"}
    if given - known:
        msg = f"nothing that can be required: {min(given - known)!r} (there is {', '.join(sorted(known))})"
        raise UsageError(msg)
    return tuple(check for check in CHECKS if check in given)


def gate_of(gates: Mapping[str, Gate], experiment: str, pointer: str) -> Gate:
    """Return the gate in front of a pointer: ``EXPERIMENT@POINTER``, else ``POINTER``, else an open one.

    The catalogue is built by sealrun itself: only a gate that names ``catalog@active`` stands before it.
    """
    own = gates.get(f"{experiment}@{pointer}")
    if own is not None:
        return own
    return Gate() if experiment == CATALOG_EXPERIMENT else gates.get(pointer, Gate())


def judge_checks(envelope: Envelope) -> Finding:
    """Tell whether a run succeeded by its own checks: at least one, none failed or warned."""
    where = f"{envelope.experiment}/{envelope.run_id}"
    found = envelope.producer.get("checks")
    checks = [check for check in found if isinstance(check, dict)] if isinstance(found, list) else []
    bad = [str(check.get("name")) for check in checks if check.get("status") not in _PASSED]
    if envelope.status != "success":
        return Finding(level="error", check="checks", where=where, detail=f"its status is {envelope.status}")
    if not any(check.get("status") == "pass" for check in checks):
        return Finding(level="error", check="checks", where=where, detail="it records no check that passed")
    if bad:
        return Finding(level="error", check="checks", where=where, detail=f"these did not pass: {', '.join(bad)}")
    return Finding(level="ok", check="checks", where=where, detail=f"{len(checks)} checks passed, or were skipped")


def evidence_of(findings: Iterable[Finding], checked_at: str) -> JsonObject:
    """What a pointer's generation keeps of the checks that passed, notes included."""
    kept = [
        {"name": finding.check, "status": "pass", "detail": f"{finding.where}: {finding.detail}"}
        for finding in findings
    ]
    return {"checked_at": checked_at, "checks": kept}
