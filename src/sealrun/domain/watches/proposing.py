"""Which watches would take the runs that lie below a folder, judged by names alone.

The names are a bounded listing, so this proposes and never proves: what a watch takes is decided by the presets, when
the runs are looked at. Whoever proposes shows the file by which each framework was recognised.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import msgspec

from sealrun.domain.address import is_name

_DAY_AND_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9]{2}-[0-9]{2}-[0-9]{2}")
_MLFLOW_RUN = "?" * 32
_RUNS = "runs"
_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 60


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A watch that would take what was found. `path` is relative to the folder that was listed, ``""`` is that itself.

    `found` says for people what lies there; `preset` is the setting. `by` is the first file that shows it. `experiment`
    is ``{1}`` where the folders above the runs name their experiments. `settle` and `exclude` are None and empty where
    the defaults fit.
    """

    found: str
    preset: str
    path: str
    glob: str
    by: str
    experiment: str | None = None
    settle: str | None = None
    exclude: tuple[str, ...] = ()


class Proposals(msgspec.Struct, frozen=True):
    """What to watch, and what was recognised but cannot be watched as it lies, each with the reason."""

    watches: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A framework: what its runs are recognised by, and what a watch of it needs.

    `marks` match a path from the listing; their group is the run's folder (none: the listed folder itself).
    """

    found: str
    marks: tuple[re.Pattern[str], ...]
    preset: str
    glob: str = "*"
    settle: str | None = None
    exclude: tuple[str, ...] = ()


def _marks(*marks: str) -> tuple[re.Pattern[str], ...]:
    """Compile marks; ``RUN/`` stands for the run's folder."""
    return tuple(re.compile(mark.replace("RUN/", "(?:(?P<run>.+)/)?")) for mark in marks)


_KINDS: Sequence[_Kind] = (
    _Kind(found="sealrun", marks=_marks(r"RUN/\.sealrun/(?:done|recording)\.json"), preset="auto"),
    _Kind(
        found="nextflow",
        preset="nextflow",
        marks=_marks(r"RUN/\.nextflow/history"),
        exclude=("work/", ".nextflow/cache/"),
    ),
    _Kind(
        found="snakemake",
        preset="snakemake",
        marks=_marks(r"RUN/\.snakemake/.*"),
        exclude=(".snakemake/conda/", ".snakemake/singularity/"),
    ),
    _Kind(found="submitit", preset="submitit", marks=_marks(r"RUN/[0-9_]+_(?:submitted|\d+_result)\.pkl")),
    _Kind(
        found="hydra", preset="hydra", marks=_marks(r"RUN/\.hydra/config\.yaml", r"RUN/multirun\.yaml"), settle="10m"
    ),
    _Kind(found="ray-tune", preset="ray-tune", marks=_marks(r"RUN/experiment_state-[^/]+\.json"), settle="5m"),
    _Kind(
        found="mlflow",
        preset="mlflow",
        marks=_marks(r"(?P<run>(?:.+/)?[^/]+/[0-9a-f]{32})/meta\.yaml"),
        glob=f"*/{_MLFLOW_RUN}",
    ),
    _Kind(found="sacred", preset="sacred", marks=_marks(r"RUN/cout\.txt"), glob="[0-9]*"),
    _Kind(
        found="wandb",
        preset="wandb",
        marks=_marks(r"(?P<run>(?:.+/)?(?:offline-)?run-[^/]+)/run-[^/]+\.wandb"),
        glob="*run-*",
    ),
    _Kind(
        found="hf-trainer",
        preset="hf-trainer",
        marks=_marks(r"RUN/checkpoint-[0-9]+/trainer_state\.json"),
        settle="30m",
    ),
    _Kind(
        found="lightning",
        preset="lightning",
        marks=_marks(r"(?P<run>(?:.+/)?version_[0-9]+)/hparams\.yaml"),
        glob="version_*",
        settle="30m",
    ),
    _Kind(
        found="success-file", preset="success-file", marks=_marks(r"RUN/_temporary/.*", r"RUN/_SUCCESS"), settle="10m"
    ),
    _Kind(found="tensorboard", preset="tensorboard", marks=_marks(r"RUN/events\.out\.tfevents\.[^/]+"), settle="30m"),
)
"""In the order in which they are asked: what starts others comes before what it starts."""


