from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.builders.runs import BytesSource
from tests.fakes.clock import FakeClock

from sealrun.adapters.journal import open_journal
from sealrun.adapters.machine.clock import SystemEntropy
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.adapters.stores import open_store
from sealrun.adapters.stores.pulsing_store import PulsingStore
from sealrun.domain.address import AttemptId, Key, object_key
from sealrun.domain.oversight.progress import hanging
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.threads.looping import Loop, SealPool
from sealrun.services.threads.progress import Works, moving
from sealrun.services.threads.watchdog import Watchdog

PATIENCE_S = 60.0
LIMIT_S = 60.0


class Manager:
    """A service manager that remembers what it was told."""

    def __init__(self) -> None:
        self.fed = 0
        self.said: list[str] = []

    def feed(self) -> None:
        self.fed += 1

    def status(self, text: str) -> None:
        self.said.append(text)


class Kennel:
    """A watchdog, what it looks at, and whom it tells."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.works = Works(self.clock.monotonic)
        self.manager = Manager()
        self.dog = Watchdog(
            self.works, self.manager, self.clock, lambda: "all well", interval_s=1.0, patience_s=PATIENCE_S
        )

    def looks_well(self, later_s: float) -> bool:
        self.clock.advance(later_s)
        fed = self.manager.fed
        assert self.dog.look() == (self.manager.fed > fed)
        return self.manager.fed > fed


@pytest.fixture
def kennel() -> Kennel:
    return Kennel()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A file that hangs whoever opens it, as one on a file system whose server is gone does."""
    path = tmp_path / "hangs"
    os.mkfifo(path)
    yield path
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def _release(pipe: Path) -> None:
    os.close(os.open(pipe, os.O_WRONLY))


def test_a_process_that_does_nothing_is_fed(kennel: Kennel) -> None:
    assert kennel.looks_well(10 * PATIENCE_S)
    assert kennel.manager.said == ["all well"]


def test_a_loop_that_waits_between_its_steps_is_fed(kennel: Kennel) -> None:
    stepped = threading.Event()

    def step() -> float:
        stepped.set()
        return 3600.0

    loop = Loop("intake-w", step, SystemEntropy(), works=kennel.works)
    loop.start()
    assert stepped.wait(LIMIT_S)
    while kennel.works.seen():
        pass
    assert kennel.looks_well(10 * PATIENCE_S)
    loop.stop()
    assert loop.join(LIMIT_S)


