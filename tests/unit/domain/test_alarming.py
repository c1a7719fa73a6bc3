from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.oversight.alarming import KINDS, AlarmRules, Seen, Trouble, advice, help_of, judge
from sealrun.domain.oversight.board import Alarm

RULES = AlarmRules(unreachable_after_s=900, clear_after_s=120)


class Judge:
    """What stands, from one look to the next."""

    def __init__(self, rules: AlarmRules = RULES) -> None:
        self.rules = rules
        self.standing: dict[str, Alarm] = {}
        self.seen: Mapping[str, Seen] = {}
        self.raised: list[str] = []

    def look(self, now: float, *troubles: Trouble) -> list[str]:
        judged = judge(troubles, self.standing.values(), self.seen, self.rules, now)
        self.seen = judged.seen
        for each in judged.stands:
            if each.key not in self.standing:
                self.raised.append(each.key)
            self.standing[each.key] = Alarm(
                key=each.key, kind=each.kind, subject=each.subject, severity="warning", reason=each.reason, since=""
            )
        for key in judged.over:
            del self.standing[key]
        return sorted(self.standing)


def down(since: float | None = None) -> Trouble:
    return Trouble(kind="registry-unreachable", subject="main", reason="no answer", since=since)


def full() -> Trouble:
    return Trouble(kind="registry-full", subject="main", reason="no space left")


def stale() -> Trouble:
    return Trouble(kind="run-stale", subject="training", reason="1 stale: /a")


def test_a_registry_that_is_away_is_an_alarm_only_after_its_time_which_counts_from_the_outage() -> None:
    judge = Judge()
    assert judge.look(1000, down(since=1000)) == []
    assert judge.look(1899, down(since=1000)) == []
    assert judge.look(1900, down(since=1000)) == ["registry-unreachable:main"]
    assert Judge().look(1900, down(since=1000)) == ["registry-unreachable:main"]  # of a daemon that just started


def test_what_comes_and_goes_is_one_alarm() -> None:
    judge = Judge()
    for minute in range(60):
        judge.look(minute * 60.0, *([full()] if minute % 2 else []))
    assert judge.raised == ["registry-full:main"]
    assert judge.look(59 * 60.0 + 119) == ["registry-full:main"]
    assert judge.look(59 * 60.0 + 120) == []


def test_short_returns_do_not_let_an_outage_begin_anew() -> None:
    judge = Judge()
    for second in range(0, 1000, 30):
        judge.look(float(second), *([] if second % 300 == 60 else [down(since=float(second))]))
    assert judge.raised == ["registry-unreachable:main"]


def test_an_outage_that_ended_long_ago_is_forgotten() -> None:
    judge = Judge()
    judge.look(0, down())
    judge.look(800, down())
    judge.look(1000)
    assert judge.look(1100, down()) == []
    assert judge.look(1999, down()) == []
    assert judge.look(2000, down()) == ["registry-unreachable:main"]


def test_what_does_not_flap_is_over_at_once() -> None:
    judge = Judge()
    assert judge.look(0, stale()) == ["run-stale:training"]
    assert judge.look(30) == []


def test_an_alarm_that_nobody_observes_is_left_to_whoever_raised_it() -> None:
    judge = Judge()
    for kind in ("damage", "collector-refused", "settings-refused", "http-unavailable", "of-a-newer-version"):
        judge.standing[f"{kind}:x"] = Alarm(
            key=f"{kind}:x", kind=kind, subject="x", severity="warning", reason="", since=""
        )
    assert len(judge.look(10_000_000)) == 5


def test_after_a_restart_an_alarm_that_flaps_is_watched_for_a_while_before_it_is_over() -> None:
    judge = Judge()
    judge.look(0, full())
    judge.seen = {}
    assert judge.look(1000) == ["registry-full:main"]
    assert judge.look(1121) == []


@given(st.lists(st.booleans(), max_size=200), st.sampled_from([full(), down(), stale()]))
def test_an_alarm_is_never_raised_twice_without_having_been_over_and_memory_does_not_grow(
    there: list[bool], trouble: Trouble
) -> None:
    judge = Judge()
    for number, wrong in enumerate(there):
        before = set(judge.standing)
        judge.look(number * 30.0, *([trouble] if wrong else []))
        assert not set(judge.raised[len(judge.raised) :]) & before
        assert len(judge.seen) <= 1
    judge.look(len(there) * 30.0)
    judge.look(len(there) * 30.0 + 120)
    assert not judge.standing
    assert not judge.seen


def test_every_kind_says_what_to_do_and_where_to_read_on() -> None:
    for kind, nature in KINDS.items():
        assert nature.do
        assert advice(kind) == nature.do
        assert help_of(kind) == f"sealrun runbook {kind}"
    assert not advice("of-a-newer-version")
