"""Rounds: in each, every party takes its turn at every workload, so that all meet the same weather."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_ISREG

from benchmarks.measuring import Usage, files_below, measure, read_all, sync_file_system, wait_for_quiet
from benchmarks.parties import Argv, Party, Room, Target
from benchmarks.server import Server
from benchmarks.workloads import Step

_FEW_FILES = 100


@dataclass(frozen=True)
class Sample:
    """One measured command. `objects` and `stored` (bytes) are what it added; `requests` by kind, on S3."""

    party: str
    target: Target
    step: str
    action: str
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
    """How to measure; times in seconds. `actions` are those that are measured; publishing happens anyway.

    Who needs more than `slow` for a step is not asked for that series again, and is noted in `skipped`. What is
    measured runs inside `around`; `tag` begins the names of rooms, and keeps those of several series apart.
    """

    base: Path
    server: Server | None
    quiet_wait: float
    timeout: float
    actions: frozenset[str]
    slow: float = float("inf")
    skipped: set[tuple[str, Target, str]] = field(default_factory=set)
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    tag: str = "round"


def run_round(
    number: int,
    cells: Sequence[tuple[tuple[Step, ...], Target]],
    sources: Mapping[str, Path],
    parties: Sequence[Party],
    settings: Settings,
) -> Iterator[Sample]:
    """Yield the samples of one round; who goes first moves on from round to round."""
    turn = number % len(parties)
    for steps, target in cells:
        for party in (*parties[turn:], *parties[:turn]):
            series = (party.name, target, steps[0].name)
            if target not in party.targets or not party.installed(target) or series in settings.skipped:
                continue
            for sample in _visit(number, steps, sources, party, target, settings):
                if sample.usage.wall > settings.slow:
                    settings.skipped.add(series)
                yield sample


def command(party: Party, room: Room, source: Path, step: Step, destination: Path) -> Argv | None:
    """Return what a party is told to do in a step; None: it does no such thing."""
    if step.action == "publish":
        return party.publish(room, source, step)
    if step.action == "restore":
        return party.restore(room, step, destination)
    if step.action == "verify":
        return party.verify(room, source, step)
    first = next((path for path in files_below(source) if path.endswith((".bin", ".log"))), None)
    return None if first is None else party.one_file(room, step, first[len(str(source)) + 1 :])


def _visit(
    number: int,
    steps: Sequence[Step],
    sources: Mapping[str, Path],
    party: Party,
    target: Target,
    settings: Settings,
) -> Iterator[Sample]:
    """Give a party a fresh room and let it take one step after the other there."""
    label = f"{settings.tag}-{number}-{steps[0].name}-{target}-{party.name}".replace(" ", "").replace(",", "")
    room = _furnish(label, target, settings)
    try:
        for argv in party.prepare(room):
            _run(argv, room)
        for step in steps:
            if step.action not in settings.actions and step.action != "publish":
                continue
            sample = _take(number, step, sources[step.workload], party, room, settings)
            if sample is None:
                continue
            _tell(sample)
            if step.action in settings.actions:
                yield sample
            if sample.usage.error is not None:
                break
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout or b"").decode(errors="replace").strip()[-300:]
        usage = Usage(0, 0, 0, 0, 0, f"could not be prepared: {said}")
        sample = Sample(party.name, target, steps[0].name, "publish", number, usage)
        _tell(sample)
        yield sample
    finally:
        _leave(room, settings)


def _run(argv: Argv, room: Room) -> None:
    subprocess.run(argv, env=room.environment(), cwd=room.folder, check=True, capture_output=True)  # noqa: S603 - its own


def _furnish(label: str, target: Target, settings: Settings) -> Room:
    folder = settings.base / "rooms" / label
    folder.mkdir(parents=True)
    if settings.server is not None and target == "s3":
        bucket = "bench-" + "".join(c for c in label.lower() if c.isalnum() or c == "-")
        settings.server.create_bucket(bucket)
        return Room(folder, target, bucket, settings.server.endpoint)
    room = Room(folder, target)
    room.store.mkdir()
    return room


def _take(number: int, step: Step, source: Path, party: Party, room: Room, settings: Settings) -> Sample | None:
    destination = room.folder / "restored"
    argv = command(party, room, source, step, destination)
    if argv is None:
        return None
    for each in party.ready(room, source, step):
        _run(each, room)
    server = settings.server if room.target == "s3" else None
    publishes = step.action == "publish"
    if publishes:
        read_all(source)
    before, asked = (_stored(room, server) if publishes else (0, 0)), server.requests() if server else Counter[str]()
    sync_file_system(settings.base)
    wait_for_quiet(settings.quiet_wait)
    with settings.around():
        usage = measure(
            argv,
            room.environment(),
            sync=room.folder if step.action == "restore" or (publishes and server is None) else None,
            server=server.pid if server else None,
            timeout=settings.timeout,
        )
    requests = dict(server.requests() - asked) if server else {}
    after = _stored(room, server) if publishes else (0, 0)
    return Sample(
        party=party.name,
        target=room.target,
        step=step.name,
        action=step.action,
        round=number,
        usage=usage,
        objects=after[0] - before[0],
        stored=after[1] - before[1],
        requests=requests,
    )


def _tell(sample: Sample) -> None:
    usage = sample.usage
    print(
        f"round {sample.round}  {sample.target:4} {sample.step:16} {sample.party:21} {usage.wall:7.2f} s"
        f"  cpu {usage.cpu:6.2f} s  rss {usage.rss_mib:4.0f} MiB  others {usage.foreign:4.0%}"
        f"{'' if usage.error is None else '  ' + usage.error}",
        file=sys.stderr,
        flush=True,
    )


def _stored(room: Room, server: Server | None) -> tuple[int, int]:
    """Return the objects and bytes in the room's target; a file with many names counts once."""
    if server is not None:
        return server.stored(room.bucket)
    sizes = {facts.st_ino: facts.st_size for facts in map(os.lstat, files_below(room.store)) if S_ISREG(facts.st_mode)}
    return len(sizes), sum(sizes.values())


def _leave(room: Room, settings: Settings) -> None:
    """Give disk space back, but never by deleting many files.

    ext4 steps over inodes that were freed lately: whoever creates thousands of files after thousands were deleted
    pays seconds for it. Such rooms stay until the whole run is over, their files emptied.
    """
    if room.target == "s3" and settings.server is not None:
        settings.server.drop_bucket(room.bucket)
    files = list(files_below(room.folder))
    if len(files) <= _FEW_FILES:
        shutil.rmtree(room.folder)
        return
    for path in files:
        facts = os.lstat(path)
        if S_ISREG(facts.st_mode) and facts.st_size:
            os.chmod(path, 0o600)  # noqa: PTH101 - a sealed file may be read-only
            os.truncate(path, 0)
