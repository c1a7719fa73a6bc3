"""``python -m benchmarks.shapes``: workloads of other shapes, published, verified, restored and compared.

Each command is a process of its own, watched from outside. Fails if anything differs, or if a process takes more than
150 MiB above a bare interpreter. ``--scale 1`` is the full size: a million tiny files, 20 GB in one, 10,000 runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks import server

LIMIT_MIB = 150
_GB = 10**9
_CHUNK = 1 << 20
_EXPERIMENT = "shapes"


class Peak(NamedTuple):
    """One process: its peak above a bare interpreter, in MiB, and the CPU seconds that it took."""

    above_mib: float
    cpu: float


class Room(NamedTuple):
    """Where one shape is tried: `folder` holds its sources, its settings, its state and what is restored."""

    folder: Path
    bare_mib: float

    def command(self, *words: str) -> Peak:
        """Run ``sealrun WORDS`` to its end; `RuntimeError` says what it complained of if it fails."""
        log = self.folder / "log"
        with log.open("wb") as out:
            peak = _watched([sys.executable, "-m", "sealrun", *words], self._environment(), out.fileno())
        if peak is None:
            msg = f"sealrun {words[0]} failed: {log.read_text(errors='replace')[-400:]}"
            raise RuntimeError(msg)
        return Peak(peak.above_mib - self.bare_mib, peak.cpu)

    def settle(self, url: str, endpoint: str, *, plain: bool) -> None:
        """Write the settings: one registry, and a watch of ``drops``."""
        lines = ["version = 1", "[registry.main]", f"url = {json.dumps(url)}"]
        lines += ["packs = false"] if plain else []
        lines += ["[registry.main.storage_options]", f"endpoint_url = {json.dumps(endpoint)}"] if endpoint else []
        lines += ["[[watch]]", 'name = "drops"', f"path = {json.dumps(str(self.folder / 'drops'))}"]
        lines += [f"experiment = {json.dumps(_EXPERIMENT)}", 'settle = "0s"']
        (self.folder / "sealrun.toml").write_text("\n".join(lines) + "\n")

    def _environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "AWS_ACCESS_KEY_ID": server.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": server.SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "SEALRUN_HOME": str(self.folder / "state"),
            "SEALRUN_CONFIG": str(self.folder / "sealrun.toml"),
        }


Shape = Callable[[Room, float], Iterator[tuple[str, Peak]]]


def tiny_files(room: Room, scale: float) -> Iterator[tuple[str, Peak]]:
    """A million files of 200 bytes, a thousand in each folder."""
    source = room.folder / "tiny"
    for number in range(max(1, int(1_000_000 * scale))):
        if number % 1000 == 0:
            folder = source / f"{number // 1000:04}"
            folder.mkdir(parents=True)
        (folder / f"{number % 1000:03}").write_bytes(f"{number} ".encode().ljust(200, b"."))
    yield from _there_and_back(room, source)


def one_large_file(room: Room, scale: float) -> Iterator[tuple[str, Peak]]:
    """One file of 20 GB, of which a MiB in every 64 is random and the rest a hole."""
    source = room.folder / "large"
    source.mkdir()
    size = int(20 * _GB * scale)
    with (source / "checkpoint.bin").open("wb") as file:
        for begin in range(0, size, 64 * _CHUNK):
            file.seek(begin)
            file.write(os.urandom(min(_CHUNK, size - begin)))
        file.truncate(size)
    yield from _there_and_back(room, source)


def deep_tree(room: Room, scale: float) -> Iterator[tuple[str, Peak]]:
    """Folders 200 deep, a file in each, and an empty folder at the end."""
    source = folder = room.folder / "deep"
    for depth in range(max(2, int(200 * min(1.0, scale * 20)))):
        folder = folder / "d"
        folder.mkdir(parents=True)
        (folder / "f").write_bytes(b"%d" % depth)
    (folder / "empty").mkdir()
    yield from _there_and_back(room, source)


def many_tiny_runs(room: Room, scale: float) -> Iterator[tuple[str, Peak]]:
    """10,000 runs of three tiny files, dropped at once."""
    drops = room.folder / "drops"
    runs = max(1, int(10_000 * scale))
    for number in range(runs):
        run = drops / f"run{number:06}"
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps({"number": number}))
        (run / "log.txt").write_bytes(b"%d\n" % number * 20)
        (run / "_SUCCESS").touch()
    yield "scan", room.command("scan", "--once")
    yield "ls", room.command("ls", _EXPERIMENT, "--json")
    listed = [json.loads(line) for line in (room.folder / "log").read_text().splitlines() if line.startswith("{")]
    if len(listed) != runs:
        msg = f"{len(listed)} of {runs} runs are listed"
        raise RuntimeError(msg)
    yield "verify", room.command("verify", "--all")
    one = next(row for row in listed if row["name"] == f"run{runs // 2:06}")
    yield "get", _restored(room, f"{_EXPERIMENT}/{one['run_id']}", drops / one["name"], "one")


def appended_log(room: Room, scale: float) -> Iterator[tuple[str, Peak]]:
    """The same run dropped ten times, its log of a GB longer each time; every revision stays what it was."""
    source = room.folder / "appended"
    source.mkdir()
    digests = []
    step = max(1, int(_GB * scale / 10))
    for revision in range(10):
        with (source / "train.log").open("ab") as file:
            for begin in range(0, step, _CHUNK):
                file.write(b"%012d\n" % revision * (min(_CHUNK, step - begin) // 13))
        (source / "config.json").write_text("{}")
        digests.append(_digest(source / "train.log"))
        yield "publish", room.command("publish", str(source), "--experiment", _EXPERIMENT, "--run-id", "log")
    yield "verify", room.command("verify", "--all")
    for revision in (1, 10):
        ref = f"{_EXPERIMENT}/log" + (f".r{revision}" if revision > 1 else "")
        got = room.folder / f"got{revision}"
        yield "get", room.command("get", ref, str(got))
        if _digest(got / "train.log") != digests[revision - 1]:
            msg = f"{ref} is not what was dropped as revision {revision}"
            raise RuntimeError(msg)


SHAPES: Mapping[str, Shape] = {
    "tiny": tiny_files,
    "large": one_large_file,
    "deep": deep_tree,
    "runs": many_tiny_runs,
    "log": appended_log,
}


def _there_and_back(room: Room, source: Path) -> Iterator[tuple[str, Peak]]:
    yield "publish", room.command("publish", str(source), "--experiment", _EXPERIMENT)
    yield "publish again", room.command("publish", str(source), "--experiment", _EXPERIMENT)
    yield "verify", room.command("verify", "--all")
    yield "get", _restored(room, f"{_EXPERIMENT}@latest", source, "got")
    yield "collect", room.command("gc", "--dry-run", "--grace", "0s")


def _restored(room: Room, ref: str, source: Path, name: str) -> Peak:
    peak = room.command("get", ref, str(room.folder / name))
    compare(source, room.folder / name)
    return peak


def compare(source: Path, restored: Path) -> None:
    """Raise `RuntimeError` naming the first path that differs; empty folders count, markers of ours do not."""
    for ours, theirs in zip(_walk(source), _walk(restored), strict=False):
        if ours[0] != theirs[0] or (ours[1] and _digest(source / ours[0]) != _digest(restored / ours[0])):
            msg = f"restored: {theirs[0]} is not {ours[0]}"
            raise RuntimeError(msg)
    if sum(1 for _ in _walk(source)) != sum(1 for _ in _walk(restored)):
        msg = "more or fewer files were restored than were dropped"
        raise RuntimeError(msg)


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield every path below, in order, and whether it is a file."""
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(folder / here) as entries:
            found = sorted((f"{here}{entry.name}", entry.is_dir()) for entry in entries)
        for path, is_folder in found:
            yield path, not is_folder
        waiting += [f"{path}/" for path, is_folder in reversed(found) if is_folder]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _watched(argv: Sequence[str], environment: Mapping[str, str], out: int) -> Peak | None:
    """Run a program; None if it failed.

    The kernel counts a peak from that of whoever started the program; below our own, what was seen on the way is told.
    """
    process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    seen = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seen = max(seen, _peak_so_far(process.pid))
        time.sleep(0.01)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = used.ru_maxrss if used.ru_maxrss > ours else seen
    return None if process.returncode else Peak(peak / 1024, used.ru_utime + used.ru_stime)


