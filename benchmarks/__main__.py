"""``python -m benchmarks``: every party publishes, restores and verifies each workload in turn; tables and verdicts.

Others are ``python -m benchmarks NAME``, or ``make bench ARGS=NAME``: ``slow`` (a store that is far away), ``warm``
(each workload through a daemon), ``many_runs`` (a thousand tiny runs through it), ``idle`` (a daemon with nothing to
do), ``shapes`` (a million tiny files, one of 20 GB, …), ``collection`` (the collector beside plain listing and
deletion), ``planning`` (the collector beside restic and dvc), ``engines`` (verifying and marking on several),
``growth`` and ``requests`` (what grows with a registry), ``profile`` (where sealrun's time goes), ``week`` (a week of a
daemon in an hour). Each explains itself with ``--help``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from benchmarks.goals import verdicts
from benchmarks.parties import Party, Room, Target
from benchmarks.peers import PARTIES, TARGETS
from benchmarks.report import WHERE, tables
from benchmarks.running import Sample, Settings, command, run_round
from benchmarks.server import SeaweedFS, search_path
from benchmarks.workloads import SERIES, Step, generate

_SHORT = {"w1": "small", "w2": "large", "w3": "mixed"}
_ACTIONS = ("publish", "restore", "one file", "verify")
_WARM_SCALE = 0.002
_QUICK_SCALE = 0.02
_QUICK_PARTIES = ("sealrun", "floor-pack", "floor-cas", "cp -r")
_OTHERS = frozenset(
    {
        "collection",
        "engines",
        "growth",
        "idle",
        "many_runs",
        "planning",
        "profile",
        "requests",
        "shapes",
        "slow",
        "warm",
        "week",
    }
)
Cells = list[tuple[tuple[Step, ...], Target]]


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [party.name for party in PARTIES]
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round of little by few, no waiting")
    parser.add_argument("--rounds", type=int, default=5, help="how often every party takes its turn (5)")
    parser.add_argument("--only", type=_cells, metavar="SERIES[:TARGET],…", help="such as small:dir,w3:s3 (all)")
    parser.add_argument("--actions", type=_choice(_ACTIONS), default=list(_ACTIONS), metavar="A,B")
    parser.add_argument("--parties", type=_choice(names), default=names, metavar="A,B", help=", ".join(names))
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer small files, smaller big ones")
    parser.add_argument("--base", type=Path, help="folder for workloads and targets; workloads found there are reused")
    parser.add_argument("--json", type=Path, help="also write every sample to this file, one JSON object on a line")
    parser.add_argument("--report", type=Path, help="also write the report to this file")
    parser.add_argument("--quiet-wait", type=float, default=30, help="seconds to wait for an idle machine (30)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a command is killed (600)")
    parser.add_argument("--slow", type=float, default=60, help="seconds after which one round is enough (60)")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.quiet_wait = 1, 0.0
        options.scale = min(options.scale, _QUICK_SCALE)
        options.parties = [name for name in options.parties if name in _QUICK_PARTIES]
        options.only = options.only or _cells("small,large:dir,mixed:dir")
    return options


def _choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return chosen

    return parse


def _cells(text: str) -> Cells:
    cells: Cells = []
    for part in text.split(","):
        name, _, where = part.strip().partition(":")
        series = SERIES.get(_SHORT.get(name, name))
        targets = [target for target in TARGETS if where in {"", target}]
        if series is None or not targets:
            msg = f"{part}: choose from {', '.join(SERIES)}, each with :dir or :s3 or neither"
            raise argparse.ArgumentTypeError(msg)
        cells += [(series, target) for target in targets]
    return cells


def main(argv: Sequence[str]) -> int:
    """Measure, print the report, and say with the exit code whether sealrun ran through."""
    if argv and argv[0] in _OTHERS:
        return int(importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:]) or 0)
    options = _options(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is stopped, too
    cells: Cells = options.only or [(steps, target) for steps in SERIES.values() for target in TARGETS]
    served = shutil.which("weed", path=search_path()) is not None
    if not served:
        cells = [cell for cell in cells if cell[1] == "dir"]
    parties = [party for party in PARTIES if party.name in options.parties]
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-bench-")))
        samples = _measure(options, base.resolve(), cells, parties, stack)
    report = _report(options, samples, parties, served=served)
    print(report)
    if options.report:
        options.report.write_text(report + "\n")
    return int(any(sample.usage.error for sample in samples if sample.party.startswith("sealrun")))


def _measure(
    options: argparse.Namespace, base: Path, cells: Cells, parties: Sequence[Party], stack: ExitStack
) -> list[Sample]:
    names = list(dict.fromkeys(step.workload for steps, _ in cells for step in steps))
    sources = {name: generate(name, base / "workloads", options.scale) for name in names}
    rooms = base / "rooms"
    stack.callback(rmtree, rooms, ignore_errors=True)
    server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if any(cell[1] == "s3" for cell in cells) else None
    settings = Settings(base, server, options.quiet_wait, options.timeout, frozenset(options.actions), options.slow)
    log = stack.enter_context(options.json.open("w")) if options.json else None
    if log:
        print(json.dumps(_conditions(options, parties)), file=log, flush=True)
    if not options.quick:
        little = {name: generate(name, base / "workloads", _WARM_SCALE) for name in names}
        warming = Settings(base, server, 0.0, options.timeout, settings.actions)
        print("a warm-up of everybody with little, which does not count:", file=sys.stderr)
        list(run_round(0, cells, little, parties, warming))
    samples: list[Sample] = []
    for number in range(1, options.rounds + 1):
        for sample in run_round(number, cells, sources, parties, settings):
            samples.append(sample)
            if log:
                print(json.dumps(sample.as_json()), file=log, flush=True)
    return samples


def _conditions(options: argparse.Namespace, parties: Sequence[Party]) -> dict[str, object]:
    return {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "rounds": options.rounds,
        "scale": options.scale,
        "versions": {party.name: party.version() for party in parties if party.installed("dir")},
        "not_installed": [f"{name} ({WHERE[target]})" for name, target in _missing(parties)],
    }


def _missing(parties: Sequence[Party]) -> list[tuple[str, Target]]:
    return [(party.name, target) for party in parties for target in party.targets if not party.installed(target)]


def _report(options: argparse.Namespace, samples: Sequence[Sample], parties: Sequence[Party], *, served: bool) -> str:
    facts = _conditions(options, parties)
    machine = f"{facts['cpus']} CPUs, CPython {facts['python']}, Linux {facts['kernel']}"
    lines = [f"Measured {facts['measured_at']}: {machine}, {facts['rounds']} rounds, scale {facts['scale']}.", ""]
    if not served:
        lines += ["S3: not measured, weed (SeaweedFS) is not installed.", ""]
    lines += [tables(samples, parties, _missing(parties)), "", "### Goals", ""]
    if options.scale != 1:
        lines += ["Scaled workloads are a smoke test: these lines say nothing about the goals.", ""]
    lines += [f"- {line}" for line in verdicts(samples, parties, _interpreter_mib())] or ["- none can be judged"]
    lines += ["", "### The parties", "", *_declared(parties)]
    return "\n".join(lines)


def _interpreter_mib() -> float:
    """Return the peak of an interpreter that does nothing."""
    program = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)  # noqa: S603 - itself
    return int(said.stdout) / 1024


def _declared(parties: Sequence[Party]) -> list[str]:
    """Versions, promises and command lines."""
    lines = ["| party | version | durable on return, before the sync | content checked | kept between commands |"]
    lines += ["|---|---|---|---|---|"]
    here = {party.name for party in parties if any(party.installed(target) for target in party.targets)}
    for party in parties:
        version = party.version() if party.name in here else "not installed"
        lines.append(f"| {party.name} | {version} | {party.durable} | {party.checked} | {party.caches} |")
    lines += ["", "```text"]
    small = SERIES["small"]
    for party in parties:
        for target in party.targets:
            room = Room(Path("ROOM"), target, "BUCKET", "ENDPOINT")
            for step in small:
                argv = None if step.action == "one file" else command(party, room, Path("RUN"), step, Path("OUT"))
                if argv is not None:
                    said = " ".join(argv).replace(sys.executable, "python")
                    lines.append(f"{party.name}, {WHERE[target]}, {step.name}: {said}")
    return [*lines, "```"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
