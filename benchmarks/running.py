"""Rounds: in each, every party takes its turn at every workload, so that all meet the same weather."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_ISREG

from benchmarks.measuring import Usage, files_below, measure, read_all, sync_file_system, wait_for_quiet
from benchmarks.parties import Party, Room, Target
from benchmarks.server import SeaweedFS

_FEW_FILES = 100


@dataclass(frozen=True)
class Sample:
    """One measured command. `objects` and `stored` (bytes) are what it added; `requests` by kind, on S3."""

    party: str
    target: Target
    workload: str
    round: int
    usage: Usage
    objects: int = 0
    stored: int = 0
    requests: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return one flat object."""
        fields = asdict(self)
        return {**fields.pop("usage"), **fields}


@dataclass(frozen=True)
class Settings:
    """How to measure; times in seconds."""

    base: Path
    server: SeaweedFS | None
    quiet_wait: float
    timeout: float


def run_round(
    number: int,
    series: Sequence[Sequence[str]],
    sources: dict[str, Path],
    parties: Sequence[Party],
    targets: Sequence[Target],
    settings: Settings,
) -> Iterator[Sample]:
    """Yield the samples of one round; who goes first moves on from round to round."""
    turn = number % len(parties)
    for steps in series:
        for target in targets:
            for party in (*parties[turn:], *parties[:turn]):
                if target in party.targets:
                    yield from _visit(number, steps, sources, party, target, settings)


def _visit(
    number: int, steps: Sequence[str], sources: dict[str, Path], party: Party, target: Target, settings: Settings
) -> Iterator[Sample]:
    """Give a party a fresh room and let it publish one workload after the other into it."""
    label = f"{number}-{steps[0]}-{target}-{party.name}".replace(" ", "")
    room = _furnish(label, party, target, settings)
    try:
        for workload in steps:
            sample = _take(number, workload, sources[workload], party, room, settings)
            yield sample
            if sample.usage.error is not None:
                break
    finally:
        _leave(room, settings)


def _furnish(label: str, party: Party, target: Target, settings: Settings) -> Room:
    folder = settings.base / "rooms" / label
    folder.mkdir(parents=True)
    if settings.server is not None and target == "s3":
        bucket = "bench-" + "".join(c for c in label.lower() if c.isalnum() or c == "-")
        settings.server.create_bucket(bucket)
        room = Room(folder, target, bucket, settings.server.endpoint)
    else:
        room = Room(folder, target)
        room.store.mkdir()
    for argv in party.prepare(room):
        subprocess.run(argv, env=room.environment(), check=True, capture_output=True)  # noqa: S603 - a party's own
    return room


def _take(number: int, workload: str, source: Path, party: Party, room: Room, settings: Settings) -> Sample:
    server = settings.server if room.target == "s3" else None
    before, asked = _stored(room, server), server.requests() if server else Counter[str]()
    read_all(source)
    sync_file_system(settings.base)
    wait_for_quiet(settings.quiet_wait)
    usage = measure(
        party.publish(room, source, workload),
        room.environment(),
        sync=None if server else room.store,
        server=server.pid if server else None,
        timeout=settings.timeout,
    )
    requests = dict(server.requests() - asked) if server else {}
    after = _stored(room, server)
    sample = Sample(
        party.name, room.target, workload, number, usage, after[0] - before[0], after[1] - before[1], requests
    )
    trouble = "" if usage.error is None else f"  {usage.error}"
    print(
        f"round {number}  {room.target:4} {workload:12} {party.name:10} {usage.wall:7.2f} s"
        f"  cpu {usage.cpu:6.2f} s  rss {usage.rss_mib:4.0f} MiB  others {usage.foreign:4.0%}{trouble}",
        file=sys.stderr,
        flush=True,
    )
    return sample


def _stored(room: Room, server: SeaweedFS | None) -> tuple[int, int]:
    """Return the objects and bytes in the room's target; a file with many names counts once."""
    if server is not None:
        return server.stored(room.bucket)
    sizes = {facts.st_ino: facts.st_size for facts in map(os.lstat, files_below(room.store)) if S_ISREG(facts.st_mode)}
    return len(sizes), sum(sizes.values())


def _leave(room: Room, settings: Settings) -> None:
    """Give disk space back, unless that means many files.

    ext4 steps over inodes that were freed lately: whoever creates thousands of files after thousands were deleted
    pays seconds for it. Such rooms stay until the whole run is over.
    """
    if room.target == "s3" and settings.server is not None:
        settings.server.drop_bucket(room.bucket)
    elif _stored(room, None)[0] <= _FEW_FILES:
        shutil.rmtree(room.folder)
