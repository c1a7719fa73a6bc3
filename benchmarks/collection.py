"""``python -m benchmarks collection``: plan and sweep registries of growing size, beside plain listing and deletion."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree

from benchmarks.collecting import ENDPOINT, STEPS, Facts
from benchmarks.measuring import wait_for_quiet
from benchmarks.server import SeaweedFS

_HEADER = (
    "where",
    "objects",
    "runs",
    "listing s (CPU)",
    "plan s (CPU)",
    "wall ÷",
    "MiB",
    "keys deleted",
    "deletion s (CPU)",
    "sweep s (CPU)",
    "wall ÷",
    "MiB",
)


@dataclass(frozen=True)
class Measured:
    """One registry: the facts of every step. `listing` and `deletion` are plain ones."""

    where: str
    objects: int
    build: Facts
    walk: Facts
    plan: Facts
    sweep: Facts
    delete: Facts

    @property
    def gone(self) -> int:
        """Keys that the sweep deleted: objects, links of run folders, refs."""
        return int(self.sweep["deleted"]) + int(self.sweep["also"])


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks collection", description=__doc__)
    parser.add_argument("--objects", type=_sizes, default=[10_000, 100_000, 1_000_000], metavar="N,N", help="directory")
    parser.add_argument("--s3-objects", type=_sizes, default=[10_000], metavar="N,N", help="SeaweedFS; 0 for none")
    parser.add_argument("--rounds", type=int, default=1, help="how often (1); each on registries of its own")
    parser.add_argument("--base", type=Path, help="folder for the registries")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--quiet-wait", type=float, default=30, help="seconds to wait for an idle machine (30)")
    return parser.parse_args(argv)


def _sizes(text: str) -> list[int]:
    return [size for size in map(int, text.split(",")) if size]


def main(argv: Sequence[str]) -> int:
    """Measure and print the table. Nothing is deleted for good until all is measured: see `benchmarks.running`."""
    options = _options(argv)
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-bench-")))
        rooms = base / "rooms"
        rooms.mkdir(parents=True)
        stack.callback(rmtree, rooms, ignore_errors=True)
        server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if options.s3_objects else None
        measured = list(_measure(options, rooms, server))
    print(table(measured))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in measured], indent=1) + "\n")
    return int(any(one.sweep["failures"] or one.plan["refused"] for one in measured))


def _measure(options: argparse.Namespace, rooms: Path, server: SeaweedFS | None) -> Iterator[Measured]:
    for number in range(options.rounds):
        for objects in options.objects:
            room = rooms / f"dir-{number}-{objects}"
            room.mkdir()
            yield _run("directory", objects, str(room / "registry"), room, options.quiet_wait, {})
        if server is None:
            continue
        for objects in options.s3_objects:
            room = rooms / f"s3-{number}-{objects}"
            room.mkdir()
            server.create_bucket(room.name)
            environment = {ENDPOINT: server.endpoint}
            yield _run("S3", objects, f"s3://{room.name}", room, options.quiet_wait, environment)


def _run(where: str, objects: int, url: str, room: Path, quiet: float, environment: dict[str, str]) -> Measured:
    def step(name: str, *more: str) -> Facts:
        if name != "build":
            wait_for_quiet(quiet)
        argv = [sys.executable, "-m", "benchmarks.collecting", name, url, str(room / "spare"), *more]
        said = subprocess.run(argv, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE)  # noqa: S603
        facts: Facts = json.loads(said.stdout)
        print(f"{where} {objects:>9,} {name:7} {facts}", file=sys.stderr, flush=True)
        return facts

    built = step("build", str(objects))
    return Measured(where, objects, built, **{name: step(name) for name in STEPS})


def table(measured: Sequence[Measured]) -> str:
    """Return Markdown, a row for each registry."""
    lines = [f"| {' | '.join(_HEADER)} |", "|" + "---|" * len(_HEADER)]
    for one in measured:
        fields = (
            one.where,
            f"{one.objects:,}",
            f"{one.build['runs']:,}",
            _seconds(one.walk),
            _seconds(one.plan),
            f"{one.plan['wall'] / one.walk['wall']:.1f}",
            f"{one.plan['rss_mib']:.0f}",
            f"{one.gone:,}",
            _seconds(one.delete),
            _seconds(one.sweep),
            f"{one.sweep['wall'] / one.delete['wall']:.1f}",
            f"{one.sweep['rss_mib']:.0f}",
        )
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


def _seconds(facts: Facts) -> str:
    return f"{facts['wall']:.2f} ({facts['cpu']:.2f})"
