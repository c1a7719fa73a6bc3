"""``python -m benchmarks.shapes``: workloads of other shapes, published, verified, restored and compared, peers beside.

=====  =======================================================================================================
tiny   a million files of 200 bytes
large  one file of 20 GB, without holes
deep   folders 200 deep, and an empty one at the end
runs   10,000 runs of three tiny files, dropped at once: ``sealrun scan --once``; others take the whole folder
log    a run that is published ten times, its log of a GB longer by a tenth each time
=====  =======================================================================================================

Each command is a process of its own, watched from outside. Fails if anything that sealrun restored differs, or if one
of its processes takes more than 150 MiB above a bare interpreter. ``--scale 1`` is the full size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks import shape_sources as sources
from benchmarks.parties import Party, Room, Sealrun, Target
from benchmarks.peers import PARTIES
from benchmarks.server import SeaweedFS
from benchmarks.workloads import Step

LIMIT_MIB = 150
_EXPERIMENT = "shapes"
_PEERS = ("floor-pack", "restic", "rclone", "borg", "casync", "s5cmd")
_REVISIONS = 10


class Cost(NamedTuple):
    """One process: its peak above a bare interpreter in MiB, its CPU seconds (children included), its wall seconds."""

    above_mib: float
    cpu: float
    wall: float


@dataclass(frozen=True)
class Place:
    """Where one party is tried with one shape: its room, the shape's source, and how large it is."""

    room: Room
    source: Path
    bare_mib: float
    scale: float

    def run(self, *argv: str) -> Cost:
        """Run a command to its end; `RuntimeError` says what it complained of if it fails."""
        log = self.log
        with log.open("wb") as out:
            cost = watched(argv, self.room.environment(), out.fileno())
        if cost is None:
            msg = f"{' '.join(argv)[:120]} failed: {log.read_text(errors='replace')[-400:]}"
            raise RuntimeError(msg)
        return cost._replace(above_mib=cost.above_mib - self.bare_mib)

    def sealrun(self, *words: str) -> Cost:
        """Run ``sealrun WORDS``."""
        return self.run(sys.executable, "-m", "sealrun", *words)

    @property
    def log(self) -> Path:
        """What the latest command said."""
        return self.room.folder / "log"


Acts = Iterator[tuple[str, Cost]]


class Shape(NamedTuple):
    """How a shape is made, at first; what sealrun does with it; by which workload's flags peers treat it."""

    make: Callable[[Path, float], None]
    acts: Callable[[Place], Acts]
    like: str
    revisions: int = 1


def _there_and_back(place: Place) -> Acts:
    yield "publish", place.sealrun("publish", str(place.source), "--experiment", _EXPERIMENT)
    yield "publish again", place.sealrun("publish", str(place.source), "--experiment", _EXPERIMENT)
    yield "verify", place.sealrun("verify", "--all")
    yield "get", _restored(place, f"{_EXPERIMENT}@latest", place.source)
    yield "collect", place.sealrun("gc", "--dry-run", "--grace", "0s")


def _restored(place: Place, ref: str, source: Path) -> Cost:
    cost = place.sealrun("get", ref, str(place.room.folder / "got"))
    sources.compare(source, place.room.folder / "got")
    return cost


def _many_runs(place: Place) -> Acts:
    runs = sum(1 for _ in place.source.iterdir())
    yield "scan", place.sealrun("scan", "--once")
    yield "ls", place.sealrun("ls", _EXPERIMENT, "--json")
    listed = [json.loads(line) for line in place.log.read_text().splitlines() if line.startswith("{")]
    if len(listed) != runs:
        msg = f"{len(listed)} of {runs} runs are listed"
        raise RuntimeError(msg)
    yield "verify", place.sealrun("verify", "--all")
    one = next(row for row in listed if row["name"] == f"run{runs // 2:06}")
    yield "get", _restored(place, f"{_EXPERIMENT}/{one['run_id']}", place.source / one["name"])


def _appended_log(place: Place) -> Acts:
    digests = []
    for revision in range(1, _REVISIONS + 1):
        sources.append_log(place.source, place.scale, revision)
        digests.append(sources.digest(place.source / "train.log"))
        words = ("publish", str(place.source), "--experiment", _EXPERIMENT, "--run-id", "log")
        yield f"publish {revision}", place.sealrun(*words)
    yield "verify", place.sealrun("verify", "--all")
    for revision in (1, _REVISIONS):
        ref = f"{_EXPERIMENT}/log" + (f".r{revision}" if revision > 1 else "")
        got = place.room.folder / f"got{revision}"
        yield "get", place.sealrun("get", ref, str(got))
        if sources.digest(got / "train.log") != digests[revision - 1]:
            msg = f"{ref} is not what was dropped as revision {revision}"
            raise RuntimeError(msg)


SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(sources.tiny_files, _there_and_back, "small"),
    "large": Shape(sources.one_large_file, _there_and_back, "large"),
    "deep": Shape(sources.deep_tree, _there_and_back, "mixed"),
    "runs": Shape(sources.tiny_runs, _many_runs, "small"),
    "log": Shape(lambda folder, scale: sources.append_log(folder, scale, 0), _appended_log, "large", _REVISIONS),
}


def _prepared(party: Party, place: Place) -> Acts:
    """Do what comes before the first use; that is nobody's cost."""
    for argv in party.prepare(place.room):
        place.run(*argv)
    yield from ()


