"""``python -m benchmarks.slow``: publish and restore over a slow line, and say what sealrun waited for.

A proxy before SeaweedFS holds every request back for 20 ms, and in a second series for 200 ms; all connections share
50 MB/s each way. It also counts: kinds of requests are as the clients sent them, repeated ones included. Preparing a
repository is off the clock, and not slowed. After the tables come sealrun's waves: which requests it waited for, one
after the other.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shutil import rmtree

from tests.servers.delaying import DelayingProxy, Distance, delaying_requests
from tests.servers.recording import Exchange

from benchmarks.parties import Party, Target
from benchmarks.peers import PARTIES
from benchmarks.report import tables
from benchmarks.running import Sample, Settings, run_round
from benchmarks.server import SeaweedFS
from benchmarks.waves import kind, table, waves
from benchmarks.workloads import SERIES, Step, generate

_SHORT = {"w1": "small", "w2": "large", "w3": "mixed"}
_PARTIES = ("sealrun", "floor-pack", "rclone", "s5cmd", "restic")
_ACTIONS = ("publish", "restore")
_SHOWN = ("sealrun",)
_TARGET: Target = "s3"


class FarAway:
    """A server of which clients see only the proxy in front; what the harness asks goes past it."""

    def __init__(self, server: SeaweedFS, proxy: DelayingProxy) -> None:
        """Count from nothing."""
        self._server, self._proxy = server, proxy
        self._counts: Counter[str] = Counter()
        self.latest: list[Exchange] = []
        self.endpoint = proxy.url
        self.pid = server.pid

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket."""
        self._server.create_bucket(bucket)

    def drop_bucket(self, bucket: str) -> None:
        """Delete a bucket with everything in it."""
        self._server.drop_bucket(bucket)

    def stored(self, bucket: str) -> tuple[int, int]:
        """Return how many objects a bucket holds, and their bytes."""
        return self._server.stored(bucket)

    def requests(self) -> Counter[str]:
        """Return how many requests of each kind came so far; those since the last call are `latest`."""
        self.latest = self._proxy.take_exchanges()
        self._counts.update(kind(exchange.request) for exchange in self.latest)
        return self._counts.copy()


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.slow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latencies", type=_numbers, default=[20.0, 200.0], metavar="MS,MS", help="20,200")
    parser.add_argument("--bandwidth", type=float, default=50, help="MB/s each way, shared (50)")
    parser.add_argument("--workloads", type=_names([*SERIES, *_SHORT]), default=["small", "mixed"], metavar="A,B")
    names = [party.name for party in PARTIES if _TARGET in party.targets]
    parser.add_argument("--parties", type=_names(names), default=list(_PARTIES), metavar="A,B", help=", ".join(names))
    parser.add_argument("--actions", type=_names(_ACTIONS), default=list(_ACTIONS), metavar="A,B")
    parser.add_argument("--rounds", type=int, default=3, help="how often every party takes its turn (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer small files, smaller big ones")
    parser.add_argument("--base", type=Path, help="folder for workloads and targets; workloads found there are reused")
    parser.add_argument("--json", type=Path, help="also write every sample to this file, one JSON object on a line")
    parser.add_argument("--report", type=Path, help="also write the report to this file")
    parser.add_argument("--quiet-wait", type=float, default=10, help="seconds to wait for an idle machine (10)")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds after which a command is killed (1200)")
    return parser.parse_args(argv)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


class _names:  # noqa: N801 - an argparse type, as `int` is one
    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := set(chosen) - set(self._known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(self._known)}")
        return chosen


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 if a command of sealrun failed."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is stopped, too
    parties = [party for party in PARTIES if party.name in options.parties]
    lines: list[str] = []
    failed = False
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-slow-")))
        rooms = base.resolve() / "rooms"
        stack.callback(rmtree, rooms, ignore_errors=True)
        server = stack.enter_context(SeaweedFS(rooms / "seaweedfs"))
        proxy = stack.enter_context(delaying_requests(server.endpoint))
        log = stack.enter_context(options.json.open("w")) if options.json else None
        for latency in options.latencies:
            distance = Distance(latency / 1000, options.bandwidth * 1e6)
            far = FarAway(server, proxy)
            settings = Settings(
                base.resolve(),
                far,
                options.quiet_wait,
                options.timeout,
                frozenset(options.actions),
                around=partial(proxy.slowed, distance),
                tag=f"{latency:g}ms",
            )
            samples, shown = _measure(options, parties, settings, far)
            for sample in samples if log else ():
                print(json.dumps({"latency_ms": latency, **sample.as_json()}), file=log, flush=True)
            failed = failed or any(sample.usage.error for sample in samples if sample.party == "sealrun")
            lines += _section(latency, options.bandwidth, samples, parties, shown)
    report = "\n".join(lines)
    print(report)
    if options.report:
        options.report.write_text(report + "\n")
    return int(failed)


def _measure(
    options: argparse.Namespace, parties: Sequence[Party], settings: Settings, far: FarAway
) -> tuple[list[Sample], dict[str, list[str]]]:
    """Return all samples of one distance, and what sealrun waited for in the last round."""
    series = [SERIES[_SHORT.get(name, name)] for name in options.workloads]
    names = dict.fromkeys(step.workload for steps in series for step in steps)
    sources = {name: generate(name, settings.base / "workloads", options.scale) for name in names}
    cells: list[tuple[tuple[Step, ...], Target]] = [(steps, _TARGET) for steps in series]
    samples: list[Sample] = []
    shown: dict[str, list[str]] = {}
    for number in range(1, options.rounds + 1):
        for sample in run_round(number, cells, sources, parties, settings):
            samples.append(sample)
            if sample.party in _SHOWN:
                shown[f"{sample.party}, {sample.step}"] = table(waves(far.latest))
    return samples, shown


def _section(
    latency: float,
    bandwidth: float,
    samples: Sequence[Sample],
    parties: Sequence[Party],
    shown: Mapping[str, Sequence[str]],
) -> list[str]:
    missing = [(party.name, _TARGET) for party in parties if not party.installed(_TARGET)]
    lines = [f"## {latency:g} ms a request, {bandwidth:g} MB/s each way", "", tables(samples, parties, missing), ""]
    for title, said in shown.items():
        lines += [f"### What it waited for: {title}", "", *said, ""]
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
