"""``python -m benchmarks.growth``: what more files, runs and objects cost, for each command, on a directory and S3.

Every command is a process of its own, over registries that `benchmarks.growing` wrote. Prints a line of JSON for each,
and draws its figures with ``--plots FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import server
from benchmarks.growing import Shape, grow, grow_bucket
from benchmarks.measuring import sync_file_system
from benchmarks.places import Bucket, Directory, Place
from benchmarks.plotting import Axes, Series, plot
from benchmarks.sealed_records import EXPERIMENT
from sealrun.domain.address import retired_key
from sealrun.domain.registry.publication import Retired

Facts = dict[str, Any]
_FILE = 200
_RETIRED_SHARE = 10
_STAMP = "2026-03-01T00:00:00Z"
SHAPES: Mapping[str, Callable[[int], Shape]] = {
    "runs": lambda number: Shape(runs=number, files=1),
    "objects": lambda number: Shape(runs=max(1, number // 100), files=100),
}


class Room(NamedTuple):
    """A place for one registry, and the settings and the state of who uses it."""

    folder: Path
    url: str
    endpoint: str
    plain: bool

    def command(self, *words: str) -> Facts:
        """Run one sealrun command in a process of its own; say what it cost."""
        facts = self.folder / "facts"
        argv = [sys.executable, "-m", "benchmarks.counted", str(facts), "--", *words]
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": server.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": server.SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "SEALRUN_HOME": str(self.folder / "state"),
            "SEALRUN_CONFIG": str(self.folder / "sealrun.toml"),
        }
        subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
        said: Facts = json.loads(facts.read_text())
        return said

    def settle(self) -> None:
        """Write the settings."""
        lines = ["version = 1", "[registry.main]", f"url = {json.dumps(self.url)}"]
        if self.plain:
            lines.append("packs = false")
        if self.endpoint:
            lines += ["[registry.main.storage_options]", f"endpoint_url = {json.dumps(self.endpoint)}"]
        (self.folder / "sealrun.toml").write_text("\n".join(lines) + "\n")


def measure_registry(room: Room, shape: Shape) -> Iterator[tuple[str, Facts]]:
    """Grow a registry, and try every command on it."""
    middle = _fill(room, shape)
    room.settle()
    source = room.folder / "source"
    _write_files(source, 10)
    yield "open", room.command("publish", str(source), "--experiment", EXPERIMENT)  # so that no probe is measured
    for name in ("first", "second"):
        _write_files(room.folder / name, 10, name)
    yield "publish", room.command("publish", str(room.folder / "first"), "--experiment", EXPERIMENT)
    yield "publish elsewhere", room.command("publish", str(room.folder / "second"), "--experiment", "other")
    yield "list", room.command("ls", EXPERIMENT, "--json")
    yield "resolve", room.command("show", f"{EXPERIMENT}@latest", "--json")
    yield "resolve a run", room.command("show", f"{EXPERIMENT}/{middle}", "--json")
    yield "get", room.command("get", f"{EXPERIMENT}/{middle}", str(room.folder / "got"))
    yield "verify", room.command("verify", "--all", "--json")
    yield "collect (plan)", room.command("gc", "--dry-run", "--grace", "0s", "--json")


def measure_files(room: Room, files: int) -> Iterator[tuple[str, Facts]]:
    """Publish a run of so many files, and try every command on it."""
    room.settle()
    source, small = room.folder / "source", room.folder / "small"
    _write_files(small, 10, "small")
    yield "open", room.command("publish", str(small), "--experiment", "other")  # so that no probe is measured
    _write_files(source, files)
    yield "publish", room.command("publish", str(source), "--experiment", EXPERIMENT)
    yield "publish again", room.command("publish", str(source), "--experiment", EXPERIMENT)
    (source / "one more").write_bytes(b"more")
    yield "publish one more", room.command("publish", str(source), "--experiment", EXPERIMENT)
    yield "list", room.command("ls", EXPERIMENT, "--json")
    yield "resolve", room.command("show", f"{EXPERIMENT}@latest", "--json")
    yield "get", room.command("get", f"{EXPERIMENT}@latest", str(room.folder / "got"))
    yield "verify", room.command("verify", "--all", "--json")
    yield "collect (plan)", room.command("gc", "--dry-run", "--grace", "0s", "--json")


def _fill(room: Room, shape: Shape) -> str:
    """Write a registry of which a tenth of the runs is retired; return the id of one that is not."""
    middle = ""
    retired: list[tuple[str, bytes]] = []
    if room.endpoint:
        written = grow_bucket(room.endpoint, room.url.removeprefix("s3://"), shape)
    else:
        written = grow(Directory(Path(room.url)), shape)
    for number, run in enumerate(written):
        if number % _RETIRED_SHARE == 1:
            record = Retired(attempt=run.row.attempt, retired_at=_STAMP, by="0" * 32, why="keep_last=1")
            retired.append((retired_key(run.row.attempt), record.encode()))
        elif number <= shape.runs // 2:
            middle = run.row.run_id
    place: Place = Directory(Path(room.url))
    if room.endpoint:
        place = Bucket(room.endpoint, room.url.removeprefix("s3://"))
    for key, body in retired:
        place.write(key, body)
    if not room.endpoint:
        sync_file_system(Path(room.url))
    return middle


def _write_files(folder: Path, files: int, salt: str = "") -> None:
    for number in range(files):
        inner = folder / f"{number // 1000:04}"
        if number % 1000 == 0:
            inner.mkdir(parents=True)
        (inner / f"{number % 1000:03}.txt").write_bytes(f"{salt} {number} ".encode().ljust(_FILE, b"."))


def _rooms(options: argparse.Namespace, base: Path, stack: ExitStack) -> Iterator[tuple[str, str, int, Room]]:
    weed = stack.enter_context(server.SeaweedFS(base / "seaweedfs")) if options.s3_sizes else None
    for where, sizes in (("directory", options.sizes), ("S3", options.s3_sizes)):
        for axis in options.axes:
            for size in sizes:
                folder = base / f"{where}-{axis}-{size}".lower()
                folder.mkdir()
                if where == "directory":
                    yield where, axis, size, Room(folder, str(folder / "registry"), "", options.plain)
                elif weed is not None:
                    weed.create_bucket(folder.name)
                    yield where, axis, size, Room(folder, f"s3://{folder.name}", weed.endpoint, options.plain)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=[1_000, 10_000, 100_000], metavar="N,N", help="on a directory")
    parser.add_argument("--s3-sizes", type=_sizes, default=[1_000, 10_000], metavar="N,N", help="on SeaweedFS; 0: none")
    parser.add_argument("--full", action="store_true", help="up to a million on a directory, 100,000 on S3")
    parser.add_argument("--axes", type=lambda text: text.split(","), default=["files", "runs", "objects"])
    parser.add_argument("--base", type=Path, help="folder for the registries, which are left there")
    parser.add_argument("--plain", action="store_true", help="registries without packs")
    parser.add_argument("--plots", type=Path, help="draw the figures into this folder")
    parser.add_argument("--from", dest="known", type=Path, help="measure nothing: draw these lines of JSON")
    options = parser.parse_args(argv)
    if options.full:
        options.sizes, options.s3_sizes = [*options.sizes, 1_000_000], [*options.s3_sizes, 100_000]
    return options


def _sizes(text: str) -> list[int]:
    return [size for size in map(int, text.split(",")) if size]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, draw."""
    options = _options(argv)
    if options.known:
        lines = [json.loads(line) for line in options.known.read_text().splitlines()]
    else:
        with ExitStack() as stack:
            base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-growth-")))
            base.mkdir(parents=True, exist_ok=True)
            lines = list(_measure(options, base, stack))
    if options.plots:
        draw(lines, options.plots)
    return 0


