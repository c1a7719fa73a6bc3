"""``python -m benchmarks.engines``: what an engine brings verify, a collection's plan and import, and what it costs.

Each command is a process of its own, over the same registries, all engines by turns; medians of ``--rounds``. CPU and
memory are of the process and of what it started and saw end; memory is that of the largest of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks.growing import Shape, grow
from benchmarks.places import Directory

_ENGINES = (None, "threads", "processes", "dask")
_MIB = 1 << 20
_NEW = "-new"


class Case(NamedTuple):
    """A command over a registry that was written before, or with a name that ends so, over a new one."""

    name: str
    registry: str
    arguments: tuple[str, ...]


class Cost(NamedTuple):
    """What one process took."""

    wall: float
    cpu: float
    mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the registries, run everything, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5000, help="tiny runs in one registry, of four objects each")
    parser.add_argument("--large", type=int, default=2048, help="MiB of large objects in another")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--base", type=Path, help="where registries are written (default: the temporary folder)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.base, prefix="engines-") as folder:
        cases = list(_cases(Path(folder), asked.runs, asked.large))
        costs = _rounds(Path(folder), cases, asked.rounds, asked.jobs)
        print("| | engine | wall s | CPU s | MiB |\n|---|---|---|---|---|")
        for (name, engine), measured in costs.items():
            wall, cpu, mib = (statistics.median(part) for part in zip(*measured, strict=True))
            print(f"| {name} | {engine or 'default'} | {wall:.2f} | {cpu:.2f} | {mib:.0f} |")
    return 0


def _cases(folder: Path, runs: int, large: int) -> Iterator[Case]:
    """Write what is looked at: tiny runs, large objects, and folders that are imported into a new registry."""
    tiny, heavy, folders = folder / "tiny", folder / "heavy", folder / "folders"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:  # what this process holds shows in the peaks
        apart.submit(_write, tiny, runs, folders, large).result()
    importing = ("import", str(folders), "--experiment", "x")
    _run(_command(folder, str(heavy), importing))
    yield Case("start", str(tiny), ("ls",))
    yield Case(f"verify {runs} runs", str(tiny), ("verify", "--all", "--quiet"))
    yield Case(f"verify {large} MiB", str(heavy), ("verify", "--all", "--quiet"))
    yield Case(f"gc --dry-run, {runs} runs", str(tiny), ("gc", "--dry-run", "--quiet"))
    yield Case(f"import {large} MiB", f"{folder}/imported{_NEW}", importing)


def _write(tiny: Path, runs: int, folders: Path, large: int) -> None:
    for _ in grow(Directory(tiny), Shape(runs=runs, files=4, size=10_000)):
        pass
    for number in range(max(2, large // 64)):
        run = folders / f"run-{number:04}"
        run.mkdir(parents=True)
        (run / "model.bin").write_bytes(os.urandom(64 * _MIB))
        (run / "log.txt").write_text(f"run {number}\n")


def _rounds(folder: Path, cases: Sequence[Case], rounds: int, jobs: int) -> dict[tuple[str, str | None], list[Cost]]:
    costs: dict[tuple[str, str | None], list[Cost]] = {}
    for number in range(rounds):
        for case in cases:
            for engine in _ENGINES if case.name != "start" else (None,):
                engaged = () if engine is None else ("--engine", engine, "--jobs", str(jobs))
                registry = case.registry.replace(_NEW, f"-{number}-{engine}")
                cost = _run(_command(folder, registry, (*case.arguments, *engaged)))
                costs.setdefault((case.name, engine), []).append(cost)
    return costs


def _command(folder: Path, registry: str, arguments: Sequence[str]) -> list[str]:
    settings = folder / "sealrun.toml"
    settings.write_text(f'version = 1\nstate = "{folder}/state"\n[registry.main]\nurl = "{registry}"\n')
    return [sys.executable, "-m", "sealrun", "--config", str(settings), *arguments]


def _run(command: Sequence[str]) -> Cost:
    """Run a command to its end; whatever it found, it must not have failed."""
    began = time.monotonic()
    child = subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        msg = f"{' '.join(command)}: exit code {child.returncode}"
        raise RuntimeError(msg)
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
