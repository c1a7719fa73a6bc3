"""``python -m benchmarks.many_runs``: many tiny runs are dropped at once before a warm daemon.

Starts a real ``sealrun daemon``, warms it with one run, moves `--runs` finished folders into its watch (three small
files and ``_SUCCESS`` each) and waits until the journal says that every one is published. Latency is from the moment a
folder appeared with its marker to `published_at`, which is written after the pointer moved. With `--counted` the daemon
runs under strace, which says how many calls made something durable, and where; such a run's times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles

from benchmarks.daemons import cpu_of, daemon, wait_published, write_settings
from benchmarks.server import SeaweedFS

_STRACE = ("strace", "-f", "--seccomp-bpf", "-qq", "-y", "-e", "trace=fsync,fdatasync,syncfs")
_CALL = re.compile(r"\b(fsync|fdatasync|syncfs)\(\d+<([^>]*)>")
_FILES = ("metrics.json", "notes.txt", "weights.bin")
_WARM = "warm"


@dataclass(frozen=True)
class Dropped:
    """What one drop cost. Seconds; `syncs` by place and kind of call, `requests` by kind: both for all runs together.

    A transaction of the journal that writes ends in one sync of its log, so `transactions` counts those.
    """

    target: str
    runs: int
    seconds: float
    runs_per_s: float
    p50_s: float
    p99_s: float
    cpu_ms_per_run: float
    transactions: int | None = None
    syncs: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table and the JSON."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemon and the server end with us
    dropped: list[Dropped] = []
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-many-")))
        server = stack.enter_context(SeaweedFS(base / "server")) if options.s3 else None
        for number in range(options.rounds):
            room = base / f"room{number}"
            dropped.append(_drop(room, options.runs, server, settle=options.settle, counted=options.counted))
    _print(dropped)
    document = [asdict(each) for each in dropped]
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    else:
        print(json.dumps(document, indent=1))
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="folders dropped at once (1000)")
    parser.add_argument("--rounds", type=int, default=1, help="each in a fresh registry (1)")
    parser.add_argument(
        "--s3", action="store_true", help="publish to a SeaweedFS server of its own, not to a directory"
    )
    parser.add_argument("--settle", default="0s", help="the watch's settle time, part of every latency (0s)")
    parser.add_argument("--counted", action="store_true", help="count calls instead of seconds, by strace")
    parser.add_argument("--base", type=Path, help="an empty folder to work in, which is left as it is")
    parser.add_argument("--json", type=Path, help="write the samples to this file instead")
    return parser.parse_args(argv)


def _drop(room: Path, runs: int, server: SeaweedFS | None, *, settle: str, counted: bool) -> Dropped:
    """Measure one drop in a fresh registry below `room`."""
    watched, waiting = room / "runs", room / "waiting"
    watched.mkdir(parents=True)
    names = [_WARM, *(f"run{number:05d}" for number in range(runs))]
    for name in names:
        _make_run(waiting / name)
    settings = write_settings(room, watched, server, settle, f"many-{room.name}")
    trace = room / "trace" if counted else None
    tracer = [*_STRACE, "-o", str(trace)] if trace else []
    with daemon(settings, room / "log", tracer) as pid:
        (waiting / _WARM).rename(watched / _WARM)
        wait_published(pid, room, 1)
        asked = server.requests() if server else Counter()
        traced = trace.stat().st_size if trace else 0
        cpu, began = cpu_of(pid), time.time()
        appeared: dict[str, float] = {}
        for name in names[1:]:
            (waiting / name).rename(watched / name)
            appeared[str(watched / name)] = time.time()
        published = wait_published(pid, room, 1 + runs)
        ended = max(published.values())
        used = cpu_of(pid) - cpu
        requests = server.requests() - asked if server else Counter()
        syncs = _syncs(trace, traced, room) if trace else {}
    latencies = sorted(published[path] - at for path, at in appeared.items())
    return Dropped(
        target="s3" if server else "dir",
        runs=runs,
        seconds=ended - began,
        runs_per_s=runs / (ended - began),
        p50_s=quantiles(latencies, n=100)[49],
        p99_s=quantiles(latencies, n=100)[98],
        cpu_ms_per_run=1000 * used / runs,
        transactions=syncs.get("journal", 0) if trace else None,
        syncs=syncs,
        requests=dict(requests),
    )


def _make_run(folder: Path) -> None:
    """Three small files that no other run has, and the marker."""
    folder.mkdir(parents=True)
    source = random.Random(folder.name)  # noqa: S311 - the same bytes every time is the point
    for name in _FILES:
        (folder / name).write_bytes(source.randbytes(source.randint(200, 2000)))
    (folder / "_SUCCESS").touch()


def _syncs(trace: Path, offset: int, room: Path) -> dict[str, int]:
    """Count the calls in a trace from `offset` on: the journal's, and each kind of the others."""
    counts: Counter[str] = Counter()
    with trace.open("rb") as file:
        file.seek(offset)
        for line in file:
            found = _CALL.search(line.decode(errors="replace"))
            if found is not None:
                inside = found[2].startswith(f"{room}/state/")
                counts["journal" if inside else f"registry {found[1]}"] += 1
    return dict(counts)


def _print(dropped: Sequence[Dropped]) -> None:
    print(
        "| target | runs | runs/s | p50 s | p99 s | CPU ms/run | journal syncs/run | other syncs/run | requests/run |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for each in dropped:
        others = sum(count for place, count in each.syncs.items() if place != "journal")
        counted = each.transactions is not None
        fields = [
            each.target,
            f"{each.runs:,}",
            f"{each.runs_per_s:.1f}",
            f"{each.p50_s:.2f}",
            f"{each.p99_s:.2f}",
            f"{each.cpu_ms_per_run:.1f}",
            f"{(each.transactions or 0) / each.runs:.2f}" if counted else "",
            f"{others / each.runs:.2f}" if counted else "",
            f"{sum(each.requests.values()) / each.runs:.1f}" if each.requests else "",
        ]
        print(f"| {' | '.join(fields)} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
