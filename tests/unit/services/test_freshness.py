"""What was read lately is shown again for a while, the longer the dearer it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes.clock import FakeClock

from sealrun.domain.errors import IntegrityError, UnavailableError
from sealrun.services.oversight.freshness import Fresh

PATIENCE_S = 60.0


def counting(clock: FakeClock, cost_s: float) -> tuple[Callable[[], int], list[int]]:
    """Something that takes so long to read, and how often it was."""
    times: list[int] = []

    def read() -> int:
        clock.sleep(cost_s)
        times.append(len(times) + 1)
        return len(times)

    return read, times


@pytest.mark.parametrize(("cost_s", "kept_s"), [(0.0, 2.0), (0.1, 2.0), (1.0, 10.0), (100.0, 60.0)])
def test_a_value_is_kept_ten_times_as_long_as_it_took_within_bounds(cost_s: float, kept_s: float) -> None:
    clock = FakeClock()
    read, times = counting(clock, cost_s)
    fresh = Fresh(read, clock)
    assert (fresh.get(), fresh.get()) == (1, 1)
    clock.sleep(kept_s - 0.01)
    assert fresh.get() == 1
    clock.sleep(0.02)
    assert (fresh.get(), times) == (2, [1, 2])


def test_an_error_is_not_remembered() -> None:
    answers = [UnavailableError("down"), None]

    def read() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "there"

    fresh = Fresh(read, FakeClock())
    with pytest.raises(UnavailableError, match="down"):
        fresh.get()
    assert fresh.get() == "there"


def test_several_who_come_at_once_share_one_reading_and_wait_no_longer_than_they_may() -> None:
    inside, go_on = threading.Event(), threading.Event()
    times: list[int] = []

    def read() -> int:
        times.append(1)
        inside.set()
        assert go_on.wait(PATIENCE_S)
        return 7

    patient, hasty = Fresh(read, FakeClock(), patience_s=PATIENCE_S), Fresh(read, FakeClock(), patience_s=0.0)
    for fresh in (patient, hasty):
        inside.clear()
        go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(fresh.get)
            assert inside.wait(PATIENCE_S)
            second = pool.submit(fresh.get)
            if fresh is hasty:
                with pytest.raises(UnavailableError, match="try again"):
                    second.result(PATIENCE_S)
            go_on.set()
            assert first.result(PATIENCE_S) == 7
            assert fresh is hasty or second.result(PATIENCE_S) == 7
    assert len(times) == 2


def test_a_lasting_value_outlives_an_outage_and_says_why_it_is_old() -> None:
    clock = FakeClock()
    answers: list[str | Exception] = ["one", UnavailableError("down"), "two", IntegrityError("damaged")]

    def read() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    fresh = Fresh(read, clock, lasting=True)
    assert (fresh.get(), fresh.problem) == ("one", None)
    clock.sleep(3)
    assert (fresh.get(), fresh.problem) == ("one", "down")
    clock.sleep(3)
    assert fresh.get() == "one"  # it is left alone for a while
    clock.sleep(11)
    assert (fresh.get(), fresh.problem) == ("two", None)
    clock.sleep(3)
    with pytest.raises(IntegrityError):
        fresh.get()


def test_what_was_never_read_does_not_last() -> None:
    def read() -> str:
        raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        Fresh(read, FakeClock(), lasting=True).get()


def test_who_comes_while_a_lasting_value_is_read_for_long_gets_the_one_before() -> None:
    inside, go_on = threading.Event(), threading.Event()
    clock = FakeClock()
    times: list[int] = []

    def read() -> int:
        times.append(len(times) + 1)
        if len(times) > 1:
            inside.set()
            assert go_on.wait(PATIENCE_S)
        return len(times)

    fresh = Fresh(read, clock, patience_s=0.0, lasting=True)
    assert fresh.get() == 1
    clock.sleep(3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fresh.get)
        assert inside.wait(PATIENCE_S)
        assert (fresh.get(), fresh.problem) == (1, "it takes long to answer")
        go_on.set()
        assert first.result(PATIENCE_S) == 2
    assert (fresh.get(), fresh.problem) == (2, None)
