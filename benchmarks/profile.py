"""``python -m benchmarks.profile WORKLOAD TARGET``: where sealrun's time goes by phase, beside the packed floor's.

One sample of each, the machine's noise included: trust shares and CPU. Sampling costs a few percent itself. "wall" is
what the main thread was in, "CPU" that of all threads, while they were in that phase; what is missing to the whole is
the interpreter's start and end.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import Usage, measure, read_all, sync_file_system
from benchmarks.parties import Argv, FloorPack, Party, Room, Sealrun, Target
from benchmarks.running import command
from benchmarks.server import SeaweedFS
from benchmarks.workloads import SERIES, Step, generate

_SHORT = {"w1": "small", "w2": "large", "w3": "mixed"}
_FUNCTIONS = 15
_MODULES = 12
_TIMEOUT = 600.0
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| +(\S+)")


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("workload", choices=[*SERIES, *_SHORT])
    parser.add_argument("target", choices=["dir", "s3"])
    parser.add_argument("--action", choices=["publish", "again", "restore", "verify"], default="publish")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer small files, smaller big ones")
    parser.add_argument("--base", type=Path, help="folder for workloads and targets; workloads found there are reused")
    options = parser.parse_args(argv)
    steps = _steps(_SHORT.get(options.workload, options.workload), options.action)
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-profile-")))
        sources = {
            step.workload: generate(step.workload, base.resolve() / "workloads", options.scale) for step in steps
        }
        rooms = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rooms-", dir=base))).resolve()
        server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if options.target == "s3" else None
        for party in (Sealrun(), FloorPack()):
            room = _room(rooms / party.name, party, options.target, server)
            print("\n".join(_profile(party, room, steps, sources, server)), flush=True)
        room = _room(rooms / "imports", Sealrun(), options.target, server)
        print("\n".join(_imports(room, sources[steps[0].workload], steps[0])))
    return 0


def _steps(workload: str, action: str) -> list[Step]:
    """What is done before, and last what is looked at."""
    series = SERIES[workload]
    if action == "publish":
        return [series[0]]
    if action == "again":
        published = [step for step in series if step.action == "publish"]
        return published if len(published) > 1 else [*published, *published]
    return [*(step for step in series if step.action == "publish"), *(s for s in series if s.action == action)]


def _room(folder: Path, party: Party, target: Target, server: SeaweedFS | None) -> Room:
    folder.mkdir()
    if server is None:
        room = Room(folder, target)
        room.store.mkdir()
    else:
        room = Room(folder, target, f"bench-{folder.name}", server.endpoint)
        server.create_bucket(room.bucket)
    for argv in party.prepare(room):
        done = subprocess.run(argv, env=room.environment(), check=False, capture_output=True, text=True)  # noqa: S603 - its own
        if done.returncode:
            raise SystemExit(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return room


def _profile(
    party: Party, room: Room, steps: Sequence[Step], sources: Mapping[str, Path], server: SeaweedFS | None
) -> Iterator[str]:
    *before, last = steps
    for step in before:
        _measure(_command(party, room, sources, step), room, server)
    read_all(sources[last.workload])
    sync_file_system(room.folder)
    argv, output = _command(party, room, sources, last), room.folder / "profile.json"
    module = argv.index("-m") + 1
    usage = _measure([*argv[:module], "benchmarks.sampled", str(output), *argv[module:]], room, server)
    found = json.loads(output.read_text())
    yield from ("", f"{party.name}, {room.target}, {last.name}: wall {usage.wall:.2f} s, CPU {usage.cpu:.2f} s", "")
    yield from ("| phase | wall s | CPU s |", "|---|---|---|")
    for phase in sorted({*found["wall"], *found["cpu"]}, key=lambda each: -found["cpu"].get(each, 0.0)):
        yield f"| {phase} | {found['wall'].get(phase, 0.0):.2f} | {found['cpu'].get(phase, 0.0):.2f} |"
    rest = [usage.wall - sum(found["wall"].values()), usage.cpu - sum(found["cpu"].values())]
    yield f"| start, end and the sampler | {rest[0]:.2f} | {rest[1]:.2f} |"
    yield from ("", "| function | CPU s |", "|---|---|")
    for name, seconds in sorted(found["functions"].items(), key=lambda each: -each[1])[:_FUNCTIONS]:
        yield f"| {name} | {seconds:.2f} |"


def _command(party: Party, room: Room, sources: Mapping[str, Path], step: Step) -> Argv:
    argv = command(party, room, sources[step.workload], step, room.folder / "restored")
    if argv is None:
        raise SystemExit(f"{party.name} does no such thing: {step.name}")
    return argv


def _measure(argv: Argv, room: Room, server: SeaweedFS | None) -> Usage:
    usage = measure(argv, room.environment(), sync=None if server else room.folder, server=None, timeout=_TIMEOUT)
    if usage.error is not None:
        raise SystemExit(f"{' '.join(argv)}: {usage.error}")
    return usage


def _imports(room: Room, source: Path, step: Step) -> Iterator[str]:
    """What importing costs one publication, by the interpreter's own account."""
    argv = Sealrun().publish(room, source, step)
    traced = [argv[0], "-X", "importtime", *argv[1:]]
    said = subprocess.run(traced, env=room.environment(), capture_output=True, text=True, check=True).stderr  # noqa: S603 - sealrun
    lines = [(int(own), int(whole), name) for own, whole, name in _LINE.findall(said)]
    total = sum(own for own, _, _ in lines) / 1000
    yield from (
        "",
        f"imports: {len(lines)} modules, {total:.0f} ms",
        "",
        "| module | own ms | with its own imports ms |",
    )
    yield "|---|---|---|"
    for own, whole, name in sorted(lines, key=lambda each: -each[0])[:_MODULES]:
        yield f"| {name} | {own / 1000:.1f} | {whole / 1000:.1f} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
