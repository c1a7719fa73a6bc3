"""Many machines publish, retire, undo, move pointers and collect on one registry; chance kills and stops them.

Short by default; ``SEALRUN_TEST_SOAK_S`` says for how many seconds each registry is soaked. Figures are printed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.e2e.deployment import wait_for
from tests.e2e.soak.machine import GRACE_S, POLICY, Orders
from tests.e2e.soak.said import EXPERIMENTS, Acknowledged, Said, files_of
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover, open_store
from sealrun.domain.address import BATCHES, CONDEMNED, OBJECTS, AttemptId, refs_key
from sealrun.domain.registry.pointing import PointerName
from sealrun.domain.registry.publication import Refs
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionReport, Collector
from sealrun.services.index.indexing import Index
from sealrun.services.mending.verifying import Verifier
from sealrun.services.publication.recovering import Recovery
from sealrun.services.storage.standing import attempts_of

SOAK_S = float(os.environ.get("SEALRUN_TEST_SOAK_S", "25"))
PUBLISHERS, COLLECTORS = 3, 2
_ROOT = Path(__file__).parents[2]
_CLOCK, _ENTROPY = SystemClock(), SystemEntropy()
_LEAST = {"publish": 10, "retire": 3, "move": 2, "collect": 3, "deleted": 1}
_UNSTAMPED_S = 1.5  # S3 tells times in whole seconds


@dataclass
class _Machine:
    orders: Orders
    process: subprocess.Popen[bytes] | None = None
    asleep_until: float = 0.0
    done_before: int = 0

    @property
    def log(self) -> Path:
        return Path(self.orders.folder) / "log"

    @property
    def acknowledged(self) -> Acknowledged:
        return Acknowledged(Path(self.orders.folder))

    def start(self) -> None:
        Path(self.orders.folder).mkdir(parents=True, exist_ok=True)
        self.done_before = sum(1 for _ in self.acknowledged)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.soak.machine", msgspec.json.encode(self.orders).decode()],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def has_done_something(self) -> bool:
        """Tell whether this life got anywhere: on a slow machine, who is killed at once never does."""
        return sum(1 for _ in self.acknowledged) > self.done_before

    def signal(self, number: int) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)

    def check(self) -> bool:
        """Tell whether it has ended; it must not have ended by itself with an error."""
        assert self.process is not None
        code = self.process.poll()
        if code not in {None, 0, -signal.SIGKILL}:
            raise AssertionError(f"{self.orders.name} ended with {code}:\n{self.log.read_text()[-4000:]}")
        return code is not None

    def end(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()


@dataclass
class _Soak:
    """One registry, its machines, and chance."""

    folder: Path
    url: str
    storage_options: dict[str, Any]
    seed: int
    machines: list[_Machine] = field(default_factory=list)
    kills: int = 0
    stops: int = 0

    def __post_init__(self) -> None:
        names = [f"m{number}" for number in range(PUBLISHERS)] + [f"c{number}" for number in range(COLLECTORS)]
        self.machines = [
            _Machine(
                Orders(
                    name=name,
                    url=self.url,
                    storage_options=self.storage_options,
                    folder=str(self.folder / name),
                    stop=str(self.folder / "stop"),
                    collects=name.startswith("c"),
                )
            )
            for name in names
        ]

    def run(self, seconds: float) -> None:
        """Let them work, on a slow machine longer; then wake everybody, and see them finish what they do and end."""
        chance = random.Random(self.seed)
        for machine in self.machines:
            machine.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or not self._has_seen_enough():
            self._wake(time.monotonic())
            for machine in self.machines:
                if machine.check():
                    machine.start()
            self._disturb(chance)
            time.sleep(0.2)
        (self.folder / "stop").touch()
        self._wake(float("inf"))
        for machine in self.machines:
            if machine.check():
                machine.start()
        wait_for("every machine finishes what it does", self._has_ended)
        left = [
            machine.orders.name for machine in self.machines if (Path(machine.orders.folder) / "doing.json").exists()
        ]
        assert not left, f"{left} ended in the middle of something"

    def _has_ended(self) -> bool:
        return sum(machine.check() for machine in self.machines) == len(self.machines)

    def _disturb(self, chance: random.Random) -> None:
        machine = chance.choice(self.machines)
        dice = chance.random()
        if dice < 0.12:
            if machine.has_done_something() or chance.random() < 0.1:
                machine.signal(signal.SIGKILL)
                machine.asleep_until = 0.0
                self.kills += 1
        elif dice < 0.3 and not machine.asleep_until:
            machine.signal(signal.SIGSTOP)
            machine.asleep_until = time.monotonic() + chance.choice([0.3, 1.0, 3.0, 7.0])
            self.stops += 1

    def _wake(self, now: float) -> None:
        for machine in self.machines:
            if machine.asleep_until and machine.asleep_until < now:
                machine.signal(signal.SIGCONT)
                machine.asleep_until = 0.0

    def _has_seen_enough(self) -> bool:
        """Tell whether everything has happened that a soak is about."""
        said = Counter[str]()
        for one in self.said():
            said[one.op] += 1
            said["deleted"] += one.count if one.op == "collect" else 0
        return self.kills > 2 and self.stops > 2 and all(said[op] >= least for op, least in _LEAST.items())

    def end(self) -> None:
        for machine in self.machines:
            machine.end()

    def said(self) -> Iterator[Said]:
        for machine in self.machines:
            yield from machine.acknowledged


def _settle(store: Store) -> None:
    """Clear away what killed machines left."""
    recovery = Recovery(store, _CLOCK, _ENTROPY, "sweeper", dead_after_s=-1)
    recovery.execute(recovery.plan())
    for experiment in EXPERIMENTS:
        Index(store, _CLOCK, _ENTROPY, experiment).compact()
    assert not [found.key for found in store.list("attempts/") if found.key.endswith("/intent.json")]


def _collect_in_peace(store: Store) -> CollectionReport:
    """Collect when whatever was needed last is old enough."""
    time.sleep(GRACE_S + POLICY.abandoned_s + _UNSTAMPED_S)
    collector = Collector(store, open_remover(store), _CLOCK, _ENTROPY, "janitor", POLICY)
    report = collector.execute(collector.plan())
    assert not report.failures
    return report


def _referenced(store: Store, reader: Reader) -> set[str]:
    """Every object that a run that is not retired, or that a pointer stands on, references."""
    attempts = {
        attempt
        for row in reader.runs()
        for attempt in attempts_of(store, row.experiment, row.run_id)
        if store.stat(f"attempts/{attempt}/retired.json") is None  # type: ignore[arg-type] # a key of the format
        and store.stat(refs_key(attempt)) is not None
    }
    attempts |= {generation.target.attempt for generation in _pointers(store, reader)}
    return {
        stored.key
        for attempt in attempts
        for stored in Refs.decode(store.read(refs_key(AttemptId(attempt))), attempt).objects.values()
    }


def _pointers(store: Store, reader: Reader) -> list[Any]:
    found: list[Any] = [generation for name in reader.experiments() for generation in reader.pointers(name)]
    return found + [next(reader.history_of(PointerName.of_artifact(name))) for name in store.list_folders("names/")]


def _read_back(reader: Reader, machine: str, said: Said) -> None:
    view = reader.load(reader.resolve(said.ref))
    bodies = {entry.path: b"".join(reader.chunks(view, entry)) for entry in view.manifest.entries}
    assert bodies == files_of(machine, said.serial), f"{said.ref} reads back differently"


def _judge(soak: _Soak, store: Store) -> dict[str, int]:
    reader = Reader(store, _CLOCK, _ENTROPY)
    _settle(store)
    collected = [_collect_in_peace(store), _collect_in_peace(store)]
    states = [(m.orders.name, said) for m in soak.machines for said in m.acknowledged.states().values()]
    listed = {f"{row.experiment}/{row.run_id}" for row in reader.runs()}
    live = {said.ref for _, said in states if said.state == "live"}
    retired = {said.ref for _, said in states if said.state == "retired"}
    assert live <= listed, f"published, not retired, and not there: {sorted(live - listed)}"
    assert not retired & listed, f"retired, and still listed: {sorted(retired & listed)}"
    assert listed <= {said.ref for _, said in states}, "a run is there that nobody published"
    for name, said in states:
        if said.ref in listed:
            _read_back(reader, name, said)
    for generation in _pointers(store, reader):
        reader.load(generation.target)
    report = Verifier(reader).everything()
    assert not report.damages
    objects = {found.key for found in store.list(OBJECTS)}
    assert objects == _referenced(store, reader), "garbage is left after two peaceful collections"
    assert not list(store.list(CONDEMNED))
    logs = [found.key for found in store.list(BATCHES) if found.key.endswith("/deleted.jsonl")]
    said_by = Counter(said.op for said in soak.said())
    return {
        "publications": said_by["publish"],
        "retirements": said_by["retire"],
        "undone": said_by["undo"],
        "pointer moves": said_by["move"] + said_by["rollback"],
        "kills": soak.kills,
        "stops": soak.stops,
        "collections": said_by["collect"] + len(collected),
        "objects deleted": sum(len(store.read(key).splitlines()) for key in logs),
        "objects left": len(objects),
        "runs verified": report.runs,
    }


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S * 3 + 600)
@pytest.mark.parametrize("kind", ["directory", "seaweedfs"])
def test_after_kills_and_stops_every_acknowledged_run_is_there_and_the_garbage_is_not(
    kind: str, tmp_path: Path, seaweedfs_server: SeaweedFS, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("SEALRUN_TEST_SEED", str(random.randrange(1 << 32))))
    print(f"SEALRUN_TEST_SEED={seed}")  # noqa: T201 - shown when the test fails
    if kind == "directory":
        soak = _Soak(tmp_path, str(tmp_path / "registry"), {}, seed)
    else:
        bucket = seaweedfs_server.create_bucket()
        soak = _Soak(tmp_path, f"s3://{bucket}/soak", seaweedfs_server.storage_options, seed)
    try:
        soak.run(SOAK_S)
        store = open_store(soak.url, soak.storage_options)
        figures = _judge(soak, store)
        store.close()
    finally:
        soak.end()
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in figures.items())
        print(f"\nsoak of {SOAK_S:.0f} s on {kind}: {told}")  # noqa: T201 - figures for whoever looks
    assert figures["objects deleted"] > 0
