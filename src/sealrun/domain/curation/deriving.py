"""Outputs that are computed from sealed runs: which runs a rule takes, and when what it made is still fresh.

Fresh means: made by the same version of the same rule, in the same mode, from files with the same content. Times do not
count, nor does who asks, so any machine that computes the same finds it done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from sealrun.domain.address import Digest, RunId
from sealrun.domain.curation.artifacts import config_digest
from sealrun.domain.records import JsonObject
from sealrun.domain.registry.retrying import next_delay
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Envelope

Mode = Literal["light", "full"]
Per = Literal["run", "experiment"]
KIND = "derived"
TAG = "derived"
_FIRST_RETRY_S = 60.0
_LONGEST_RETRY_S = 24 * 3600.0
_MAX_NAME = 100
_SHOWN = 16


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How an output is computed from runs of `experiment`.

    A run counts if it ended in one of `statuses` and holds a file for each of the patterns in `inputs`; the files that
    match are what is computed from. With `of`, the runs that the rule of that name made are the inputs. One output is
    made for each run, or one for all of them. `command` is run with ``{inputs}``, ``{output}``, ``{mode}`` and
    ``{python}`` replaced. A change of what is computed is a new `version`.
    """

    name: str
    experiment: str
    inputs: tuple[str, ...]
    command: tuple[str, ...]
    version: str
    mode: Mode = "light"
    per: Per = "run"
    of: str | None = None
    to: str = ""
    statuses: tuple[str, ...] = ("success",)
    timeout_s: float = 3600.0

    @property
    def target(self) -> str:
        """The experiment in which the outputs are runs; by default ``EXPERIMENT.RULE``."""
        return self.to or f"{self.experiment}.{self.name}"


class InputRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run from which something is computed: its seal, the files that count, and what it says of itself.

    `of`: it is itself computed, from these; then time, parameters and metrics are those of the one run that it is of.
    """

    experiment: str
    run_id: RunId
    root_sha256: Digest
    files: Mapping[str, Digest]
    finished_at: str
    params: JsonObject = {}
    metrics: JsonObject = {}
    of: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The run's reference."""
        return f"{self.experiment}/{self.run_id}"


class Derivation(msgspec.Struct, frozen=True):
    """One output to be computed, or that was: by a rule, from these runs."""

    rule: Rule
    runs: tuple[InputRun, ...]

    @property
    def key(self) -> Digest:
        """What makes it fresh or not. Of one run the files count; of several also which run has which."""
        files = [[run.ref, sorted(run.files.items())] for run in self.runs]
        return config_digest(
            KIND,
            {
                "rule": self.rule.name,
                "version": self.rule.version,
                "mode": self.rule.mode,
                "inputs": files[0][1] if self.rule.per == "run" else files,
            },
        )

    @property
    def run_id(self) -> RunId:
        """The id of the run that holds the output, the same wherever it is computed."""
        return RunId(f"{self.rule.name[:_MAX_NAME]}-{self.key[:_SHOWN]}")

    @property
    def label(self) -> str:
        """What it is called in messages."""
        of = self.runs[0].ref if self.rule.per == "run" else f"{len(self.runs)} runs of {self.rule.experiment}"
        return f"{self.rule.name} of {of}"

    def record(self, started_at: str, finished_at: str) -> JsonObject:
        """Return what the output says of itself: its rule, and the runs that it was computed from."""
        return {
            "status": "success",
            "pipeline_id": self.rule.name,
            "pipeline_version": self.rule.version,
            "trigger": {"type": "derive", "source": self.rule.name},
            "params": {"mode": self.rule.mode},
            "started_at": started_at,
            "finished_at": finished_at,
            "tags": [TAG],
            "inputs": [
                {"type": "run", "ref": run.ref, "root_sha256": run.root_sha256, "files": dict(run.files)}
                for run in self.runs
            ],
        }


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A computation that failed: how often in a row, why, and when it is tried again (seconds since 1970)."""

    label: str
    key: Digest
    tries: int
    reason: str
    at: str
    next_at: float


def failed_again(before: Failure | None, derivation: Derivation, reason: str, at: str, now: float) -> Failure:
    """Return what is remembered of a failure: the delay doubles, from a minute to a day."""
    tries = 1 if before is None else before.tries + 1
    delay = next_delay(tries, 1.0, base_s=_FIRST_RETRY_S, cap_s=_LONGEST_RETRY_S)
    return Failure(label=derivation.label, key=derivation.key, tries=tries, reason=reason, at=at, next_at=now + delay)


def takes(rule: Rule, envelope: Envelope, manifest: Manifest) -> dict[str, Digest] | None:
    """Return the files of a run that a rule computes from, or None if it is not a run for that rule."""
    if envelope.status not in rule.statuses:
        return None
    found: dict[str, Digest] = {}
    for pattern in rule.inputs:
        matching = [entry for entry in manifest.entries if matches(entry, pattern)]
        if not matching:
            return None
        found |= {entry.path: entry.sha256 for entry in matching}
    return found


def matches(entry: Entry, pattern: str) -> bool:
    """Tell whether a file matches: a pattern without ``/`` its name, another one its whole path."""
    return fnmatchcase(entry.path if "/" in pattern else entry.path.rpartition("/")[2], pattern)


def derivations(rule: Rule, runs: Iterable[InputRun]) -> list[Derivation]:
    """Return what a rule makes of these runs: one for each content, or one of all; nothing of nothing."""
    ordered = sorted(runs, key=lambda run: (run.finished_at, run.ref))
    if rule.per == "experiment":
        return [Derivation(rule, tuple(ordered))] if ordered else []
    each: dict[Digest, Derivation] = {}
    for run in ordered:
        derivation = Derivation(rule, (run,))
        each.setdefault(derivation.key, derivation)
    return list(each.values())


def filled_in(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return a command with its placeholders replaced; a brace that is none stays."""
    filled = []
    for word in command:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)  # noqa: PLW2901 - one word, several placeholders
        filled.append(word)
    return filled


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Return rules so that each comes after the one whose outputs it takes; `ValueError` names one of a circle."""
    by_name = {rule.name: rule for rule in rules}
    done: dict[str, Rule] = {}

    def add(rule: Rule, above: tuple[str, ...]) -> None:
        if rule.name in above:
            raise ValueError(rule.name)
        if rule.of is not None and rule.of in by_name:
            add(by_name[rule.of], (*above, rule.name))
        done[rule.name] = rule

    for rule in rules:
        add(rule, ())
    return list(done.values())


def described(runs: Iterable[InputRun]) -> list[dict[str, Any]]:
    """Return what a command is told of its inputs: ``inputs.json``."""
    return [
        {
            "ref": run.ref,
            "experiment": run.experiment,
            "run_id": run.run_id,
            "root_sha256": run.root_sha256,
            "finished_at": run.finished_at,
            "files": dict(run.files),
            "params": run.params,
            "metrics": run.metrics,
            "of": list(run.of),
        }
        for run in runs
    ]
