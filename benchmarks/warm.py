"""``python -m benchmarks.warm``: each workload through a daemon that has been running for a while.

Starts a real ``sealrun daemon``, warms it with one tiny run, and moves each workload into its watch, complete and with
its marker, once the machine is quiet. Latency is from that moment to `published_at`, which is written after the pointer
has moved and the intent is gone. One workload follows the other, so that "mixed again" finds most of its bytes in the
registry, and "small, another run" all of them; both are new files to the daemon, which reads them. With `--marked` the
files are there before, and only the marker is written: then the two seconds for which a daemon waits after a marker are
part of the latency, and perhaps a second until it looks again. `many_runs` drops a thousand tiny runs at once.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree
from statistics import median

from benchmarks.daemons import cpu_of, daemon, peak_mib, wait_published, write_settings
from benchmarks.measuring import read_all, sync_file_system, wait_for_quiet
from benchmarks.parties import Target
from benchmarks.peers import TARGETS
from benchmarks.server import SeaweedFS
from benchmarks.workloads import generate

_WARM = "warm"
_MARKER = "_SUCCESS"
DROPS = {
    "small": "small",
    "small, another run": "small",
    "large": "large",
    "mixed": "mixed",
    "mixed again": "mixed again",
}
"""What is dropped, in this order, and the workload that it is."""


@dataclass(frozen=True)
class Warm:
    """One drop: seconds from its appearance to the run's being published, CPU seconds and peak of the daemon meanwhile.

    `peak_mib` is that of its life so far. `requests` by kind, on S3.
    """

    target: Target
    drop: str
    round: int
    seconds: float
    cpu: float
    peak_mib: float
    requests: dict[str, int] = field(default_factory=dict)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.warm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=lambda text: text.split(","), default=list(TARGETS), metavar="dir,s3")
    parser.add_argument("--rounds", type=int, default=5, help="each with a daemon and registries of its own (5)")
    parser.add_argument("--only", type=lambda text: text.split(";"), default=list(DROPS), metavar="DROP;DROP")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer small files, smaller big ones")
    parser.add_argument("--marked", action="store_true", help="write the marker last, and wait the grace after it")
    parser.add_argument("--quiet-wait", type=float, default=20, help="seconds to wait for an idle machine (20)")
    parser.add_argument("--base", type=Path, help="folder for workloads and targets; workloads found there are reused")
    parser.add_argument("--json", type=Path, help="also write every sample to this file, one JSON object on a line")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure and print the table."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemon and the server end with us
    measured: list[Warm] = []
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-warm-")))
        rooms = base.resolve() / "warm-rooms"
        stack.callback(rmtree, rooms, ignore_errors=True)
        server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if "s3" in options.targets else None
        log = stack.enter_context(options.json.open("w")) if options.json else None
        for number in range(1, options.rounds + 1):
            for target in options.targets:
                room = rooms / f"{target}-{number}"
                for warm in _visit(room, number, target, server if target == "s3" else None, options):
                    print(f"round {number}  {target:4} {warm.drop:20} {warm.seconds:6.2f} s", file=sys.stderr)
                    measured.append(warm)
                    if log:
                        print(json.dumps(asdict(warm)), file=log, flush=True)
        print(table(measured), flush=True)
    return 0


def _visit(
    room: Path, number: int, target: Target, server: SeaweedFS | None, options: argparse.Namespace
) -> Iterator[Warm]:
    """Let one daemon publish every workload, one after the other."""
    watched = room / "runs"
    watched.mkdir(parents=True)
    settings = write_settings(room, watched, server, "1h" if options.marked else "0s", f"warm-{room.name}")
    with daemon(settings, room / "log") as pid:
        _make_run(room / _WARM)
        (room / _WARM).rename(watched / _WARM)
        wait_published(pid, room, 1)
        for done, drop in enumerate(options.only, 1):
            source = generate(DROPS[drop], room.parent.parent / "workloads", options.scale)
            folder = watched / drop.replace(" ", "-").replace(",", "")
            waiting = folder if options.marked else room / folder.name
            subprocess.run(["cp", "-r", str(source), str(waiting)], check=True)  # noqa: S603, S607 - inodes of its own
            read_all(waiting)
            sync_file_system(room)
            wait_for_quiet(options.quiet_wait)
            asked, used = server.requests() if server else Counter[str](), cpu_of(pid)
            if options.marked:
                (folder / _MARKER).touch()
            else:
                (waiting / _MARKER).touch()
                waiting.rename(folder)
            since = time.time()
            published = wait_published(pid, room, 1 + done, pause_s=0.05)[str(folder)]
            yield Warm(
                target,
                drop,
                number,
                published - since,
                cpu_of(pid) - used,
                peak_mib(pid),
                dict(server.requests() - asked) if server else {},
            )


def _make_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "metrics.json").write_text("{}")
    (folder / _MARKER).touch()


def table(measured: Sequence[Warm]) -> str:
    """Return Markdown: a row for each target and drop; medians, with the range of the latencies."""
    lines = ["| target | dropped | marker to pointer s (range) | CPU s | daemon's peak MiB | requests |"]
    lines += ["|---|---|---|---|---|---|"]
    for target, drop in dict.fromkeys((one.target, one.drop) for one in measured):
        these = [one for one in measured if (one.target, one.drop) == (target, drop)]
        seconds = [one.seconds for one in these]
        fields = (
            target,
            drop,
            f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
            f"{median(one.cpu for one in these):.2f}",
            f"{max(one.peak_mib for one in these):.0f}",
            " ".join(f"{kind} {count:,}" for kind, count in sorted(these[-1].requests.items())),
        )
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
