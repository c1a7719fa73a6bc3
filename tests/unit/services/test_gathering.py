"""Threads that want something of one thing at the same time: one acts for all who wait, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.store import ModelStore

from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.registry.pointing import PointerName, Target
from sealrun.services.index.pointers import Pointers
from sealrun.services.threads.gathering import Gathering

PATIENCE_S = 60


class Door:
    """Holds the first who acts until so many others wait."""

    def __init__(self, gathering: Gathering[int, int], others: int) -> None:
        self.gathering = gathering
        self.others = others
        self.batches: list[list[int]] = []
        self.at_work = threading.Event()
        self.open = threading.Event()

    def act(self, wanted: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(wanted))
        if len(self.batches) == 1:
            self.at_work.set()
            assert self.open.wait(PATIENCE_S)
        return [2 * number for number in wanted]

    def wait_for_all(self) -> None:
        while len(self.gathering._waiting["x"]) < self.others:
            self.open.wait(0.001)


def test_those_who_come_while_one_acts_are_answered_together() -> None:
    gathering: Gathering[int, int] = Gathering()
    door = Door(gathering, 5)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(gathering.ask, "x", 0, door.act)
        assert door.at_work.wait(PATIENCE_S)
        others = [pool.submit(gathering.ask, "x", number, door.act) for number in range(1, 6)]
        door.wait_for_all()
        assert gathering.ask("y", 7, lambda wanted: [*wanted]) == 7  # another thing need not wait
        door.open.set()
        assert [each.result(PATIENCE_S) for each in (first, *others)] == [0, 2, 4, 6, 8, 10]
    assert door.batches[0] == [0]
    assert sorted(door.batches[1]) == [1, 2, 3, 4, 5]
    assert len(door.batches) == 2
    assert not gathering._waiting
    assert gathering.ask("x", 4, door.act) == 8


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_is_everybodys_and_an_interruption_only_of_the_one_interrupted(error: type[BaseException]) -> None:
    gathering: Gathering[int, int] = Gathering()
    door = Door(gathering, 3)
    failed: list[Sequence[int]] = []

    def act(wanted: Sequence[int]) -> Sequence[int]:
        if len(wanted) == 3 and not failed:
            failed.append(wanted)
            raise error
        return door.act(wanted)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(gathering.ask, "x", 0, act)
        assert door.at_work.wait(PATIENCE_S)
        others = [pool.submit(gathering.ask, "x", number, act) for number in (1, 2, 3)]
        door.wait_for_all()
        door.open.set()
        assert first.result(PATIENCE_S) == 0
        errors = [each.exception(PATIENCE_S) for each in others]
    if error is ValueError:
        assert all(isinstance(each, ValueError) for each in errors)
    else:
        assert sum(isinstance(each, KeyboardInterrupt) for each in errors) == 1
        assert sorted(each.result() for each in others if each.exception() is None) != []
        assert sum(each is None for each in errors) == 2
    assert not gathering._waiting


def test_a_crowd_is_answered_whoever_comes_when() -> None:
    gathering: Gathering[int, int] = Gathering()
    inside = threading.Semaphore(1)

    def act(wanted: Sequence[int]) -> Sequence[int]:
        assert inside.acquire(blocking=False), "two were at it"
        try:
            return [number + 1 for number in wanted]
        finally:
            inside.release()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: gathering.ask("x", number, act), range(2_000)))
    assert answers == list(range(1, 2_001))
    assert not gathering._waiting


def a_target(number: int) -> Target:
    return Target(
        experiment="e",
        run_id=RunId(f"run{number:03}"),
        attempt=AttemptId(f"20260117T143052Z-{number:016x}"),
        root_sha256=Digest(f"{number:064x}"),
        finished_at=f"2026-01-17T14:{number:02}:00Z",
    )


def test_a_pointer_that_many_runs_move_at_once_ends_at_the_newest_and_is_not_raced_for() -> None:
    clock = FakeClock()
    store = ModelStore(lambda: clock.now().timestamp(), links=False)
    pointers, latest = Pointers(store, clock, FakeEntropy(), "me"), PointerName.of_experiment("e", "latest")
    numbers = [7, 3, 40, 1, 22, 39, 5, 12] * 3
    together = threading.Barrier(len(numbers), timeout=PATIENCE_S)

    def advance(number: int) -> None:
        together.wait()
        pointers.advance(latest, a_target(number), "published")
        newest = pointers.newest(latest)
        assert newest is not None
        assert newest.target.order >= a_target(number).order  # on return it stands there, or further

    with ThreadPoolExecutor(len(numbers)) as pool:
        list(pool.map(advance, numbers))
    history = [generation.target.order for generation in pointers.history(latest)]
    assert history[0] == a_target(40).order
    assert history == sorted(history, reverse=True)
    assert pointers.advance(latest, a_target(39), "late") is None
    moved = pointers.advance(latest, a_target(41), "next")
    assert moved is not None
    assert moved.target == a_target(41)
