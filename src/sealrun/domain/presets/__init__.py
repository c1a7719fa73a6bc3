"""Frameworks that sealrun knows: how the end of their runs is known, and what their files say of a run.

Everything here is a pure function of a folder's names and of bounded parts of its files. Nothing is unpickled, imported
or executed, and whatever a file holds leads to an answer: what cannot be read is noted and not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sealrun.domain.presets.hf_trainer import HF_TRAINER
from sealrun.domain.presets.hydra import HYDRA
from sealrun.domain.presets.inside import Inside, facts_inside, runs_inside, worst_of
from sealrun.domain.presets.lightning import LIGHTNING
from sealrun.domain.presets.looking import Facts, HasSize, Look, Preset, running, silent
from sealrun.domain.presets.mlflow import MLFLOW
from sealrun.domain.presets.nextflow import NEXTFLOW
from sealrun.domain.presets.ray_tune import RAY_TUNE
from sealrun.domain.presets.sacred import SACRED
from sealrun.domain.presets.snakemake import SNAKEMAKE
from sealrun.domain.presets.submitit import SUBMITIT
from sealrun.domain.presets.success_file import SUCCESS_FILE
from sealrun.domain.presets.tensorboard import TENSORBOARD
from sealrun.domain.presets.wandb import WANDB
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.run import Producer
from sealrun.domain.watches.settling import FrameworkStatus

__all__ = ["PRESETS", "Facts", "HasSize", "Look", "Recognised", "recognise"]

_IN_ORDER: Sequence[Preset] = (
    NEXTFLOW,
    SNAKEMAKE,
    SUBMITIT,
    HYDRA,
    RAY_TUNE,
    MLFLOW,
    SACRED,
    WANDB,
    HF_TRAINER,
    LIGHTNING,
    SUCCESS_FILE,
    TENSORBOARD,
)
"""What starts others comes before what is started, what is particular before what is general."""
_BY_NAME: Mapping[str, Preset] = {preset.name: preset for preset in _IN_ORDER}
_ALIASES: Mapping[str, str] = {"spark": "success-file", "hadoop": "success-file", "huggingface": "hf-trainer"}
PRESETS = ("auto", "none", *_BY_NAME, *_ALIASES)
"""What ``preset`` may be in the settings; the frameworks stand in the order in which ``auto`` asks them."""
_SHARED = ("started_at", "finished_at", "pipeline_id", "pipeline_version", "tags", "params", "metrics")
"""What producers say in their own records as well."""
_TEXTS = ("version", "run", "pipeline_id", "pipeline_version")
_MAX_TEXT = 200
_MAX_TAGS = 100
_NAMED_INSIDE = 20


class Recognised(msgspec.Struct, frozen=True):
    """The frameworks whose run a folder is, the one that decides first; with what each says of the end.

    `inside` are runs below it; they are looked for only where no framework says that the folder's own run is over.
    """

    found: tuple[tuple[Preset, FrameworkStatus], ...] = ()
    inside: tuple[Inside, ...] = ()

    @property
    def status(self) -> FrameworkStatus | None:
        """What decides about the end, if there is anything.

        A run inside that is not over decides while the folder's own run does not say that it is.
        """
        own = self.found[0][1] if self.found else None
        if not self.inside or (own is not None and own.state != "silent"):
            return own
        at_work = next((run for run in self.inside if run.status.state == "running"), None)
        if at_work is not None:
            return _of_inside(at_work)
        return msgspec.structs.replace(own or self._holds(), status=worst_of(self.inside))

    def _holds(self) -> FrameworkStatus:
        first, many = self.inside[0], len(self.inside)
        evidence = f"{first.path}: {first.status.evidence}" + (f", and {many - 1} more inside" if many > 1 else "")
        awaits = (
            f"a run of {first.preset.name} lies inside, at {first.path}, and does not speak for all, so quiet decides"
        )
        if many > 1:
            awaits = f"it holds {many} runs, which a deeper glob would take one by one; as it stands quiet decides"
        return silent(first.preset.name, evidence, awaits)

    @property
    def names(self) -> tuple[str, ...]:
        """Every framework that was recognised."""
        return tuple(preset.name for preset, _ in self.found)

    @property
    def owns(self) -> frozenset[str]:
        """Files that are a framework's and no record of the producer's."""
        return frozenset[str]().union(*(preset.owns for preset, _ in self.found))

    @property
    def lines(self) -> tuple[str, ...]:
        """What each framework was recognised by, and what that says, a line for each."""
        return tuple(f"{preset.name} by {status.evidence}: {status.state}" for preset, status in self.found)

    @property
    def lines_inside(self) -> tuple[str, ...]:
        """What the runs inside say of their ends, a line for each of the first of them."""
        return tuple(
            f"{run.path}: {run.preset.name}, {run.status.state} ({run.status.evidence})"
            for run in self.inside[:_NAMED_INSIDE]
        )

    def _makers(self, look: Look) -> list[Preset]:
        return [preset for preset, _ in self.found if preset.is_maker(look)]

    def complete(self, producer: Producer, look: Look) -> Producer:
        """Add what the frameworks say of the run to what the producer's own records say, which comes first."""
        names = [preset.name for preset in self._makers(look)]
        names += [name for name in dict.fromkeys(run.preset.name for run in self.inside) if name not in names]
        if not names:
            return producer
        facts = self.facts(look)
        framework: JsonObject = {"name": names[0]}
        framework |= {"version": facts.version} if facts.version else {}
        framework |= {"run": facts.run} if facts.run else {}
        framework |= {"ids": dict(facts.ids)} if facts.ids else {}
        framework |= {"also": names[1:]} if names[1:] else {}
        framework |= {"inside": self._inside_json(look)} if self.inside else {}
        lacking = {
            name: value
            for name in _SHARED
            if getattr(producer, name) is None and (value := getattr(facts, name)) is not None
        }
        return msgspec.structs.replace(producer, framework=framework, **lacking)

    def facts(self, look: Look) -> Facts:
        """Read what the frameworks say of the run; of two that say the same, the one that decides counts."""
        facts = [_within_reason(preset.facts(look)) for preset in self._makers(look)]
        if len(self.inside) == 1:
            alone = _within_reason(facts_inside(look, self.inside)[0])
            facts.append(
                alone if not facts else msgspec.structs.replace(alone, pipeline_id=None, pipeline_version=None)
            )
        if not facts:
            return Facts()
        merged = facts[0]
        for other in facts[1:]:
            lacking = {name: getattr(other, name) for name in _SHARED if getattr(merged, name) is None}
            merged = msgspec.structs.replace(merged, **lacking, notes=merged.notes + other.notes)
        return merged

    def _inside_json(self, look: Look) -> list[JsonObject]:
        said = []
        named = self.inside[:_NAMED_INSIDE]
        for run, facts in zip(named, map(_within_reason, facts_inside(look, named)), strict=True):
            about: JsonObject = {"name": run.preset.name, "path": run.path}
            about |= {"run": facts.run} if facts.run else {}
            about |= {"status": run.status.status} if run.status.status != "unknown" else {}
            said.append(about)
        return said


