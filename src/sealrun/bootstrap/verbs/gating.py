"""The gate in front of a pointer: what is required is looked at now, and what was seen is kept with the move."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from sealrun.bootstrap.verbs.consuming import Consumer
from sealrun.bootstrap.verbs.governing import Governor
from sealrun.domain.curation.gating import Gate, evidence_of, judge_checks
from sealrun.domain.curation.validating import Finding
from sealrun.domain.errors import RequirementError, UsageError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import JsonObject
from sealrun.domain.registry.pointing import Target
from sealrun.ports import Clock

MOST_SHOWN = 5
_STDERR = 2


class Gatekeeper:
    """Admits runs to one pointer of one registry."""

    def __init__(
        self, gate: Gate, governor: Callable[[], Governor], consumer: Callable[[], Consumer], clock: Clock
    ) -> None:
        """Require what `gate` says; the registry is opened when something is."""
        self._gate = gate
        self._governor = governor
        self._consumer = consumer
        self._clock = clock

    def admit(self, target: Target, place: str, *, run_command: bool = True) -> JsonObject | None:
        """Return the evidence that the run may stand at `place`; None where nothing is required.

        `RequirementError` says what failed: the pointer stays where it is. The target is immutable: what is seen here
        holds when the pointer has moved.
        """
        findings = [*self._validated(target), *self._checked(target)]
        failed = [finding for finding in findings if finding.level == "error"]
        if not failed and self._gate.command and run_command:
            findings.append(self._commanded(target, place))
            failed = [finding for finding in findings if finding.level == "error"]
        if failed:
            told = "; ".join(f"{each.check}: {each.where}: {each.detail}" for each in failed[:MOST_SHOWN])
            more = f" (and {len(failed) - MOST_SHOWN} more)" if len(failed) > MOST_SHOWN else ""
            ref = f"{target.experiment}/{target.run_id}"
            msg = f"{place} was not moved: {ref} does not pass what it requires: {told}{more}"
            raise RequirementError(msg)
        return evidence_of(findings, rfc3339(self._clock.now())) if findings else None

    def _validated(self, target: Target) -> list[Finding]:
        """Look at what validating looks at, if any of it is required. The seal is: a broken one proves nothing else."""
        if not self._gate.validates:
            return []
        found = self._governor().validate_target(target).findings
        wanted = {*self._gate.require, "seal"}
        kept = [finding for finding in found if finding.check in wanted]
        if "schema" in self._gate.require and all(each.check != "schema" for each in found) and _whole(found):
            where = f"{target.experiment}/{target.run_id}"
            kept.append(Finding(level="error", check="schema", where=where, detail="holds no registry artifact"))
        return [_strict(finding) for finding in kept]

    def _checked(self, target: Target) -> list[Finding]:
        if "checks" not in self._gate.require:
            return []
        return [judge_checks(self._consumer().show(f"{target.experiment}/{target.run_id}").envelope)]

    def _commanded(self, target: Target, place: str) -> Finding:
        """Run the command in a verified copy of the run, which is removed again; its output goes to stderr."""
        ref = f"{target.experiment}/{target.run_id}"
        room = Path(tempfile.mkdtemp(prefix="sealrun-gate-"))
        try:
            self._consumer().restore(ref, room / "run", sealed=False)
            said = {
                "SEALRUN_REF": ref,
                "SEALRUN_POINTER": place,
                "SEALRUN_ROOT_SHA256": target.root_sha256,
                "SEALRUN_REGISTRY": self._consumer().url,
            }
            folder = room / "run"
            code = _run(self._gate.command, folder if folder.is_dir() else room, {**os.environ, **said})
        finally:
            shutil.rmtree(room, ignore_errors=True)
        shown = " ".join(self._gate.command)
        level, detail = ("error", f"exit code {code}") if code else ("ok", "exit code 0")
        return Finding(level=level, check="command", where=shown, detail=detail)  # type: ignore[arg-type] # two literals


def _whole(found: Iterable[Finding]) -> bool:
    """Tell whether the seal is whole, so that everything else was looked at."""
    return all(finding.level != "error" for finding in found if finding.check == "seal")


def _strict(finding: Finding) -> Finding:
    """A run without registry artifacts is a plain one; where their composition or schema is required it is refused."""
    if finding.check in {"composition", "schema"} and finding.level == "note":
        return Finding(level="error", check=finding.check, where=finding.where, detail=finding.detail)
    return finding


def _run(command: tuple[str, ...], folder: Path, environ: dict[str, str]) -> int:
    try:
        done = subprocess.run(  # noqa: S603 - the command is the operator's own
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False
        )
    except OSError as error:
        msg = f"the gate's command {command[0]!r} cannot be run: {error.strerror}"
        raise UsageError(msg) from error
    return done.returncode