def _peer_acts(party: Party, shape: Shape, place: Place) -> Acts:
    """Publish (each revision of a log again), and bring the last back."""
    for revision in range(1, shape.revisions + 1):
        if shape.revisions > 1:
            sources.append_log(place.source, place.scale, revision)
        name = f"{shape.like} {revision}" if revision > 1 else shape.like
        step = Step(name, "publish", shape.like, shape.like, name)
        for argv in party.ready(place.room, place.source, step):
            place.run(*argv)
        act = f"publish {revision}" if shape.revisions > 1 else "publish"
        yield act, place.run(*party.publish(place.room, place.source, step))
    restore = party.restore(place.room, replace(step, action="restore"), place.room.folder / "got")
    if restore is not None:
        yield "get", place.run(*restore)


def watched(argv: Sequence[str], environment: Mapping[str, str], out: int) -> Cost | None:
    """Run a program; None if it failed. Its peak is not yet taken against a bare interpreter's.

    The kernel counts a peak from that of whoever started the program; below our own, what was seen on the way is told.
    """
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)  # noqa: S603 - a party's
    seen = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seen = max(seen, _peak_so_far(process.pid))
        time.sleep(0.01)
    wall = time.perf_counter() - began
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = used.ru_maxrss if used.ru_maxrss > ours else seen
    return None if process.returncode else Cost(peak / 1024, used.ru_utime + used.ru_stime, wall)


def _peak_so_far(pid: int) -> int:
    """Return a program's peak up to now, in KiB."""
    with suppress(OSError, StopIteration):  # it has ended, and is not waited for yet
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return 0


def bare_interpreter() -> float:
    """Return the peak of an interpreter that does nothing, in MiB."""
    with Path(os.devnull).open("wb") as out:
        cost = watched([sys.executable, "-c", "import time; time.sleep(0.1)"], os.environ, out.fileno())
    if cost is None:
        msg = f"{sys.executable} does not run"
        raise RuntimeError(msg)
    return cost.above_mib


def main(argv: Sequence[str] | None = None) -> int:
    """Try the shapes; print a line of JSON for each command; 1 if a peak was too high or sealrun failed."""
    names = [party.name for party in PARTIES]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shapes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=0.1, help="of the full size (0.1)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SHAPES), metavar="NAME,NAME")
    parser.add_argument("--s3", action="store_true", help="to SeaweedFS instead of a directory")
    parser.add_argument("--plain", action="store_true", help="sealrun without packs")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=list(_PEERS), help=", ".join(names))
    parser.add_argument("--base", type=Path, help="folder for everything, which is left there")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is stopped, too
    target: Target = "s3" if options.s3 else "dir"
    peers = set(options.peers) - {_Mine.name}
    parties = [party for party in PARTIES if party.name in peers and target in party.targets]
    bad = 0
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-shapes-")))
        base.mkdir(parents=True, exist_ok=True)
        weed = stack.enter_context(SeaweedFS(base / "seaweedfs")) if options.s3 else None
        bare, mine = bare_interpreter(), _Mine(plain=options.plain)
        for name in options.only:
            shape = SHAPES[name]
            for party in (mine, *(party for party in parties if party.installed(target))):
                source = base / f"{name}-{'source' if shape.revisions == 1 else party.name}"
                if not source.exists():
                    shape.make(source, options.scale)
                room = _furnish(base / f"{name}-{party.name}-room", target, weed)
                place = Place(room, source, bare, options.scale)
                acts = shape.acts(place) if party is mine else _peer_acts(party, shape, place)
                acts = chain(_prepared(party, place), acts)
                bad += _try(name, party.name, acts, limit=LIMIT_MIB if party is mine else None)
    return int(bool(bad))


class _Mine(Sealrun):
    """sealrun, with a watch of the folder of runs that lies beside its room."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain

    def prepare(self, room: Room) -> list[list[str]]:
        """Add the watch to the settings, and no packs if none are wanted."""
        commands = super().prepare(room)
        path = room.folder / "sealrun.toml"
        text = path.read_text()
        if self._plain:
            text = text.replace("[registry.main]", "[registry.main]\npacks = false", 1)
        watched_folder = json.dumps(str(room.folder.parent / "runs-source"))
        lines = ["[[watch]]", 'name = "drops"', f"path = {watched_folder}"]
        lines += [f"experiment = {json.dumps(_EXPERIMENT)}", 'settle = "0s"', ""]
        path.write_text(text + "\n".join(lines))
        return commands


def _furnish(folder: Path, target: Target, weed: SeaweedFS | None) -> Room:
    folder.mkdir()
    if weed is None:
        room = Room(folder, target)
        room.store.mkdir()
        return room
    bucket = folder.name.lower().replace(" ", "")
    weed.create_bucket(bucket)
    return Room(folder, target, bucket, weed.endpoint)


def _try(shape: str, party: str, acts: Acts, limit: float | None) -> int:
    """Print what one shape costs one party; return how many peaks were too high, and one more if it failed.

    Without a limit, for a peer, nothing counts.
    """
    high = 0
    facts: dict[str, object]
    try:
        for act, cost in acts:
            over = limit is not None and cost.above_mib > limit
            high += over
            facts = {"shape": shape, "party": party, "act": act, "wall": round(cost.wall, 2)}
            facts |= {"above_mib": round(cost.above_mib), "cpu": round(cost.cpu, 2), "over": over}
            print(json.dumps(facts), flush=True)
    except RuntimeError as error:
        print(json.dumps({"shape": shape, "party": party, "failed": str(error)}), flush=True)
        return high + (limit is not None)
    return high


if __name__ == "__main__":
    sys.exit(main())
