"""Run folders that frameworks left (`tests/fixtures/frameworks`), on disk and in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

RECORDED = Path(__file__).parents[1] / "fixtures" / "frameworks"
_EMPTY = "EMPTY.json"
ENDS = {
    "hf-trainer/between-4.38": ("silent", "unknown"),
    "hf-trainer/early": ("finished", "success"),
    "hf-trainer/finished": ("finished", "success"),
    "hf-trainer/last-checkpoint": ("finished", "success"),
    "hf-trainer/only-model": ("silent", "unknown"),
    "hf-trainer/raised": ("running", "unknown"),
    "hf-trainer/running": ("running", "unknown"),
    "hf-trainer/with-events": ("finished", "success"),
    "hydra/failed": ("finished", "failed"),
    "hydra/other-subdir": ("finished", "success"),
    "hydra/quiet": ("silent", "unknown"),
    "hydra/quiet-1.1": ("silent", "unknown"),
    "hydra/search": ("finished", "unknown"),
    "hydra/succeeded": ("finished", "success"),
    "hydra/sweep": ("finished", "success"),
    "hydra/sweep-deep": ("finished", "success"),
    "hydra/sweep-killed": ("running", "unknown"),
    "hydra/sweep-partial": ("finished", "partial"),
    "hydra/sweep-unsaid": ("silent", "unknown"),
    "lightning/csv-2.0": ("silent", "unknown"),
    "lightning/killed": ("silent", "unknown"),
    "lightning/no-logger": ("silent", "unknown"),
    "lightning/objects": ("silent", "unknown"),
    "lightning/quiet": ("silent", "unknown"),
    "mlflow/child": ("finished", "success"),
    "mlflow/deleted": ("finished", "success"),
    "mlflow/failed": ("finished", "failed"),
    "mlflow/finished": ("finished", "success"),
    "mlflow/killed": ("finished", "interrupted"),
    "mlflow/model-2.22": ("finished", "success"),
    "mlflow/raised-2.4": ("finished", "failed"),
    "mlflow/running": ("running", "unknown"),
    "nextflow/failed": ("finished", "failed"),
    "nextflow/running": ("running", "unknown"),
    "nextflow/succeeded": ("finished", "success"),
    "ray-tune/failed": ("finished", "partial"),
    "ray-tune/killed": ("running", "unknown"),
    "ray-tune/objects": ("finished", "success"),
    "ray-tune/restored-2.9": ("finished", "success"),
    "ray-tune/succeeded": ("finished", "success"),
    "sacred/completed": ("finished", "success"),
    "sacred/failed": ("finished", "failed"),
    "sacred/interrupted": ("finished", "interrupted"),
    "sacred/queued": ("running", "unknown"),
    "sacred/result-0.8.4": ("finished", "success"),
    "sacred/running": ("running", "unknown"),
    "sacred/timeout": ("finished", "interrupted"),
    "snakemake/failed": ("finished", "failed"),
    "snakemake/failed-8": ("finished", "failed"),
    "snakemake/interrupted": ("finished", "interrupted"),
    "snakemake/running": ("running", "unknown"),
    "snakemake/succeeded": ("finished", "success"),
    "snakemake/succeeded-7": ("finished", "success"),
    "snakemake/unlocked": ("finished", "interrupted"),
    "snakemake/until": ("finished", "partial"),
    "submitit/array": ("finished", "partial"),
    "submitit/failed": ("finished", "failed"),
    "submitit/running": ("running", "unknown"),
    "submitit/succeeded": ("finished", "success"),
    "submitit/tasks": ("finished", "success"),
    "success-file/killed": ("running", "unknown"),
    "success-file/no-mark": ("silent", "unknown"),
    "success-file/parquet": ("finished", "success"),
    "success-file/partitioned-3.3": ("finished", "success"),
    "success-file/succeeded": ("finished", "success"),
    "tensorboard/folders": ("silent", "unknown"),
    "tensorboard/hparams": ("silent", "unknown"),
    "tensorboard/quiet": ("silent", "unknown"),
    "wandb/failed": ("finished", "failed"),
    "wandb/failed-0.19": ("finished", "failed"),
    "wandb/finished": ("finished", "success"),
    "wandb/finished-0.16": ("finished", "success"),
    "wandb/gone-0.16": ("finished", "interrupted"),
    "wandb/grouped": ("finished", "failed"),
    "wandb/running": ("running", "unknown"),
}
"""What each recorded run says of its end: state and status."""


class Size(msgspec.Struct, frozen=True):
    """What `HeldLook` knows of a file."""

    size: int


class _Sizes(Mapping[str, Size]):
    """The files of a look as they are now."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = bodies

    def __getitem__(self, path: str) -> Size:
        return Size(len(self._bodies[path]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)


class HeldLook:
    """`presets.Look` at files in memory."""

    def __init__(self, bodies: Mapping[str, bytes], folders: Collection[str] = ()) -> None:
        self.bodies = dict(bodies)
        self.folders = folders

    @property
    def files(self) -> Mapping[str, Size]:
        return _Sizes(self.bodies)

    @property
    def top(self) -> Collection[str]:
        return {path.partition("/")[0] for path in self.bodies}

    def read(self, path: str, limit: int) -> bytes | None:
        body = self.bodies.get(path)
        return body if body is not None and len(body) <= limit else None

    def start(self, path: str, length: int) -> bytes | None:
        body = self.bodies.get(path)
        return None if body is None else body[:length]

    def end(self, path: str, length: int) -> bytes | None:
        body = self.bodies.get(path)
        return None if body is None else body[max(0, len(body) - length) :]


def recorded_names() -> list[str]:
    """Every recorded run: ``FRAMEWORK/END``."""
    return sorted(f"{run.parent.name}/{run.name}" for run in RECORDED.glob("*/*") if run.is_dir())


def held(name: str) -> HeldLook:
    """One recorded run, in memory."""
    home = RECORDED / name
    bodies = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return HeldLook(bodies, _empty_folders(name))


def laid_out(name: str, target: Path) -> Path:
    """One recorded run, on disk at `target`."""
    shutil.copytree(RECORDED / name, target)
    for folder in _empty_folders(name):
        (target / folder).mkdir(parents=True)
    return target


def _empty_folders(name: str) -> list[str]:
    """Git keeps no empty folders, so they are listed beside the runs, as ``END/FOLDER``."""
    framework, end = name.split("/")
    listed = RECORDED / framework / _EMPTY
    paths: list[str] = json.loads(listed.read_text()) if listed.exists() else []
    return [path.removeprefix(f"{end}/") for path in paths if path.startswith(f"{end}/")]
