"""The four workloads, the same bytes on every machine.

=============  ====================================================================================================
small          10,000 files of 10 KiB in 100 folders
large          4 files of 512 MiB
mixed          1 checkpoint of 300 MiB, 5 arrays of 20 MiB, 200 images of 100 KiB, 2,000 text files of 1 to 4 KiB
mixed again    mixed with 5% of the files changed: 100 texts, 10 images and the second half of 1 array
=============  ====================================================================================================

A scale below 1 makes fewer small files and smaller big ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

KIB = 1 << 10
MIB = 1 << 20
WORKLOADS = ("small", "large", "mixed", "mixed again")


@dataclass(frozen=True)
class Step:
    """One measured command. `place` is where the run of `workload` lies in the target, `published` its step."""

    name: str
    action: Literal["publish", "restore", "verify", "one file"]
    workload: str
    place: str
    published: str


def _after(workload: str, *rest: Step) -> tuple[Step, ...]:
    last = rest[-1] if rest else None
    place, published = (last.place, last.published) if last else (workload, workload)
    run = last.workload if last else workload
    return (
        Step(workload, "publish", workload, workload, workload),
        *rest,
        Step(f"{workload}, restored", "restore", run, place, published),
        Step(f"{workload}, one file", "one file", run, place, published),
        Step(f"{workload}, verified", "verify", run, place, published),
    )


# What is done one after the other in the same room.
SERIES: dict[str, tuple[Step, ...]] = {
    "small": _after("small", Step("small, unchanged", "publish", "small", "small", "small")),
    "large": _after("large"),
    "mixed": _after("mixed", Step("mixed again", "publish", "mixed again", "mixed again", "mixed again")),
}


@dataclass(frozen=True)
class PlannedFile:
    """One file: random bytes by seed, part after part, or text of 1 to 4 KiB where `size` is None."""

    path: str
    parts: tuple[tuple[str, int | None], ...]

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, a MiB at most at a time."""
        for seed, size in self.parts:
            yield from [_text(seed)] if size is None else _noise(seed, size)


def _noise(seed: str, size: int) -> Iterator[bytes]:
    source = random.Random(seed)  # noqa: S311 - the same bytes every time is the point
    while size > 0:
        yield source.randbytes(min(size, MIB))
        size -= MIB


def _text(seed: str) -> bytes:
    source = random.Random(seed)  # noqa: S311 - the same bytes every time is the point
    rows: list[str] = []
    wanted, size = source.randint(KIB, 4 * KIB), 0
    while size < wanted:
        rows.append(json.dumps({"step": len(rows), "seed": seed, "loss": source.random()}))
        size += len(rows[-1]) + 1
    return ("\n".join(rows) + "\n").encode()


def plan(workload: str, scale: float = 1.0) -> list[PlannedFile]:
    """Return the files of a workload."""

    def count(full: int) -> int:
        return max(1, round(full * scale))

    if workload == "small":
        return [
            PlannedFile(f"shard{i // 100:03d}/sample{i % 100:02d}.bin", ((f"small {i}", 10 * KIB),))
            for i in range(count(10_000))
        ]
    if workload == "large":
        return [PlannedFile(f"large{i}.bin", ((f"large {i}", count(512 * MIB)),)) for i in range(4)]
    return _mixed(count, "changed" if workload == "mixed again" else "")


def _mixed(count: Callable[[int], int], tag: str) -> list[PlannedFile]:
    def array(i: int) -> tuple[tuple[str, int | None], ...]:
        half = count(20 * MIB) // 2
        return (f"array {i} a", half), (f"array {i} b{tag if i == 2 else ''}", half)  # noqa: PLR2004 - any one will do

    def changed(i: int, which: int) -> str:
        return tag if i % 20 == which else ""

    texts = [
        PlannedFile(
            f"logs/epoch{i // 100:02d}/m{i:04d}.{'json' if i % 2 else 'log'}", ((f"text {i}{changed(i, 3)}", None),)
        )
        for i in range(count(2_000))
    ]
    images = [
        PlannedFile(f"plots/fig{i:03d}.png", ((f"image {i}{changed(i, 7)}", 100 * KIB),)) for i in range(count(200))
    ]
    arrays = [PlannedFile(f"arrays/part{i}.parquet", array(i)) for i in range(5)]
    return [PlannedFile("checkpoints/last.ckpt", (("checkpoint", count(300 * MIB)),)), *arrays, *images, *texts]


def generate(workload: str, base: Path, scale: float = 1.0) -> Path:
    """Write a workload below `base` and return its folder; a folder that is complete already is returned as it is."""
    folder = base / f"{workload.replace(' ', '-')}-{scale:g}"
    if folder.exists():
        return folder
    growing = folder.with_suffix(".part")
    for planned in plan(workload, scale):
        path = growing / planned.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(planned.chunks())
    return growing.rename(folder)
