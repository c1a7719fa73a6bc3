"""Outputs computed from sealed runs of one registry: planned, computed where they are missing, published as runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Lock
from typing import Literal

import msgspec

from sealrun.adapters.content.derive_commands import ABOUT, INPUTS, CommandTask, run_command
from sealrun.adapters.content.derive_notes import FailureNotes
from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.workshop import Workshop
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.curation.building import DEFAULT_LEASE_S, BuildStep
from sealrun.domain.curation.deriving import (
    KIND,
    Derivation,
    Failure,
    Rule,
    described,
    failed_again,
    filled_in,
    in_order,
)
from sealrun.domain.errors import BuildFailedError, HeldError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import canonical_json
from sealrun.recording.completing import declare
from sealrun.recording.masking import masked_text
from sealrun.services.access.restoring import restore_file
from sealrun.services.curation.building import BuildLog
from sealrun.services.curation.deriving import Outputs, Seen

_LONGEST_REASON = 2000
_LOOK_S = 0.2


class _NobodyWaitsError(Exception):
    """Raised in threads whose caller went away."""


class Planned(msgspec.Struct, frozen=True):
    """An output, and where it is: `ref` of a fresh one, else None. `failure` is what is remembered of the last try."""

    derivation: Derivation
    ref: str | None
    failure: Failure | None = None
    retired: bool = False

    @property
    def state(self) -> Literal["fresh", "missing", "failed", "retired"]:
        """Whether there is anything to compute."""
        if self.ref is not None:
            return "fresh"
        if self.retired:
            return "retired"
        return "missing" if self.failure is None else "failed"

    def waits(self, now: float) -> bool:
        """Tell whether it is not to be computed unasked: it was retired, or failed and is to be tried later."""
        return self.ref is None and (self.retired or (self.failure is not None and self.failure.next_at > now))


class Outcome(msgspec.Struct, frozen=True):
    """What became of one: `reused` was there, `made` is published now, `held` is being computed by somebody else."""

    derivation: Derivation
    state: Literal["reused", "made", "held", "failed"]
    ref: str | None = None
    reason: str | None = None


class Deriver(Workshop):
    """Computes what rules declare from the runs of one registry. Any number may, on any machine: once is enough."""

    def __init__(
        self, parts: Parts, rules: Sequence[Rule], registry: str | None = None, seen: Seen | None = None
    ) -> None:
        """Work on `registry`; see the base, and `Outputs` on what was `seen`."""
        super().__init__(parts, registry)
        self._rules = {rule.name: rule for rule in in_order(rules)}
        self._seen = seen
        self._stopping = Event()
        self._advance: Callable[[int], object] = lambda _size: None
        self._notes = FailureNotes(parts.state / "derive")
        self._outputs: Outputs | None = None
        self._publishing = Lock()

    def rules(self, names: Sequence[str] = ()) -> list[Rule]:
        """Return the rules of these names, by default all, and those that they build on, these first."""
        needed = set(names or self._rules)
        for rule in reversed(self._rules.values()):
            if rule.name in needed and rule.of is not None:
                needed.add(rule.of)
        return [rule for rule in self._rules.values() if rule.name in needed]

    def failures(self) -> list[Failure]:
        """Return what failed on this machine, and did not succeed here since."""
        return self._notes.all()

    def plan(self, rule: Rule, refs: Sequence[str] = ()) -> list[Planned]:
        """Say what the rule makes of the runs of its experiment, or of those that `refs` name, and what is there."""
        found = self._there().plan(rule, refs)
        return [
            Planned(each.derivation, each.ref, self._notes.find(each.derivation.key), each.retired) for each in found
        ]

    def derive(
        self,
        planned: Sequence[Planned],
        *,
        force: bool = False,
        patient: bool = False,
        engine: Executor | None = None,
        jobs: int = 1,
        advance: Callable[[int], object] | None = None,
    ) -> Iterator[Outcome]:
        """Compute what is missing, `jobs` at a time, and publish it; yield what became of each, in order.

        With `force` what is fresh is computed again. With `patient` what failed waits until it is due, and what was
        retired is left alone. Commands run on the `engine`, whose workers must see the scratch folder, or in this
        process's threads: there they are ended if the caller goes away. Durable when it is yielded; harmless to repeat.
        """
        self._advance = advance or (lambda _size: None)
        now = self._clock.now().timestamp()
        due = [each for each in planned if not (patient and each.waits(now))]
        with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="derive") as threads:
            running = [threads.submit(self._one, each, engine, force=force) for each in due]
            try:
                for future in running:
                    while not wait([future], _LOOK_S).done:
                        self._go_on()
                    yield future.result()
            except BaseException:
                self._stopping.set()
                raise
            finally:
                for future in running:
                    future.cancel()

    def _there(self) -> Outputs:
        if self._outputs is None:
            self._outputs = Outputs(self._reader, self._clock, self._entropy, whoami(), self._rules, self._seen)
        return self._outputs

    def _one(self, planned: Planned, engine: Executor | None, *, force: bool) -> Outcome:
        derivation = planned.derivation
        if planned.ref is not None and not force:
            return Outcome(derivation, "reused", planned.ref)
        log = self._there().log(derivation)
        try:
            step = log.ask(DEFAULT_LEASE_S, 0.0, self._stands_but(planned, force=force))
        except HeldError as error:
            return Outcome(derivation, "held", reason=str(error))
        if step.state == "built":
            return Outcome(derivation, "reused", step.ref)
        with log.alive(step, DEFAULT_LEASE_S), self._room(KIND) as room, self._giving_up(log, step):
            output = room.folder / derivation.rule.name  # a run is called like its folder
            reason = self._compute(derivation, output, engine)
            if reason is not None:
                return self._failed(derivation, log, step, reason)
            with self._keeping(room, output):
                return self._publish_output(derivation, log, step, output)

    def _stands_but(self, planned: Planned, *, force: bool) -> Callable[[BuildStep], bool]:
        """Whether a built step is taken; one that is to be replaced is not."""
        replaced = planned.ref if force else None
        return lambda step: step.ref != replaced and self._stands(step)

    def _compute(self, derivation: Derivation, output: Path, engine: Executor | None) -> str | None:
        """Fetch the inputs, verified, and run the command; return why there is no output, or None."""
        top, rule, started = output.parent.parent, derivation.rule, self._moment()
        for run in derivation.runs:
            inside = top / INPUTS if rule.per == "run" else top / INPUTS / run.run_id
            view = self._reader.load_files(self._reader.resolve(run.ref))
            for path in run.files:
                place = LocalDestination(inside / path, single=True)
                restore_file(self._reader, view, view.entry(path), place, path.rpartition("/")[2])
        (top / ABOUT).write_bytes(canonical_json(described(derivation.runs)))
        output.mkdir()
        values = {
            "inputs": str(top / INPUTS),
            "output": str(output),
            "mode": rule.mode,
            "python": sys.executable,
        }
        told = {
            "SEALRUN_INPUTS": values["inputs"],
            "SEALRUN_OUTPUT": values["output"],
            "SEALRUN_MODE": rule.mode,
            "SEALRUN_INPUTS_JSON": str(top / ABOUT),
        }
        task = CommandTask(tuple(filled_in(rule.command, values)), str(top), str(output), told, rule.timeout_s)
        reason = run_command(task, self._go_on) if engine is None else engine.submit(run_command, task).result()
        if reason is not None:
            return masked_text(reason, os.environ)[:_LONGEST_REASON]
        declare(output, derivation.record(started, self._moment()))
        return None

    def _publish_output(self, derivation: Derivation, log: BuildLog, claim: BuildStep, output: Path) -> Outcome:
        overtaken = log.overtaken(claim, self._stands)
        if overtaken is not None:
            return Outcome(derivation, "reused", overtaken.ref)
        with self._publishing:  # the journal's connection and the targets are one for all threads
            report = self._parts.producer.publish(
                str(output), derivation.rule.target, registries=[self._spec.name], run_id=derivation.run_id
            )
        (delivered,) = report.deliveries
        published = delivered.arrived(f"{derivation.label}:")
        view = self._reader.load_files(self._reader.resolve(published.ref))
        run = (published.experiment, published.run_id, view.envelope.urn)
        step = log.conclude(claim, run, self._stands)
        self._notes.forget(derivation.key)
        self._there().forget(derivation)
        return Outcome(derivation, "made", step.ref)

    def _go_on(self) -> None:
        """Called now and then by whatever takes long: stops it if nobody waits for it any longer."""
        if self._stopping.is_set():
            raise _NobodyWaitsError
        self._advance(0)

    def _failed(self, derivation: Derivation, log: BuildLog, claim: BuildStep, reason: str) -> Outcome:
        log.give_up(claim, BuildFailedError(reason), reason)
        now = self._clock.now().timestamp()
        before = self._notes.find(derivation.key)
        self._notes.keep(failed_again(before, derivation, reason, self._moment(), now))
        return Outcome(derivation, "failed", reason=reason)

    def _moment(self) -> str:
        return rfc3339(self._clock.now())
