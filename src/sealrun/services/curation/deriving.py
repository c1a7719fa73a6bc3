"""What a registry holds of what rules declare: the runs they take, and the outputs that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.curation.deriving import KIND, Derivation, InputRun, Rule, derivations, takes
from sealrun.domain.errors import NotFoundError
from sealrun.domain.runs.run import Envelope
from sealrun.ports import Clock, Entropy
from sealrun.services.access.reading import Reader
from sealrun.services.curation.building import BuildLog, stands
from sealrun.services.threads.fanning import fan_out

_AT_ONCE = 8


class Found(msgspec.Struct, frozen=True):
    """An output that is declared, and the run that holds it. `retired`: there was one, and it was retired since."""

    derivation: Derivation
    ref: str | None = None
    retired: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What was seen of a registry, so that nobody asks for it again: inputs by rule and sealed run, outputs by key."""

    inputs: dict[tuple[Rule, str, str], InputRun | None] = msgspec.field(default_factory=dict)
    outputs: dict[Digest, Found] = msgspec.field(default_factory=dict)


class Outputs:
    """Outputs of `rules` in one registry. Reads only; safe to use from many threads.

    What was `seen` is not asked for again: for whoever looks every minute, and need not notice that one was retired.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        entropy: Entropy,
        by: str,
        rules: Mapping[str, Rule],
        seen: Seen | None = None,
    ) -> None:
        """Look in what `reader` reads; logs of builds are opened in the name of `by`."""
        self._reader = reader
        self._clock = clock
        self._entropy = entropy
        self._by = by
        self._rules = rules
        self._seen = seen or Seen()

    def plan(self, rule: Rule, refs: Sequence[str] = ()) -> list[Found]:
        """Say what a rule makes of the runs of its experiment, or of those that `refs` name, and where it is.

        An output that an earlier version of the rule made, or that is of other files, does not count.
        """
        wanted = derivations(rule, self._inputs(rule, refs))
        return fan_out(self.find, wanted, _AT_ONCE)

    def log(self, derivation: Derivation) -> BuildLog:
        """Open the log in which whoever computes an output says so."""
        return BuildLog(self._reader.store, self._clock, self._entropy, self._by, KIND, derivation.key)

    def find(self, derivation: Derivation) -> Found:
        """Look for an output: where the log of its builds says, or under its own run id."""
        known = self._seen.outputs.get(derivation.key)
        if known is not None:
            return known
        found = self._look(derivation)
        if found.ref is not None or found.retired:
            self._seen.outputs[derivation.key] = found
        return found

    def forget(self, derivation: Derivation) -> None:
        """Look for an output again when it is next asked for."""
        self._seen.outputs.pop(derivation.key, None)

    def _look(self, derivation: Derivation) -> Found:
        newest = self.log(derivation).newest()
        built = newest is not None and newest.state == "built"
        if newest is not None and built and stands(self._reader, newest):
            return Found(derivation, newest.ref)
        ref = f"{derivation.rule.target}/{derivation.run_id}"
        with suppress(NotFoundError):  # published, and whoever did it could not say so any more
            self._reader.resolve(ref)
            return Found(derivation, ref)
        return Found(derivation, retired=built)

    def _inputs(self, rule: Rule, refs: Sequence[str]) -> list[InputRun]:
        if rule.of is not None:
            return self._outputs_of(rule, self._rules[rule.of], refs)
        if rule.experiment not in self._reader.experiments():
            return []
        wanted = {(target.experiment, target.run_id) for target in map(self._reader.resolve, refs)}
        refs_and_roots = [
            (f"{row.experiment}/{row.run_id}", row.root_sha256)
            for row in self._reader.runs(rule.experiment)
            if not refs or (row.experiment, row.run_id) in wanted
        ]
        found = fan_out(lambda each: self._examine(rule, *each), refs_and_roots, _AT_ONCE)
        return [run for run in found if run is not None]

    def _outputs_of(self, rule: Rule, before: Rule, refs: Sequence[str]) -> list[InputRun]:
        """The outputs, as far as they are there, of the rule `before`; each speaks of the run that it is of."""
        found: list[InputRun] = []
        for output in self.plan(before, refs):
            run = None if output.ref is None else self._examine(rule, output.ref, "")
            if run is None:
                continue
            of = output.derivation.runs
            alone = of[0] if len(of) == 1 else None
            found.append(
                msgspec.structs.replace(
                    run,
                    params=alone.params if alone else {},
                    metrics=alone.metrics if alone else {},
                    finished_at=alone.finished_at if alone else run.finished_at,
                    of=tuple(each.ref for each in of),
                )
            )
        return found

    def _examine(self, rule: Rule, ref: str, root: str) -> InputRun | None:
        """What a rule takes of a run; None if nothing, or if it was retired meanwhile."""
        known = (rule, ref, root)
        if known not in self._seen.inputs:
            try:
                view = self._reader.load_files(self._reader.resolve(ref))
            except NotFoundError:
                return None
            files = takes(rule, view.envelope, view.manifest)
            run = None if files is None else _input_run(view.envelope, view.target.root_sha256, files)
            self._seen.inputs[known] = run
        return self._seen.inputs[known]


def _input_run(envelope: Envelope, root: Digest, files: dict[str, Digest]) -> InputRun:
    return InputRun(
        experiment=envelope.experiment,
        run_id=envelope.run_id,
        root_sha256=root,
        files=files,
        finished_at=envelope.finished_at,
        params=envelope.producer.get("params") or {},
        metrics=envelope.producer.get("metrics") or {},
    )
