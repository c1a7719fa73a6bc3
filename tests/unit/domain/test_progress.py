from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.oversight.progress import Work, hanging

_moments = st.floats(0, 1e6, allow_nan=False)


def _work(began: float, moved: float = -math.inf) -> Work:
    return Work("delivery-main", began, moved, 1)


def test_work_that_has_just_begun_does_not_hang() -> None:
    assert hanging([_work(100.0)], 160.0, 60.0) == ()


def test_work_that_shows_no_progress_for_longer_than_the_patience_hangs() -> None:
    assert hanging([_work(100.0)], 161.0, 60.0) == (_work(100.0),)


def test_only_what_hangs_is_named() -> None:
    hung, well = _work(0.0, 10.0), Work("intake-w", 0.0, 990.0, 2)
    assert hanging([hung, well], 1000.0, 60.0) == (hung,)


def test_nothing_under_way_hangs_never() -> None:
    assert hanging([], 1e9, 1.0) == ()


def test_twenty_gigabytes_at_a_megabyte_a_second_never_hang() -> None:
    """Read in pieces of 16 MiB, one piece gets on every 17 s; all of them take five and a half hours."""
    for moved in range(0, 20_000, 17):
        assert hanging([_work(0.0, float(moved))], moved + 17.0) == ()


@given(began=_moments, moved=_moments, now=_moments, patience=st.floats(1, 1e5))
def test_more_progress_never_makes_work_hang(began: float, moved: float, now: float, patience: float) -> None:
    if not hanging([_work(began)], now, patience):
        assert not hanging([_work(began, moved)], now, patience)


@given(began=_moments, now=_moments, patience=st.floats(1, 1e5), more=st.floats(0, 1e5))
def test_more_patience_never_makes_work_hang(began: float, now: float, patience: float, more: float) -> None:
    if not hanging([_work(began)], now, patience):
        assert not hanging([_work(began)], now, patience + more)
