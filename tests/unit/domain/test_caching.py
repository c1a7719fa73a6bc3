from __future__ import annotations

from sealrun.domain.upkeep.caching import Cached, plan_cleaning


def kept(used: float, size: int = 10, *, held: bool = False) -> Cached:
    return Cached(kind="file", place=f"files/{used}", name="x", size=size, used=used, held=held)


def test_what_was_used_least_lately_goes_first_and_no_more_than_needed() -> None:
    cleaning = plan_cleaning([kept(3), kept(1), kept(2), kept(4)], keep=25)
    assert [each.used for each in cleaning.remove] == [1, 2]
    assert [each.used for each in cleaning.stay] == [3, 4]
    assert cleaning.freed == 20


def test_what_is_held_stays_and_others_go_instead() -> None:
    cleaning = plan_cleaning([kept(1, held=True), kept(2), kept(3)], keep=20)
    assert [each.used for each in cleaning.remove] == [2]
    assert cleaning.held == 1


def test_what_was_used_lately_stays_even_if_there_is_too_much() -> None:
    cleaning = plan_cleaning([kept(1), kept(2), kept(3)], keep=0, unused_since=2)
    assert [each.used for each in cleaning.remove] == [1, 2]


def test_what_fits_stays() -> None:
    assert plan_cleaning([kept(1), kept(2)], keep=20).remove == ()
    assert plan_cleaning([], keep=0).freed == 0