def _peak_so_far(pid: int) -> int:
    """Return a program's peak up to now, in KiB."""
    with suppress(OSError, StopIteration):  # it has ended, and is not waited for yet
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return 0


def bare_interpreter() -> float:
    """Return the peak of an interpreter that does nothing, in MiB."""
    with Path(os.devnull).open("wb") as out:
        peak = _watched([sys.executable, "-c", "import time; time.sleep(0.1)"], os.environ, out.fileno())
    if peak is None:
        msg = f"{sys.executable} does not run"
        raise RuntimeError(msg)
    return peak.above_mib


def main(argv: Sequence[str] | None = None) -> int:
    """Try the shapes; print a line of JSON for each command; 1 if a peak was too high or anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="of the full size (0.1)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SHAPES), metavar="NAME,NAME")
    parser.add_argument("--s3", action="store_true", help="to SeaweedFS instead of a directory")
    parser.add_argument("--plain", action="store_true", help="without packs")
    parser.add_argument("--base", type=Path, help="folder for everything, which is left there")
    options = parser.parse_args(argv)
    bad = 0
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-shapes-")))
        base.mkdir(parents=True, exist_ok=True)
        weed = stack.enter_context(server.SeaweedFS(base / "seaweedfs")) if options.s3 else None
        bare = bare_interpreter()
        for name in options.only:
            room = Room(base / name, bare)
            room.folder.mkdir()
            url = str(room.folder / "registry")
            if weed is not None:
                weed.create_bucket(name)
                url = f"s3://{name}/registry"
            room.settle(url, weed.endpoint if weed else "", plain=options.plain)
            bad += _try(name, SHAPES[name](room, options.scale))
    return int(bool(bad))


def _try(name: str, acts: Iterator[tuple[str, Peak]]) -> int:
    """Print what one shape costs; return how many peaks were too high, and one more if it failed."""
    high = 0
    try:
        for act, peak in acts:
            over = peak.above_mib > LIMIT_MIB
            high += over
            facts = {
                "shape": name,
                "act": act,
                "above_mib": round(peak.above_mib),
                "cpu": round(peak.cpu, 2),
                "over": over,
            }
            print(json.dumps(facts), flush=True)
    except RuntimeError as error:
        print(json.dumps({"shape": name, "failed": str(error)}), flush=True)
        return high + 1
    return high


if __name__ == "__main__":
    sys.exit(main())