def test_a_loop_that_hangs_in_one_call_is_named_with_where_it_is_and_fed_again_when_it_gets_on(
    kennel: Kennel, pipe: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside = threading.Event()

    def look_at_a_dead_server() -> float:
        inside.set()
        pipe.read_bytes()
        return 3600.0

    loop = Loop("intake-w", look_at_a_dead_server, SystemEntropy(), works=kennel.works)
    loop.start()
    assert inside.wait(LIMIT_S)
    assert kennel.looks_well(PATIENCE_S - 1)
    assert not kennel.looks_well(2.0)
    assert not kennel.looks_well(2.0)
    (record,) = caplog.records
    assert "intake-w hangs" in record.getMessage()
    assert "look_at_a_dead_server" in record.getMessage()
    assert kennel.manager.said[-1] == "intake-w hangs: no progress for 60 s"
    loop.stop()
    _release(pipe)
    assert loop.join(LIMIT_S)
    assert kennel.looks_well(2.0)
    assert kennel.manager.said[-1] == "all well"


def test_a_sealing_that_hangs_stops_the_feeding_and_another_that_moves_does_not_hide_it(
    kennel: Kennel, pipe: Path
) -> None:
    pool, begun, going_on = SealPool(2, kennel.works), threading.Barrier(3), threading.Event()

    def seals_slowly() -> None:
        move = moving()
        assert move is not None
        begun.wait(LIMIT_S)
        while not going_on.wait(0.001):
            move()

    def hangs() -> None:
        begun.wait(LIMIT_S)
        pipe.read_bytes()

    pool.launch(seals_slowly)
    pool.launch(hangs)
    begun.wait(LIMIT_S)
    assert kennel.looks_well(PATIENCE_S - 1)
    kennel.clock.advance(2.0)
    now = kennel.clock.monotonic()
    while now not in {work.moved for work in kennel.works.seen()}:
        pass  # the one that moves has been seen to
    assert not kennel.looks_well(0.0)
    assert len(hanging(kennel.works.seen(), now, PATIENCE_S)) == 1
    going_on.set()
    _release(pipe)
    pool.stop()
    assert pool.join(LIMIT_S)


def test_an_upload_that_moves_slowly_is_never_taken_for_hung(kennel: Kennel, tmp_path: Path) -> None:
    """Forty pieces, each of which takes nearly as long as the patience."""

    class Slow(io.BytesIO):
        pieces = 0

        def read(self, _size: int | None = -1, /) -> bytes:
            assert kennel.looks_well(PATIENCE_S - 1)
            self.pieces += 1
            return super().read(25)

    body = Slow(b"x" * 1000)

    class SlowSource(BytesSource, frozen=True):
        def open(self) -> BinaryIO:
            return body

    source = SlowSource(b"x" * 1000)
    with kennel.works.under_way("delivery-main"):
        move = moving()
        assert move is not None
        store = PulsingStore(open_store(str(tmp_path / "registry"), make=True), move)
        store.put_many([(object_key(source.digest, AttemptId("20260101T000000Z-" + "0" * 16)), source)])
    assert body.pieces >= 40
    assert kennel.looks_well(0.0)


def test_a_store_that_hangs_stops_the_feeding_though_the_line_goes_on_asking_for_work(
    kennel: Kennel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulse, inside, going_on = kennel.works.pulse(), threading.Event(), threading.Event()
    store = open_store(str(tmp_path / "registry"), make=True)

    def hang(_key: Key) -> None:
        inside.set()
        going_on.wait(LIMIT_S)

    monkeypatch.setattr(store, "stat", hang)
    seen = PulsingStore(store, pulse)

    def deliver() -> None:
        with kennel.works.under_way("delivery-main", pulse):
            seen.stat(Key("registry.json"))

    thread = threading.Thread(target=deliver)
    thread.start()
    assert inside.wait(LIMIT_S)
    kennel.clock.advance(PATIENCE_S + 1)
    with kennel.works.under_way("delivery-main", pulse):
        pass  # a step of the line's own loop, which found nothing to begin
    assert not kennel.looks_well(0.0)
    going_on.set()
    thread.join(LIMIT_S)
    assert kennel.looks_well(0.0)


def test_every_piece_that_is_hashed_is_progress_of_whoever_seals(kennel: Kennel, tmp_path: Path) -> None:
    run = tmp_path / "watched" / "run"
    run.mkdir(parents=True)
    for number in range(20):
        (run / f"{number}.bin").write_bytes(bytes([number]) * 300_000)
    watch = WatchSpec(name="w", path=str(run.parent), experiment="e", registries=("main",))
    journal = open_journal(tmp_path / "state", kennel.clock, SystemEntropy())
    source = LocalFolderSource(watch, journal.hashes, 2, moving=moving)
    with kennel.works.under_way("sealing"):
        folder = source.open(str(run))
        tree = folder.scan()
        kennel.clock.advance(PATIENCE_S + 1)
        assert kennel.dog.look() is False
        folder.hash(tree)
        assert kennel.dog.look() is True
    journal.close()


def test_a_thread_without_work_has_no_pulse() -> None:
    assert moving() is None


def test_work_inside_work_gives_the_outer_pulse_back(kennel: Kennel) -> None:
    with kennel.works.under_way("outer"):
        outer = moving()
        with kennel.works.under_way("inner"):
            assert moving() is not outer
        assert moving() is outer
    assert kennel.works.seen() == ()


def test_a_loop_whose_thread_ended_by_itself_stops_the_feeding(
    kennel: Kennel, caplog: pytest.LogCaptureFixture
) -> None:
    stepped = threading.Event()

    loop = Loop("intake-w", lambda: 3600.0, SystemEntropy(), works=kennel.works)
    dog = Watchdog(
        kennel.works,
        kennel.manager,
        kennel.clock,
        lambda: "all well",
        interval_s=1.0,
        gone=lambda: [loop.name] if loop.gone() else [],
    )
    assert dog.look()
    assert not loop.gone()
    loop._thread = threading.Thread(target=stepped.set)
    loop._thread.start()
    loop._thread.join(LIMIT_S)
    assert loop.gone()
    assert not dog.look()
    assert kennel.manager.said[-1] == "intake-w has ended by itself"
    assert "intake-w" in caplog.text
    loop.stop()
    assert not loop.gone()
