"""The log of a build, by several who ask, on stores that list and on stores that link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import GatedStore
from tests.fakes.store import ModelStore
from tests.faults.lives import _ONLY_WRITES, CrashError, Mode, Wire

from sealrun.domain.curation.building import BuildStep, beat_key, build_log
from sealrun.domain.errors import BuildFailedError, HeldError, SealrunError
from sealrun.domain.records import sha256
from sealrun.ports import Store
from sealrun.services.curation.building import BuildLog

CONFIG = sha256(b"config")
RUN = ("content", "t-1", "urn:sealrun:t:sha256:1")
LEASE = 60.0


class Room:
    """A registry, and anybody who asks it for the same build."""

    def __init__(self, *, links: bool) -> None:
        self.clock = FakeClock()
        self.store = ModelStore(lambda: self.clock.now().timestamp(), links=links)
        self.retired: set[str] = set()

    def log(self, by: str) -> BuildLog:
        return BuildLog(self.store, self.clock, FakeEntropy(sum(by.encode())), by, "t", CONFIG)

    def stands(self, step: BuildStep) -> bool:
        return step.run[1] not in self.retired

    def ask(self, by: str, wait_s: float | None = None) -> tuple[BuildLog, BuildStep]:
        log = self.log(by)
        return log, log.ask(LEASE, wait_s, self.stands)

    def states(self) -> list[str]:
        keys = sorted((key for key in self.store.bodies if key.startswith(build_log("t", CONFIG))), reverse=True)
        return [BuildStep.decode(self.store.bodies[key], key).state for key in keys]


@pytest.fixture(params=[True, False], ids=["links", "lists"])
def room(request: pytest.FixtureRequest) -> Room:
    return Room(links=request.param)


def test_the_first_claims_and_everybody_later_gets_what_it_built(room: Room) -> None:
    log, claim = room.ask("a")
    assert claim.state == "claimed"
    done = log.conclude(claim, RUN, room.stands)
    assert room.ask("b")[1] == done
    assert done.run == RUN
    assert room.states() == ["claimed", "built"]


def test_a_silent_builder_is_overtaken_after_the_lease(room: Room) -> None:
    room.ask("a")
    began = room.clock.monotonic()
    _, claim = room.ask("b")
    assert (claim.state, claim.by) == ("claimed", "b")
    assert room.clock.monotonic() - began > LEASE


def test_a_builder_that_gives_signs_of_life_is_waited_for(room: Room) -> None:
    log, claim = room.ask("a")
    beating = Beating(room, claim)
    room.clock.sleep = beating.sleep  # type: ignore[method-assign] # the builder lives while others sleep
    with pytest.raises(HeldError, match="still being built by a"):
        room.ask("b", wait_s=10 * LEASE)
    assert room.states() == ["claimed"]
    beating.then = lambda: log.conclude(claim, RUN, room.stands)
    assert room.ask("c")[1].run == RUN


class Beating:
    """Gives a sign of life whenever somebody sleeps; after twenty of them something else happens."""

    def __init__(self, room: Room, claim: BuildStep) -> None:
        self.room, self.claim, self.count = room, claim, 0
        self.then: Callable[[], object] | None = None
        self._sleep = room.clock.sleep

    def sleep(self, seconds: float) -> None:
        self.count += 1
        body = b'{"format":"sealrun/1","kind":"beat","nonce":"%s","count":%d}' % (self.claim.nonce.encode(), self.count)
        self.room.store.replace(beat_key("t", CONFIG), body)
        if self.then is not None and self.count % 20 == 0:
            self.then()
        self._sleep(seconds)


def test_a_builder_that_was_only_slow_obeys_whoever_finished_first(room: Room) -> None:
    slow, first = room.ask("a")
    fast, second = room.ask("b")
    theirs = fast.conclude(second, RUN, room.stands)
    assert slow.overtaken(first, room.stands) == theirs
    assert slow.conclude(first, ("content", "t-2", "other"), room.stands) == theirs
    assert room.ask("c")[1] == theirs


def test_a_builder_that_was_overtaken_may_still_finish_first(room: Room) -> None:
    slow, first = room.ask("a")
    fast, second = room.ask("b")
    ours = slow.conclude(first, RUN, room.stands)
    assert ours.run == RUN
    assert fast.overtaken(second, room.stands) == ours
    assert fast.conclude(second, ("content", "t-2", "other"), room.stands) == ours


def test_a_failure_ends_the_claim_and_the_next_who_asks_tries_again(room: Room) -> None:
    log, claim = room.ask("a")
    log.give_up(claim, ValueError("a secret"))
    assert all(b"a secret" not in body for body in room.store.bodies.values())
    assert room.ask("b")[1].state == "claimed"
    assert room.states() == ["claimed", "failed", "claimed"]


def test_whoever_waits_for_a_build_that_fails_is_told(room: Room) -> None:
    log, claim = room.ask("a")
    sleep = room.clock.sleep

    def fail_then_sleep(seconds: float) -> None:
        log.give_up(claim, ValueError())
        sleep(seconds)

    room.clock.sleep = fail_then_sleep  # type: ignore[method-assign] # the builder fails while others sleep
    with pytest.raises(BuildFailedError, match="by a, which failed with ValueError"):
        room.ask("b")


def test_a_builder_that_was_overtaken_cannot_end_the_claim_of_the_other(room: Room) -> None:
    slow, first = room.ask("a")
    room.ask("b")
    slow.give_up(first, ValueError())
    assert room.states() == ["claimed", "claimed"]


def test_what_was_retired_since_is_built_again(room: Room) -> None:
    log, claim = room.ask("a")
    log.conclude(claim, RUN, room.stands)
    room.retired.add(RUN[1])
    again, second = room.ask("b")
    assert second.state == "claimed"
    assert again.conclude(second, ("content", "t-3", "urn"), room.stands).run[1] == "t-3"


def test_a_long_log_is_read_from_its_end(room: Room) -> None:
    for number in range(40):
        log, claim = room.ask(f"a{number}")
        log.give_up(claim, ValueError())
    newest = room.log("z").newest()
    assert newest is not None
    assert newest.step == 80


def test_of_many_who_ask_at_the_same_moment_one_gets_the_claim(room: Room) -> None:
    barrier, claims = threading.Barrier(16), []

    def ask(number: int) -> None:
        log = room.log(f"asker {number}")
        barrier.wait()
        try:
            step = log.ask(LEASE, 0.0, room.stands)
        except HeldError:
            return
        claims.append(step)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims) == 1
    assert room.states() == ["claimed"]


def test_signs_of_life_are_given_until_the_end(room: Room) -> None:
    log, claim = room.ask("a")
    with log.alive(claim, 0.02):
        while beat_key("t", CONFIG) not in room.store.bodies:
            pass
    assert claim.nonce.encode() in room.store.bodies[beat_key("t", CONFIG)]


@pytest.mark.parametrize("mode", list(Mode))
def test_whatever_call_of_a_builder_is_cut_everybody_later_gets_one_answer(mode: Mode) -> None:
    for links in (True, False):
        whole = Wire({})
        build(Room(links=links), "a", "1", GatedStore(Room(links=links).store, whole))
        for at, call in enumerate(whole.calls):
            if mode in _ONLY_WRITES and not call.writes:
                continue
            room, wire, told = Room(links=links), Wire({at: mode}), None
            with suppress(SealrunError, CrashError):
                told = build(room, "a", "1", GatedStore(room.store, wire))
            for late in wire.late:
                late.act()
            second = build(room, "b", "2", room.store)
            assert second == build(room, "c", "3", room.store), (at, call)
            assert told in {None, second}, (at, call)


def build(room: Room, by: str, run_id: str, store: Store) -> tuple[str, str, str]:
    """Ask, and build if it is our turn; return the answer."""
    log = BuildLog(store, room.clock, FakeEntropy(sum(by.encode())), by, "t", CONFIG)
    step = log.ask(LEASE, None, room.stands)
    if step.state == "claimed":
        step = log.conclude(step, ("content", run_id, "urn"), room.stands)
    return step.run
