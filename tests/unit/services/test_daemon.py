from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from tests.builders.runs import BytesSource, a_run
from tests.fakes.clock import FakeClock
from tests.fakes.delivery import FakeRegistry

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.domain.errors import ConfigurationError, UnavailableError
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.daemon.lifecycle import Daemon
from sealrun.services.daemon.looking import WatchedIntake
from sealrun.services.daemon.running import Parts
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import LineParts, Sources
from sealrun.services.oversight.alarming import raise_alarm, standing
from sealrun.services.threads.looping import SealPool
from sealrun.services.watching.rounds import IntakeReport

PATIENCE_S = 60.0


def wait_for(condition: Callable[[], object]) -> None:
    """Poll until `condition` holds; the limit only ends a test that hangs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class FakeWatcher:
    """`ports.Watcher` whose events the test makes."""

    def __init__(self) -> None:
        self.told: dict[str, Callable[[str | None], None]] = {}
        self.closed = False

    def watch(self, root: str, on_change: Callable[[str | None], None]) -> None:
        self.told[root] = on_change

    def follow(self, folder: str) -> None:
        raise NotImplementedError

    def unfollow(self, folder: str) -> None:
        raise NotImplementedError

    def describe(self) -> Mapping[str, str]:
        return dict.fromkeys(self.told, "events of a test")

    def close(self) -> None:
        self.closed = True


class FakeIntake:
    """An intake that seals a run per look, or fails."""

    def __init__(self, name: str, work: Callable[[], None] | None = None) -> None:
        self.watch = WatchSpec(name=name, path=f"/watched/{name}", experiment="train", registries=("main",))
        self.work = work or (lambda: None)
        self.trouble: Exception | None = None
        self.rescans = 0
        self.marked: list[str | None] = []
        self._due = math.inf
        self.wake: Callable[[], None] = lambda: None

    def mark(self, path: str | None) -> None:
        self.marked.append(path)
        self._due = -math.inf

    def wake_by(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def next_look(self) -> float:
        return self._due

    def look(self, now: float) -> IntakeReport:  # noqa: ARG002 - as an intake has it
        if self.trouble is not None:
            error, self.trouble = self.trouble, None
            raise error
        self._due = math.inf
        self.work()
        return IntakeReport()

    def rescan(self, now: float) -> IntakeReport:
        self.rescans += 1
        return self.look(now)


class House:
    """A daemon in a thread of its own, with everything around it under the test's control."""

    def __init__(self, state: Path) -> None:
        self.journal: SqliteJournal = open_journal(state, SystemClock(), SystemEntropy())
        self.registries = {"main": FakeRegistry("main")}
        self.intakes = [FakeIntake("w")]
        self.watchers: list[FakeWatcher] = []
        self.phases: list[str] = []
        self.exits: list[int] = []
        self.codes: list[int] = []
        self.reload: Callable[[], Parts] = self.parts
        self.daemon: Daemon | None = None
        self.thread: threading.Thread | None = None

    def parts(self) -> Parts:
        watcher = FakeWatcher()
        self.watchers.append(watcher)
        line_parts = LineParts(
            journal=self.journal,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            folder_sources=lambda _run: lambda _entry: BytesSource(b""),
            is_there=lambda _run: True,
        )
        return Parts(
            journal=self.journal,
            watcher=watcher,
            intakes=[WatchedIntake(intake, SystemClock()) for intake in self.intakes],
            lines=[DeliveryLine(name, registry.open, line_parts) for name, registry in self.registries.items()],
            pool=SealPool(2),
        )

    def start(self, grace_s: float = PATIENCE_S) -> Daemon:
        daemon = self.daemon = Daemon(
            self.parts(),
            SystemClock(),
            SystemEntropy(),
            reload=self._reload,
            grace_s=grace_s,
            reload_wait_s=0.01,
            install_signals=lambda _daemon: contextlib.nullcontext(),
            exit_now=self.exits.append,
            tell=self.phases.append,
        )
        self.thread = threading.Thread(target=lambda: self.codes.append(daemon.run()))
        self.thread.start()
        wait_for(lambda: "ready" in self.phases)
        return daemon

    def _reload(self) -> Parts:
        return self.reload()

    def stop(self, code: int = 0) -> int:
        assert self.daemon is not None
        self.daemon.request_stop(code)
        return self.join()

    def join(self) -> int:
        assert self.thread is not None
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        self.daemon = None
        return self.codes[-1]

    def accept(self, name: str, *registries: str) -> None:
        run, _ = a_run(name=name)
        self.journal.deliveries.accept(run, registries or ("main",))

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.journal.events.recent()]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "state")
    yield house
    if house.daemon is not None:
        house.stop()
    house.journal.close()