def _of_inside(run: Inside) -> FrameworkStatus:
    """What a run inside says, as what is known of the whole folder."""
    status = run.status
    return running(run.preset.name, f"{run.path}: {status.evidence}", f"{status.awaits}, in {run.path}")


def _within_reason(facts: Facts) -> Facts:
    """Leave out texts and tags that are too long to be names of anything."""
    texts = {name: getattr(facts, name) for name in _TEXTS}
    long = {name: None for name, text in texts.items() if text is not None and len(text) > _MAX_TEXT}
    tags = [tag for tag in facts.tags or () if len(tag) <= _MAX_TEXT][:_MAX_TAGS] or None
    ids = {name: text for name, text in (facts.ids or {}).items() if len(text) <= _MAX_TEXT} or None
    notes = tuple(f"{name}: not used, it is longer than {_MAX_TEXT} characters" for name in long)
    return msgspec.structs.replace(facts, **long, tags=tags, ids=ids, notes=facts.notes + notes)


def recognise(look: Look, preset: str) -> Recognised:
    """Ask the framework that `preset` names; with ``auto`` all in order, with ``none`` nobody.

    One that says whether the run is over decides before one that is silent about it. Where none says so, the runs
    inside are asked, too.
    """
    asked = (
        _IN_ORDER if preset == "auto" else [_BY_NAME[name] for name in {_ALIASES.get(preset, preset)} & _BY_NAME.keys()]
    )
    answers = [(each, answer) for each in asked if (answer := each.status(look)) is not None]
    found = tuple(sorted(answers, key=lambda pair: pair[1].state == "silent"))
    if found and found[0][1].state != "silent":
        return Recognised(found)
    return Recognised(found, runs_inside(look, {each.name: each for each in asked}))
