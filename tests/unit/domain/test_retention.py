from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealrun.domain.address import Digest, RunId
from sealrun.domain.errors import UsageError
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.retention import Policy, RetentionPlan, RunFacts, plan_retention

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def a_fact(
    name: str,
    finished: str | timedelta,
    *,
    status: str = "success",
    content: str | None = None,
    tags: Iterable[str] = (),
    grounds: Iterable[str] = (),
    obstacle: str | None = None,
    gone: bool = False,
) -> RunFacts:
    at = finished if isinstance(finished, str) else (NOW - finished).strftime("%Y-%m-%dT%H:%M:%SZ")
    return RunFacts(
        experiment="train",
        run_id=RunId(name),
        status=status,
        finished_at=at,
        size=1,
        files=1,
        tree_digest=Digest(sha256((content or name).encode())),
        tags=tuple(tags),
        grounds=tuple(grounds),
        obstacle=obstacle,
        gone=gone,
    )


def days(*ages: float, **facts: object) -> list[RunFacts]:
    """Runs that finished so many days ago, each named after its age."""
    return [a_fact(f"d{age}", timedelta(days=age), **facts) for age in ages]  # type: ignore[arg-type] # of `a_fact`


def plan(runs: Iterable[RunFacts], **rules: object) -> RetentionPlan:
    return plan_retention("train", runs, Policy(**rules), NOW)  # type: ignore[arg-type] # the fields of a policy


def kept(found: RetentionPlan) -> list[str]:
    return [judged.run.run_id for judged in found.kept]


def reasons(found: RetentionPlan, run_id: str) -> str:
    (judged,) = [judged for judged in found.judged if judged.run.run_id == run_id]
    return "; ".join(judged.reasons)


def test_an_empty_policy_retires_nothing_and_says_so() -> None:
    found = plan(days(1, 400))
    assert kept(found) == ["d1", "d400"]
    assert found.note == "the policy is empty: nothing is retired"
    assert Policy(keep_last=0, keep_within_s=0.0).empty


def test_keep_last_keeps_the_newest_and_tells_each_run_why() -> None:
    found = plan(days(1, 2, 3, 4), keep_last=2)
    assert kept(found) == ["d1", "d2"]
    assert reasons(found, "d2") == "keep_last=2: number 2 of the newest successful runs"
    assert reasons(found, "d4") == "no rule keeps it: 3 newer successful runs of distinct content"
    assert found.why == "retention by keep_last=2"


def test_a_failed_run_takes_no_place_of_a_successful_one() -> None:
    found = plan([*days(1, status="failed"), *days(2, status="unknown"), *days(3)], keep_last=2)
    assert kept(found) == ["d2", "d3"]
    assert "its status is failed" in reasons(found, "d1")


def test_runs_of_the_same_content_take_one_place_and_stay_together() -> None:
    runs = [*days(1, 2, 3, content="same"), *days(4, 5)]
    found = plan(runs, keep_last=2)
    assert kept(found) == ["d1", "d2", "d3", "d4"]
    assert reasons(found, "d3") == "same content as train/d1, which counts"
    lost = plan([*days(1), *days(2, 3, content="same")], keep_last=1)
    assert kept(lost) == ["d1"]
    assert reasons(lost, "d3") == "no rule keeps it: same content as train/d2, which no rule counts"


def test_buckets_keep_the_newest_run_of_each_that_has_any() -> None:
    runs = [
        a_fact(at.replace(":", ""), at)
        for at in (
            "2026-01-30T23:59:59Z",
            "2026-01-30T01:00:00Z",
            "2026-01-20T10:00:00Z",
            "2026-01-19T10:00:00Z",
            "2025-12-29T10:00:00Z",
            "2025-03-01T10:00:00Z",
        )
    ]
    assert kept(plan(runs, keep_daily=2)) == ["2026-01-30T235959Z", "2026-01-20T100000Z"]
    weekly = plan(runs, keep_weekly=3)
    assert kept(weekly) == ["2026-01-30T235959Z", "2026-01-20T100000Z", "2025-12-29T100000Z"]
    assert reasons(weekly, "2025-12-29T100000Z") == "keep_weekly=3: newest successful run of 2026-W01"
    assert kept(plan(runs, keep_monthly=2)) == ["2026-01-30T235959Z", "2025-12-29T100000Z"]
    assert kept(plan(runs, keep_yearly=9)) == ["2026-01-30T235959Z", "2025-12-29T100000Z"]


def test_an_hour_in_another_zone_belongs_to_its_day_in_utc() -> None:
    runs = [a_fact("east", "2026-01-30T01:00:00+05:00"), a_fact("utc", "2026-01-29T10:00:00Z")]
    assert reasons(plan(runs, keep_daily=1), "east") == "keep_daily=1: newest successful run of 2026-01-29"


def test_keep_within_applies_to_every_status_and_to_runs_from_the_future() -> None:
    runs = [*days(-2), *days(1, 3, status="failed"), *days(8)]
    found = plan(runs, keep_within_s=7 * 86400.0)
    assert kept(found) == ["d-2", "d1", "d3"]
    assert reasons(found, "d3") == "keep_within=7d: finished 3d ago"


def test_tags_and_status_keep_what_has_them() -> None:
    runs = [*days(1, tags=("release", "eu")), *days(2, status="partial"), *days(3)]
    found = plan(runs, keep_tags=("release", "lts"), keep_status=("partial",))
    assert kept(found) == ["d1", "d2"]
    assert reasons(found, "d1") == "keep_tags: tagged release"
    assert reasons(found, "d2") == "keep_status: partial"


