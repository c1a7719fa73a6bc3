"""``python -m benchmarks``: make the workloads, let every party publish them in turn, print the table.

``python -m benchmarks collection`` measures the collector instead; see ``python -m benchmarks collection --help``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from benchmarks import collection
from benchmarks.parties import PARTIES, Party, Target
from benchmarks.report import table
from benchmarks.running import Sample, Settings, run_round
from benchmarks.server import SeaweedFS
from benchmarks.workloads import SERIES, WORKLOADS, generate


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often every party takes its turn (5)")
    parser.add_argument("--workloads", type=_choice(WORKLOADS), default=list(WORKLOADS), metavar="A,B")
    parser.add_argument("--targets", type=_choice(("dir", "s3")), default=["dir", "s3"], metavar="A,B")
    parser.add_argument(
        "--parties", type=_choice([p.name for p in PARTIES]), default=[p.name for p in PARTIES], metavar="A,B"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="below 1: fewer small files, smaller big ones")
    parser.add_argument("--base", type=Path, help="folder for workloads and targets; workloads found there are reused")
    parser.add_argument("--json", type=Path, help="also write every sample to this file")
    parser.add_argument("--quiet-wait", type=float, default=30, help="seconds to wait for an idle machine (30)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a command is killed (600)")
    return parser.parse_args(argv)


def _choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return chosen

    return parse


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and say with the exit code whether sealrun ran through."""
    if argv[:1] == ["collection"]:
        return collection.main(argv[1:])
    options = _options(argv)
    parties = [party for party in PARTIES if party.name in options.parties]
    present = [party for party in parties if party.installed()]
    missing = {party.name for party in parties} - {party.name for party in present}
    with ExitStack() as stack:
        base = options.base or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealrun-bench-")))
        samples = _measure(options, base, present, stack)
    print(table(samples, parties, options.targets, missing))
    versions = {party.name: party.version() for party in present}
    for name in sorted(missing):
        print(f"\n{name}: not installed")
    if options.json:
        options.json.write_text(json.dumps(_document(options, versions, sorted(missing), samples), indent=1) + "\n")
    return int(any(sample.usage.error for sample in samples if sample.party == "sealrun"))


def _measure(options: argparse.Namespace, base: Path, parties: Sequence[Party], stack: ExitStack) -> list[Sample]:
    targets: list[Target] = options.targets
    # "mixed again" is published on top of "mixed", so naming it brings its series.
    series = [steps for steps in SERIES if set(steps) & set(options.workloads)]
    sources = {name: generate(name, base / "workloads", options.scale) for steps in series for name in steps}
    rooms = base / "rooms"
    stack.callback(rmtree, rooms, ignore_errors=True)
    server = stack.enter_context(SeaweedFS(rooms / "seaweedfs")) if "s3" in targets else None
    settings = Settings(base, server, options.quiet_wait, options.timeout)
    return [
        sample
        for number in range(1, options.rounds + 1)
        for sample in run_round(number, series, sources, parties, targets, settings)
    ]


def _document(
    options: argparse.Namespace, versions: dict[str, str], missing: list[str], samples: Sequence[Sample]
) -> dict[str, object]:
    return {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "rounds": options.rounds,
        "scale": options.scale,
        "versions": versions,
        "not_installed": missing,
        "samples": [sample.as_json() for sample in samples],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