def _measure(options: argparse.Namespace, base: Path, stack: ExitStack) -> Iterator[Facts]:
    for where, axis, size, room in _rooms(options, base, stack):
        acts = measure_files(room, size) if axis == "files" else measure_registry(room, SHAPES[axis](size))
        for act, facts in acts:
            asked = sum(facts["requests"].values())
            line = {"where": where, "axis": axis, "size": size, "act": act, "asked": asked, **facts}
            print(json.dumps(line), flush=True)
            yield line


ACROSS = {"files": "files in the run", "runs": "runs in the experiment", "objects": "objects in the registry"}
UP = {"cpu": "CPU, seconds", "rss_mib": "peak memory, MiB", "asked": "requests"}


def draw(lines: Sequence[Facts], folder: Path) -> None:
    """Draw a figure for each place, axis and cost: what is measured, over the size."""
    folder.mkdir(parents=True, exist_ok=True)
    for where in dict.fromkeys(line["where"] for line in lines):
        for axis, across in ACROSS.items():
            chosen = [
                line for line in lines if (line["where"], line["axis"]) == (where, axis) and line["act"] != "open"
            ]
            for cost, up in UP.items() if chosen else ():
                series: Series = {
                    act: [(line["size"], line[cost]) for line in chosen if line["act"] == act]
                    for act in dict.fromkeys(line["act"] for line in chosen)
                }
                title = f"{up[0].upper()}{up[1:].partition(',')[0]} by {across}, {where}"
                name = f"growth-{where}-{axis}-{cost}.svg".lower().replace("_", "-")
                (folder / name).write_text(plot(Axes(title, across, up), series))


if __name__ == "__main__":
    sys.exit(main())