def test_a_run_with_a_ground_is_kept_and_takes_the_place_it_has() -> None:
    found = plan([*days(1, 2), *days(9, grounds=("pointer train@best",))], keep_last=1)
    assert kept(found) == ["d1", "d9"]
    assert reasons(found, "d9") == "pointer train@best"


def test_a_run_that_cannot_be_retired_now_is_kept_with_that_reason() -> None:
    found = plan([*days(1), *days(2, obstacle="attempt x is still being announced")], keep_last=1)
    assert kept(found) == ["d1", "d2"]
    assert reasons(found, "d2").startswith("attempt x is still being announced; otherwise")


def test_a_run_that_is_gone_takes_no_place_and_is_retired_to_the_end() -> None:
    found = plan([*days(1, gone=True), *days(2, 3)], keep_last=1)
    assert kept(found) == ["d2"]
    assert reasons(found, "d1") == "retired already, but the index still lists it"


def test_a_finish_time_that_cannot_be_read_keeps_a_run_and_takes_no_place() -> None:
    found = plan([a_fact("odd", "yesterday"), *days(1, 2)], keep_last=1)
    assert kept(found) == ["odd", "d1"]
    assert "cannot be read" in reasons(found, "odd")


def test_a_rule_below_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="keep_daily: expected a number of at least 0"):
        Policy(keep_daily=-1)


def test_an_endless_time_to_keep_is_no_error() -> None:
    assert kept(plan(days(9999), keep_within_s=1e18)) == ["d9999"]


# ---------------------------------------------------------------- what holds for every policy

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_COUNTS = st.one_of(st.none(), st.integers(0, 6))
POLICIES = st.builds(
    Policy,
    keep_last=_COUNTS,
    keep_daily=_COUNTS,
    keep_weekly=_COUNTS,
    keep_monthly=_COUNTS,
    keep_yearly=_COUNTS,
    keep_within_s=st.one_of(st.none(), st.integers(0, 900 * 86400).map(float)),
    keep_tags=st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple),
    keep_status=st.lists(st.sampled_from(["failed", "partial"]), max_size=2, unique=True).map(tuple),
)
FACTS = st.builds(
    a_fact,
    name=st.just("named later"),
    finished=st.integers(-2 * 24, 800 * 24).map(lambda hours: timedelta(hours=hours)),
    status=st.sampled_from(["success", "unknown", "failed", "partial"]),
    content=st.sampled_from("abcdefghij"),
    tags=st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True),
    grounds=st.sampled_from([(), (), (), ("pointer train@best",), ("pinned by ann: needed",), ("held by ann: law",)]),
)
RUNS = st.lists(FACTS, max_size=25).map(
    lambda facts: [msgspec.structs.replace(fact, run_id=RunId(f"r{number:02}")) for number, fact in enumerate(facts)]
)


def more(policy: Policy, other: Policy) -> Policy:
    """Every rule of both, each as generous as the more generous."""
    return Policy(
        keep_last=max(policy.keep_last or 0, other.keep_last or 0),
        keep_daily=max(policy.keep_daily or 0, other.keep_daily or 0),
        keep_weekly=max(policy.keep_weekly or 0, other.keep_weekly or 0),
        keep_monthly=max(policy.keep_monthly or 0, other.keep_monthly or 0),
        keep_yearly=max(policy.keep_yearly or 0, other.keep_yearly or 0),
        keep_within_s=max(policy.keep_within_s or 0, other.keep_within_s or 0),
        keep_tags=policy.keep_tags + other.keep_tags,
        keep_status=policy.keep_status + other.keep_status,
    )


@unhurried
@given(RUNS, POLICIES.filter(lambda policy: not policy.empty), POLICIES)
def test_a_more_generous_policy_keeps_everything_that_a_stricter_one_keeps(
    runs: list[RunFacts], policy: Policy, other: Policy
) -> None:
    stricter, generous = (plan_retention("train", runs, rules, NOW) for rules in (policy, more(policy, other)))
    assert set(kept(stricter)) <= set(kept(generous))


@unhurried
@given(RUNS, POLICIES)
def test_every_run_is_judged_once_with_a_reason(runs: list[RunFacts], policy: Policy) -> None:
    found = plan_retention("train", runs, policy, NOW)
    assert sorted(judged.run.run_id for judged in found.judged) == [run.run_id for run in runs]
    assert all(judged.reasons and all(judged.reasons) for judged in found.judged)
    assert found == plan_retention("train", reversed(runs), policy, NOW), "the order of the runs plays a part"


@unhurried
@given(RUNS, POLICIES)
def test_what_a_pointer_or_a_person_keeps_is_never_retired(runs: list[RunFacts], policy: Policy) -> None:
    assert not [judged for judged in plan_retention("train", runs, policy, NOW).retired if judged.run.grounds]


@unhurried
@given(RUNS)
def test_an_empty_policy_never_retires_anything(runs: list[RunFacts]) -> None:
    found = plan_retention("train", runs, Policy(), NOW)
    assert not found.retired
    assert found.note


@unhurried
@given(RUNS, POLICIES, st.integers(1, 6))
def test_the_newest_successful_run_is_kept_by_any_keep_last(runs: list[RunFacts], policy: Policy, last: int) -> None:
    found = plan_retention("train", runs, msgspec.structs.replace(policy, keep_last=last), NOW)
    successful = [run for run in runs if run.status in {"success", "unknown"}]
    if successful:
        assert max(successful, key=lambda run: run.order).run_id in kept(found)


@unhurried
@given(RUNS, POLICIES)
def test_a_retired_run_shares_its_content_with_no_counted_one(runs: list[RunFacts], policy: Policy) -> None:
    found = plan_retention("train", runs, policy, NOW)
    counted = {judged.run.tree_digest for judged in found.judged if judged.counted}
    assert not counted & {judged.run.tree_digest for judged in found.retired}
