"""Whatever comes from outside, a parser answers or raises the error it documents: soon, and within its bounds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.mutating import mutate
from tests.fuzz.seeds import record_kinds
from tests.fuzz.targets import TARGETS, attempt

_PATIENCE_CPU_S = 10.0
_FRAMEWORKS = [name for name in TARGETS if name.startswith("framework ")]
_OTHERS = [name for name in TARGETS if not name.startswith("framework ")]


class EndlessError(AssertionError):
    """A parser took seconds of this process's own time."""


@contextmanager
def bounded() -> Iterator[None]:
    """Raise in the middle of work that takes seconds of CPU; waiting does not count."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _PATIENCE_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # the pattern [[a] may mean something else one day
@pytest.mark.parametrize("name", _OTHERS)
@settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(rng=st.integers(0, 2**32).map(Random))
def test_a_parser_answers_or_raises_what_it_documents(name: str, rng: Random) -> None:
    target = TARGETS[name]
    body = mutate(rng, target.seeds)
    with bounded():
        attempt(target, body)


@pytest.mark.parametrize("name", _FRAMEWORKS)
@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(rng=st.integers(0, 2**32).map(Random))
def test_a_run_of_a_framework_with_one_file_broken_is_still_recognised_or_not(name: str, rng: Random) -> None:
    target = TARGETS[name]
    body = mutate(rng, target.seeds)
    with bounded():
        attempt(target, body)


def test_every_kind_of_record_is_among_them() -> None:
    assert {f"record {kind}" for kind in record_kinds()} <= set(TARGETS)
    assert len(record_kinds()) > 15