def test_a_start_catches_up_on_folders_deliveries_and_wrecks(house: House) -> None:
    house.accept("left-from-before")
    house.start()
    wait_for(lambda: house.registries["main"].names() == ["left-from-before"])
    wait_for(lambda: house.intakes[0].rescans == 1)
    assert house.registries["main"].recovered == 1
    assert house.stop() == 0
    assert house.phases == ["ready", "stopping"]
    assert house.watchers[0].closed
    assert house.registries["main"].closed == 1
    assert house.exits == []


def test_an_event_is_answered_at_once(house: House) -> None:
    house.start()
    wait_for(lambda: house.intakes[0].rescans == 1)
    looked = threading.Event()
    house.intakes[0].work = looked.set
    house.watchers[0].told["/watched/w"]("/watched/w/run")
    assert looked.wait(PATIENCE_S)
    assert house.intakes[0].marked == ["/watched/w/run"]


def test_a_registry_that_hangs_holds_up_no_other(house: House) -> None:
    hanging, going_on = FakeRegistry("hanging"), threading.Event()

    def hang(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        going_on.wait(PATIENCE_S)

    hanging.during = hang
    house.registries = {"hanging": hanging, "main": house.registries["main"]}
    house.accept("r1", "hanging", "main")
    house.start()
    wait_for(lambda: house.registries["main"].names() == ["r1"])
    assert hanging.published == []
    going_on.set()
    wait_for(lambda: hanging.names() == ["r1"])


def test_a_thread_that_fails_unexpectedly_goes_on(house: House) -> None:
    house.intakes[0].trouble = ZeroDivisionError()
    house.start()
    wait_for(lambda: house.intakes[0].rescans == 2)


def test_what_runs_when_the_daemon_is_stopped_is_resumed_by_the_next_one(house: House) -> None:
    inside, going_on = threading.Event(), threading.Event()

    def upload(run: SealedRun, _ticket: AttemptTicket, sources: Sources) -> None:
        inside.set()
        going_on.wait(PATIENCE_S)
        sources(run.manifest().entries[0])

    main = house.registries["main"]
    main.during = upload
    house.accept("r1")
    daemon = house.start()
    assert inside.wait(PATIENCE_S)
    daemon.request_stop()
    wait_for(lambda: "stopping" in house.phases)
    wait_for(daemon._parts.lines[0]._stopping.is_set)
    going_on.set()
    assert house.join() == 0
    assert main.published == []
    main.during = None
    house.phases.clear()
    house.start()
    wait_for(lambda: main.names() == ["r1"])
    assert msgspec.structs.replace(main.tickets[0], fresh=False) == main.tickets[1]


def test_the_code_of_the_first_request_is_the_exit_code(house: House) -> None:
    house.start()
    assert house.stop(130) == 130


def test_what_does_not_end_in_time_is_left_behind(house: House) -> None:
    going_on, inside = threading.Event(), threading.Event()

    def hang(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        inside.set()
        going_on.wait(PATIENCE_S)

    house.registries["main"].during = hang
    house.accept("r1")
    house.start(grace_s=0.01)
    assert inside.wait(PATIENCE_S)
    assert house.stop() == 0
    assert house.exits == [0]
    going_on.set()
    wait_for(lambda: house.registries["main"].closed == 1)


def test_a_second_request_to_stop_ends_the_process_at_once(house: House) -> None:
    going_on, inside = threading.Event(), threading.Event()

    def hang(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        inside.set()
        going_on.wait(PATIENCE_S)

    house.registries["main"].during = hang
    house.accept("r1")
    daemon = house.start()
    assert inside.wait(PATIENCE_S)
    daemon.request_stop()
    daemon.request_stop()
    assert house.exits == [1]
    going_on.set()
    house.join()


def test_settings_that_are_wrong_leave_the_old_ones_at_work(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Parts:
        raise ConfigurationError("sealrun.toml: unknown key 'setle'; did you mean 'settle'?")

    house.reload = refuse
    daemon = house.start()
    before = daemon._parts
    daemon.request_reload()
    wait_for(lambda: house.phases == ["ready", "reloading", "ready"])
    assert daemon._parts is before
    assert "did you mean 'settle'" in caplog.text
    assert "settings.refused" in house.kinds()
    assert [alarm.key for alarm in standing(house.journal)] == ["settings-refused:settings"]
    house.accept("r1")
    before.lines[0].wake()
    wait_for(lambda: house.registries["main"].names() == ["r1"])


def test_settings_that_were_taken_at_a_start_are_no_alarm_any_more(house: House) -> None:
    raise_alarm(house.journal, SystemClock(), "settings-refused", "settings", "warning", "a typo")
    house.start()
    wait_for(lambda: house.phases == ["ready"])
    assert standing(house.journal) == ()


def test_an_unexpected_failure_to_reload_leaves_the_old_settings_at_work(house: House) -> None:
    def fail() -> Parts:
        raise ZeroDivisionError

    house.reload = fail
    daemon = house.start()
    before = daemon._parts
    daemon.request_reload()
    wait_for(lambda: house.phases == ["ready", "reloading", "ready"])
    assert daemon._parts is before


def test_a_reload_takes_the_new_settings_releases_what_is_parked_and_loses_nothing(house: House) -> None:
    house.accept("parked")
    delivery = house.journal.deliveries.claim("main", math.inf)
    assert delivery is not None
    house.journal.deliveries.park(delivery.id, "an operator has to look at it")
    daemon = house.start()
    more = FakeRegistry("more")
    house.accept("r1", "more")
    house.registries = {"main": house.registries["main"], "more": more}
    house.intakes = [FakeIntake("w"), FakeIntake("new")]
    daemon.request_reload()
    wait_for(lambda: more.names() == ["r1"])
    wait_for(lambda: house.registries["main"].names() == ["parked"])
    wait_for(lambda: house.intakes[1].rescans == 1)
    wait_for(lambda: house.watchers[0].closed)
    assert not house.watchers[1].closed
    wait_for(lambda: "settings.reloaded" in house.kinds())


def test_a_delivery_in_flight_at_a_reload_is_made_once(house: House) -> None:
    inside, going_on = threading.Event(), threading.Event()

    def upload(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        inside.set()
        going_on.wait(PATIENCE_S)

    old = house.registries["main"]
    old.during = upload
    house.accept("r1")
    daemon = house.start()
    assert inside.wait(PATIENCE_S)
    new = FakeRegistry("main")
    house.registries = {"main": new}
    daemon.request_reload()
    wait_for(lambda: new.recovered == 1)
    going_on.set()
    wait_for(lambda: old.names() == ["r1"])
    wait_for(lambda: old.closed == 1)
    house.stop()
    assert new.names() == []
    assert [delivery.state for delivery in house.journal.deliveries.all()] == ["published"]


def test_a_clock_that_jumps_has_timers_computed_again(house: House) -> None:
    class Timers:
        rearmed = 0

        def start(self) -> None:
            raise NotImplementedError

        def rearm(self) -> None:
            self.rearmed += 1

        def close(self) -> None:
            raise NotImplementedError

    class Jumping(FakeClock):
        ahead = 0.0

        def monotonic(self) -> float:
            return super().monotonic() - self.ahead

    clock, timers = Jumping(), Timers()
    daemon = Daemon(msgspec.structs.replace(house.parts(), timers=timers), clock, SystemEntropy())
    daemon._offset = daemon._wall_offset()
    clock.advance(1000)
    daemon._beat()
    assert timers.rearmed == 0
    clock.ahead = -3600
    daemon._beat()
    assert timers.rearmed == 1
    daemon._beat()
    assert timers.rearmed == 1


def test_timers_ask_every_part_for_its_share(house: House) -> None:
    parts = house.parts()
    main = house.registries["main"]
    parts.rescan()
    assert house.intakes[0].marked == [None]
    while parts.lines[0].run_once():
        pass
    parts.recover()
    parts.compact()
    parts.lines[0].run_once()
    assert (main.recovered, main.compacted) == (2, 1)


def test_a_registry_that_is_down_at_the_start_is_delivered_to_when_it_comes(house: House) -> None:
    main = house.registries["main"]
    main.refuse_opening = UnavailableError("main: no answer")
    house.accept("r1")
    house.start()
    wait_for(lambda: "registry.down" in house.kinds())
    main.refuse_opening = None
    wait_for(lambda: main.names() == ["r1"])
    wait_for(lambda: "registry.up" in house.kinds())


def test_sealing_goes_on_in_other_threads_and_survives_failures() -> None:
    pool = SealPool(2)
    together, done = threading.Barrier(2), threading.Semaphore(0)

    def work() -> None:
        together.wait(PATIENCE_S)
        done.release()
        raise ZeroDivisionError

    for _ in range(4):
        pool.launch(work)
    for _ in range(4):
        assert done.acquire(timeout=PATIENCE_S)
    pool.stop()
    assert pool.join(PATIENCE_S)


def test_an_intake_that_waits_for_nothing_is_not_woken_before_the_next_rescan() -> None:
    clock, intake = FakeClock(), FakeIntake("w")
    watched = WatchedIntake(intake, clock, rescan_s=60)
    assert watched.step() == 60
    clock.advance(20)
    assert watched.step() == 40


def test_what_becomes_due_between_two_looks_ends_the_wait() -> None:
    intake = FakeIntake("w")
    watched = WatchedIntake(intake, FakeClock(), rescan_s=60)
    watched.step()
    assert not watched.woken.is_set()
    intake.wake()
    assert watched.woken.is_set()


def test_a_rescan_follows_even_if_no_event_ever_comes() -> None:
    clock, intake = FakeClock(), FakeIntake("w")
    watched = WatchedIntake(intake, clock, rescan_s=60)
    for _ in range(10):
        assert 0 <= watched.step() <= 60
        clock.advance(30)
    assert intake.rescans == 5
