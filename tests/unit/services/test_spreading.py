"""Bulk work over an executor: bounded, in order where that is asked, and what is urgent goes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from sealrun.domain.errors import UnavailableError
from sealrun.services.threads.spreading import Waiting, spread, spread_in_order


class Held(Executor):
    """An executor that does each task at once, and counts how many answers nobody has taken."""

    def __init__(self) -> None:
        self.begun: list[object] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 - any executor's
        self.begun.append(args[0])
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Broken(Executor):
    """An executor whose workers are gone."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401, ARG002 - any executor's
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("a worker died"))
        return future


def double(number: int) -> int:
    return 2 * number


def test_answers_in_order_are_those_of_a_loop_however_workers_run() -> None:
    release = threading.Event()

    def late_first(number: int) -> int:
        if number == 0:
            release.wait(30)
        elif number == 3:
            release.set()
        return double(number)

    with ThreadPoolExecutor(4) as pool:
        assert list(spread_in_order(pool, late_first, range(50), 8)) == list(map(double, range(50)))


def test_no_more_is_taken_from_the_items_than_may_be_in_flight() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    for how in (spread_in_order(Held(), double, items(), 3), spread(Held(), double, items(), 3)):
        taken.clear()
        next(iter(how))
        assert len(taken) == 3


def test_what_is_urgent_goes_before_the_rest() -> None:
    urgent = Waiting[int]()
    engine = Held()
    for item, _ in spread(engine, double, range(1, 6), 1, urgent):
        if item < 10:
            urgent.append(10 * item)
    assert engine.begun == [1, 10, 2, 20, 3, 30, 4, 40, 5, 50]


def test_an_engine_that_broke_is_said_to_be_unavailable() -> None:
    with pytest.raises(UnavailableError, match="the engine lost a worker"):
        list(spread(Broken(), double, range(3), 2))
    with pytest.raises(UnavailableError, match="the engine lost a worker"):
        list(spread_in_order(Broken(), double, range(3), 2))
