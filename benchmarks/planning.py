"""``python -m benchmarks.planning``: what could be deleted, asked of sealrun, restic and dvc for the same files.

Everybody stores the same runs of a thousand small files, and forgets every tenth run; that is off the clock. Then each
is asked in turn, as a whole process, what a collection would delete: ``sealrun gc --dry-run``, ``restic prune
--dry-run``, ``dvc gc --dry`` (of the cache, on S3 of the remote, too). Nothing is deleted, so that rounds repeat the
question. sealrun and restic pack small files; sealrun-plain is told not to, and keeps one object for each as dvc does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.measuring import Usage, measure, sync_file_system, wait_for_quiet
from benchmarks.parties import Argv, Party, Room, Sealrun, Target
from benchmarks.peers import TARGETS, Dvc, Restic
from benchmarks.server import SeaweedFS

PER_RUN = 1000
FORGOTTEN = 10
"""Of so many runs one is forgotten."""
AIM = 5.0
_TIMEOUT = 3600.0


class SealrunPlanner(Sealrun):
    """With packs."""

    def store(self, room: Room, runs: Sequence[Path]) -> None:
        """Publish every run, and retire some by name."""
        _run(room, *self._command, "import", str(runs[0].parent), "--experiment", "bench")
        rows = map(json.loads, _run(room, *self._command, "ls", "bench", "--json").splitlines())
        lost = {run.name for run in runs[::FORGOTTEN]}
        _run(room, *self._command, "retire", *(f"bench/{row['run_id']}" for row in rows if row["name"] in lost))

    def plan(self, room: Room) -> Argv:  # noqa: ARG002 - the settings say where
        """Everything is new here: no grace; a tenth goes, and a bit."""
        return [*self._command, "gc", "--dry-run", "--grace", "0s"]


class SealrunPlain(SealrunPlanner):
    """One object for each file."""

    name = "sealrun-plain"

    def prepare(self, room: Room) -> list[Argv]:
        """Write the settings."""
        commands = super().prepare(room)
        path = room.folder / "sealrun.toml"
        path.write_text(path.read_text().replace("[registry.main]", "[registry.main]\npacks = false", 1))
        return commands


class ResticPlanner(Restic):
    """A snapshot for each run."""

    def store(self, room: Room, runs: Sequence[Path]) -> None:
        """Back up every run, and forget some snapshots."""
        for run in runs:
            _run(room, *self._argv(room), "backup", "--host", run.name, str(run))
        said = json.loads(_run(room, *self._argv(room), "snapshots", "--json"))
        lost = {run.name for run in runs[::FORGOTTEN]}
        _run(room, *self._argv(room), "forget", *(one["id"] for one in said if one["hostname"] in lost))

    def plan(self, room: Room) -> Argv:
        """With the cache that it keeps."""
        return [*self._argv(room), "prune", "--dry-run"]


class DvcPlanner(Dvc):
    """A tracked folder for each run."""

    def store(self, room: Room, runs: Sequence[Path]) -> None:
        """Add every run, push them to a bucket, and drop some from the workspace."""
        here = room.folder / "workspace"
        for run in runs:
            shutil.copytree(run, here / run.name)
        names = [run.name for run in runs]
        script = 'cd "$1" && shift && dvc add -q "$@"' + (" && dvc push -q" if room.target == "s3" else "")
        _run(room, "sh", "-c", script, "sh", str(here), *names)
        for name in names[::FORGOTTEN]:
            (here / f"{name}.dvc").unlink()

    def plan(self, room: Room) -> Argv:
        """Of the cache, which is where it stores things; on S3 of the remote, too."""
        where = " --cloud" if room.target == "s3" else ""
        script = f'cd "$1" && exec dvc gc --quiet --workspace --dry --force{where}'
        return ["sh", "-c", script, "sh", str(room.folder / "workspace")]


Planner = SealrunPlanner | ResticPlanner | DvcPlanner
PLANNERS: tuple[Planner, ...] = (SealrunPlanner(), SealrunPlain(), ResticPlanner(), DvcPlanner())


@dataclass(frozen=True)
class Planned:
    """One question answered. `requests` of any kind, on S3."""

    party: str
    target: Target
    files: int
    round: int
    usage: Usage
    requests: int = 0


def _run(room: Room, *argv: str) -> str:
    done = subprocess.run(argv, env=room.environment(), cwd=room.folder, capture_output=True, text=True, check=False)  # noqa: S603 - its own
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)[:200]}: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def _options(argv: Sequence[str]) -> argparse.Namespace:
    names = [party.name for party in PLANNERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planning", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=_sizes, default=[10_000, 100_000], metavar="N,N", help="10000,100000")
    parser.add_argument("--s3-files", type=_sizes, default=[10_000], metavar="N,N", help="10000; 0 for none")
    parser.add_argument("--per-run", type=int, default=PER_RUN, help=f"files in each run ({PER_RUN})")
    parser.add_argument("--parties", type=lambda text: text.split(","), default=names, help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5, help="how often everybody is asked (5)")
    parser.add_argument("--base", type=Path, help="folder to work in; it gets a folder `planning`, deleted at the end")
    parser.add_argument("--json", type=Path, help="also write every sample to this file, one JSON object on a line")
    parser.add_argument("--quiet-wait", type=float, default=20, help="seconds to wait for an idle machine (20)")
    return parser.parse_args(argv)


def _sizes(text: str) -> list[int]:
    return [size for size in map(int, text.split(",")) if size]


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 if sealrun failed."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is stopped, too
    planned: list[Planned] = []
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-planning-")))
        rooms = base.resolve() / "planning"
        stack.callback(shutil.rmtree, rooms, ignore_errors=True)
        server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if options.s3_files else None
        log = stack.enter_context(options.json.open("w")) if options.json else None
        for target in TARGETS:
            for files in options.files if target == "dir" else options.s3_files:
                for one in _ask(target, files, rooms, server if target == "s3" else None, options):
                    planned.append(one)
                    usage = one.usage
                    said = f"{target:4} {files:>9,} {one.party:14} {usage.wall:7.2f} s  cpu {usage.cpu:6.2f} s"
                    print(f"{said}  rss {usage.rss_mib:4.0f} MiB  {usage.error or ''}", file=sys.stderr, flush=True)
                    if log:
                        print(json.dumps(asdict(one)), file=log, flush=True)
        print(table(planned), flush=True)  # before thousands of files are deleted
    return int(any(one.usage.error for one in planned if one.party.startswith("sealrun")))


def _ask(
    target: Target, files: int, rooms: Path, server: SeaweedFS | None, options: argparse.Namespace
) -> Iterator[Planned]:
    """Let everybody store the same files, then ask in turn."""
    runs = make_runs(rooms / f"runs-{files}", files, options.per_run)
    parties = [party for party in PLANNERS if party.name in options.parties and party.installed(target)]
    filled: list[tuple[Planner, Room]] = []
    for party in parties:
        room = _furnish(rooms / f"{target}-{files}-{party.name}", target, party, server)
        print(f"{target:4} {files:>9,} {party.name:14} is being filled", file=sys.stderr, flush=True)
        party.store(room, runs)
        filled.append((party, room))
    sync_file_system(rooms)
    for number in range(1, options.rounds + 1):
        turn = number % len(filled)
        for party, room in (*filled[turn:], *filled[:turn]):
            wait_for_quiet(options.quiet_wait)
            asked = sum(server.requests().values()) if server else 0
            pid = server.pid if server else None
            usage = measure(party.plan(room), room.environment(), sync=None, server=pid, timeout=_TIMEOUT)
            requests = sum(server.requests().values()) - asked if server else 0
            yield Planned(party.name, target, files, number, usage, requests)


def _furnish(folder: Path, target: Target, party: Party, server: SeaweedFS | None) -> Room:
    folder.mkdir(parents=True)
    room = Room(folder, target)
    if server is not None:
        room = Room(folder, target, f"plan-{folder.name}", server.endpoint)
        server.create_bucket(room.bucket)
    else:
        room.store.mkdir()
    for argv in party.prepare(room):
        _run(room, *argv)
    return room


def make_runs(folder: Path, files: int, per_run: int = PER_RUN) -> list[Path]:
    """Write runs of small files, each with bytes of its own; return their folders. What is there is not made again."""
    runs = [folder / f"run{number:05}" for number in range(max(1, -(-files // per_run)))]
    if folder.exists():
        return runs
    for number, run in enumerate(runs):
        run.mkdir(parents=True)
        for i in range(min(per_run, files - number * per_run)):
            (run / f"part{i:04}.bin").write_bytes(b"%d of run %d " % (i, number) + b"." * 100)
    return runs


def table(planned: Sequence[Planned]) -> str:
    """Return Markdown: medians, and how many times longer each takes than sealrun in the same round."""
    lines = [
        f"| where | files | party | wall s (CPU) | wall: times sealrun's (aim: {AIM:g} for peers) | MiB | requests |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    cells: dict[tuple[Target, int, str], dict[int, Planned]] = {}
    for one in planned:
        cells.setdefault((one.target, one.files, one.party), {})[one.round] = one
    for (target, files, party), rounds in cells.items():
        good = [one for one in rounds.values() if one.usage.error is None]
        if not good:
            why = next(iter(rounds.values())).usage.error or ""
            lines.append(f"| {target} | {files:,} | {party} | {why.replace('|', '/')} | | | |")
            continue
        mine = cells.get((target, files, "sealrun"), {})
        shared = [one.usage.wall / mine[one.round].usage.wall for one in good if one.round in mine]
        fields = (
            target,
            f"{files:,}",
            party,
            f"{median(one.usage.wall for one in good):.2f} ({median(one.usage.cpu for one in good):.2f})",
            f"{median(shared):.1f}" if shared else "",
            f"{max(one.usage.rss_mib for one in good):.0f}",
            f"{good[-1].requests:,}" if target == "s3" else "",
        )
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