class _Run(NamedTuple):
    """A run that was recognised, and by which file."""

    folder: str
    kind: _Kind
    by: str


def propose(names: Iterable[str], *, inside: bool = False) -> Proposals:
    """Propose watches for the runs that `names` show: paths below a folder, those of folders ending in ``/``.

    Runs inside runs count as part of them. With `inside` the listed folder itself may be watched; without, it is a
    project's, in which settings and registries lie, and what would need that is a note instead. No two proposals lie
    inside each other.
    """
    paths = sorted(names)
    runs, notes = _outermost(_recognised(paths)), []
    found: dict[tuple[str, str], list[_Run]] = {}
    for run in runs:
        if not run.folder:
            notes.append(_itself(run, inside=inside))
            continue
        path, glob = _place(run)
        if path or inside:
            found.setdefault((path, glob), []).append(run)
        else:
            notes.append(_at_the_top(run))
    watches = _apart(
        _side_by_side([_proposal(place, found[place], paths) for place in sorted(found)], inside=inside), notes
    )
    return Proposals(tuple(watches), tuple(dict.fromkeys(notes)))


def names_for(proposals: Sequence[Proposal], project: str, experiment: str | None) -> list[tuple[str, str]]:
    """Return a watch's name and its experiment for each proposal, all different.

    The experiment is `experiment`, or else called after the `project`; of several each has its own. Whatever a folder
    is called, the answers are names.
    """
    wanted = experiment or _as_name(project, "runs")
    taken: set[str] = set()
    named: list[tuple[str, str]] = []
    for proposal in proposals:
        base = _as_name(posixpath.basename(proposal.path) or project, proposal.preset)
        name = next(each for each in _numbered(base) if each not in taken)
        taken.add(name)
        own = wanted if len(proposals) == 1 else f"{wanted}-{name}"
        named.append((name, proposal.experiment or own))
    return named


def _as_name(text: str, otherwise: str) -> str:
    name = _UNNAMED.sub("-", text).strip("-._")[:_MAX_NAME]
    return name if is_name(name) else otherwise


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}-{number}" for number in count(2))


def _recognised(paths: Collection[str]) -> Mapping[str, _Run]:
    """Return the runs by their folders; of several kinds that recognise one, the first."""
    found: dict[str, _Run] = {}
    for kind in _KINDS:
        for path in paths:
            match = next((match for mark in kind.marks if (match := mark.fullmatch(path))), None)
            if match is not None:
                found.setdefault(match["run"] or "", _Run(match["run"] or "", kind, path))
    return found


def _outermost(runs: Mapping[str, _Run]) -> list[_Run]:
    """Leave out what lies inside another run; the listed folder itself does not count as one here."""
    return [
        run for folder, run in sorted(runs.items()) if not any(parent in runs for parent in _parents(folder) if parent)
    ]


def _parents(folder: str) -> Iterator[str]:
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def _place(run: _Run) -> tuple[str, str]:
    """Return the folder to watch for a run, and the pattern that takes it and those to come."""
    above = posixpath.dirname(run.folder)
    if run.kind.found == "hydra" and _DAY_AND_TIME.fullmatch(run.folder[-19:]) and run.folder[-20:-19] in {"", "/"}:
        return posixpath.dirname(above), "*/*"
    if run.kind.found == "mlflow":
        return posixpath.dirname(above), run.kind.glob
    if run.kind.found == "sealrun" and posixpath.basename(above) == _RUNS and posixpath.dirname(above):
        return posixpath.dirname(posixpath.dirname(above)), f"*/{_RUNS}/*"
    fits = run.kind.glob != "[0-9]*" or posixpath.basename(run.folder)[:1].isdigit()
    return above, run.kind.glob if fits else "*"


