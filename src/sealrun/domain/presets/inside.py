"""Runs of frameworks that lie inside a folder: a tracker's below a job's, or many below a folder that is none itself.

While one of them runs, the folder is not complete, whoever made it. They are found by names alone, near the top, and
only so many are asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

import msgspec

from sealrun.domain.presets.looking import Facts, HasSize, Look, Preset, declared_end
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

MAX_INSIDE = 500
"""So many runs inside are asked at most: the last by their names, which often begin with a time."""
_MAX_DEPTH = 5
_MARKS: Mapping[str, str] = {
    ".nextflow/history": "nextflow",
    ".hydra/config.yaml": "hydra",
    "multirun.yaml": "hydra",
    "meta.yaml": "mlflow",
    "cout.txt": "sacred",
    "hparams.yaml": "lightning",
}
"""A file that only the run of one framework has, by the end of its path."""
_PATTERNS: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"(.*)/\.snakemake/.*"), "snakemake"),
    (re.compile(r"(.*)/run-[^/]+\.wandb"), "wandb"),
    (re.compile(r"(.*)/[0-9_]+_submitted\.pkl"), "submitit"),
    (re.compile(r"(.*)/experiment_state-[^/]+\.json"), "ray-tune"),
    (re.compile(r"(.*)/checkpoint-[0-9]+/trainer_state\.json"), "hf-trainer"),
    (re.compile(r"(.*?)/_temporary/.*"), "success-file"),
)
_ENDS = (*(f"/{end}" for end in _MARKS), ".wandb", "_submitted.pkl", "/trainer_state.json")


class Inside(msgspec.Struct, frozen=True):
    """A run inside a folder: where, of which framework, and what it says of its end."""

    path: str
    preset: Preset
    status: FrameworkStatus


class _Below:
    """A look at one folder of a look; the names inside are as if it were the run."""

    def __init__(self, look: Look, folder: str, files: Mapping[str, HasSize]) -> None:
        self._look = look
        self._prefix = f"{folder}/"
        self.files = files

    @cached_property
    def top(self) -> Collection[str]:
        return {path.partition("/")[0] for path in self.files}

    @property
    def folders(self) -> Collection[str]:
        known = self._look.folders
        return [path.removeprefix(self._prefix) for path in known if path.startswith(self._prefix)]

    def read(self, path: str, limit: int) -> bytes | None:
        return self._look.read(self._prefix + path, limit)

    def start(self, path: str, length: int) -> bytes | None:
        return self._look.start(self._prefix + path, length)

    def end(self, path: str, length: int) -> bytes | None:
        return self._look.end(self._prefix + path, length)


def runs_inside(look: Look, presets: Mapping[str, Preset]) -> tuple[Inside, ...]:
    """Return the runs of `presets` below `look`, by path; the last `MAX_INSIDE` that could be one are asked."""
    places = sorted(set(_places(look, presets)))[-MAX_INSIDE:]
    below = _files_below(look, {folder for folder, _ in places})
    found: list[Inside] = []
    for folder, name in places:
        # What lies in a run that is over is no longer asked, just as in the folder itself.
        if any(run.status.state == "finished" and folder.startswith(f"{run.path}/") for run in found):
            continue
        status = presets[name].status(_Below(look, folder, below[folder]))
        declared = declared_end(look, f"{folder}/") if name != "success-file" else None
        if status is not None and declared is not None:
            status = FrameworkStatus(framework=name, state="finished", evidence=declared[0], status=declared[1])
        if status is not None:
            found.append(Inside(folder, presets[name], status))
    return tuple(found)


def _places(look: Look, presets: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield folders that could be runs, and of what."""
    for path in chain(look.files, (f"{folder}/" for folder in look.folders if "_temporary" in folder)):
        if not (
            path.endswith(_ENDS) or "/.snakemake/" in path or "/_temporary/" in path or "/experiment_state-" in path
        ):
            continue  # nearly all
        for end, name in _MARKS.items():
            if name in presets and path.endswith(f"/{end}") and path.count("/") <= _MAX_DEPTH + end.count("/"):
                yield path[: -len(end) - 1], name
        for pattern, name in _PATTERNS:
            match = pattern.fullmatch(path) if name in presets else None
            if match is not None and match[1].count("/") < _MAX_DEPTH:
                yield match[1], name


def _files_below(look: Look, folders: Collection[str]) -> dict[str, dict[str, HasSize]]:
    """Sort the files into the folders that they are below of, at any depth."""
    found: dict[str, dict[str, HasSize]] = {folder: {} for folder in folders}
    if not found:
        return found
    for path, facts in look.files.items():
        at = path.find("/")
        while at >= 0:
            if path[:at] in found:
                found[path[:at]][path[at + 1 :]] = facts
            at = path.find("/", at + 1)
    return found


def facts_inside(look: Look, runs: Sequence[Inside]) -> list[Facts]:
    """Read what the files of each of these runs inside say of it."""
    below = _files_below(look, {run.path for run in runs})
    return [run.preset.facts(_Below(look, run.path, below[run.path])) for run in runs]


def worst_of(runs: Sequence[Inside]) -> Status:
    """What runs inside that did not succeed say of the folder; unknown if all did: the folder is more than they."""
    ends = [run.status.status for run in runs if run.status.state == "finished"]
    bad = [end for end in ends if end in {"failed", "interrupted"}]
    if not bad:
        return "partial" if "partial" in ends else "unknown"
    return bad[0] if len(set(ends)) == 1 else "partial"