def _proposal(place: tuple[str, str], runs: Sequence[_Run], paths: Sequence[str]) -> Proposal:
    path, glob = place
    kinds = {run.kind.found: run.kind for run in runs}
    first = runs[0]
    several = len(kinds) > 1
    found = first.kind.found
    if kinds.keys() == {"success-file"} and not _is_committed(runs, paths):
        found = "_SUCCESS markers"
        kinds = {found: msgspec.structs.replace(first.kind, preset="auto", settle=None)}
    return Proposal(
        found=", ".join(kinds) if several else found,
        preset="auto" if several else next(iter(kinds.values())).preset,
        path=path,
        glob=glob,
        by=first.by,
        experiment="{1}" if glob == f"*/{_RUNS}/*" else None,
        settle=max(
            (kind.settle for kind in kinds.values() if kind.settle), key=lambda text: int(text[:-1]), default=None
        ),
        exclude=tuple(dict.fromkeys(line for kind in kinds.values() for line in kind.exclude)),
    )


def _is_committed(runs: Sequence[_Run], paths: Sequence[str]) -> bool:
    """Tell whether a committer of Spark's or Hadoop's left the runs, and no script that only borrowed the marker."""
    folders = {run.folder for run in runs}
    return any(
        posixpath.basename(path.rstrip("/")).startswith(("part-", "_temporary"))
        and not folders.isdisjoint(_parents(path))
        for path in paths
    )


def _side_by_side(proposals: Sequence[Proposal], *, inside: bool) -> list[Proposal]:
    """Make one watch of those that differ only in the last folder of their path; that folder names the experiment."""
    groups: dict[tuple[str, str, str], list[Proposal]] = {}
    for proposal in proposals:
        above = posixpath.dirname(proposal.path)
        alone = (
            not (above or (inside and proposal.path))
            or proposal.experiment is not None
            or not is_name(posixpath.basename(proposal.path))
        )
        groups.setdefault((proposal.path if alone else above, proposal.glob, proposal.found), []).append(proposal)
    merged: list[Proposal] = []
    for (above, glob, _), group in groups.items():
        if len(group) == 1:
            merged += group
        else:
            merged.append(msgspec.structs.replace(group[0], path=above, glob=f"*/{glob}", experiment="{1}"))
    return merged


def _apart(proposals: Sequence[Proposal], notes: list[str]) -> list[Proposal]:
    """Leave out what lies inside another proposal's path, since two watches must not take the same files."""
    kept: list[Proposal] = []
    for proposal in sorted(proposals, key=lambda each: (each.path.count("/") if each.path else -1, each.path)):
        outer = next((each for each in kept if each.path in {proposal.path, *_parents(proposal.path)}), None)
        if outer is None:
            kept.append(proposal)
        else:
            where, what = proposal.path or ".", f"{outer.path or '.'} (glob {outer.glob})"
            notes.append(
                f"{where}: runs of {proposal.found} ({proposal.by}) lie inside {what}, which is watched instead"
            )
    return kept


def _itself(run: _Run, *, inside: bool) -> str:
    which = "the watched folder" if inside else "this folder"
    how = "watch the folder above it, from settings elsewhere: sealrun init SETTINGS-FOLDER --watch THE-FOLDER-ABOVE"
    return f"{which} is itself a run of {run.kind.found} ({run.by}): {how}"


def _at_the_top(run: _Run) -> str:
    return (
        f"{run.folder}: a run of {run.kind.found} ({run.by}) that lies directly in this folder, beside what is no run: "
        f"have runs written below a folder of their own (such as runs/{run.folder}), and watch that"
    )
