from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.runs.run import Status
from sealrun.domain.watches.looks import FileLine, fingerprint, forbidden_paths, missing_patterns
from sealrun.domain.watches.settling import (
    DEFAULT_FORBID,
    Complete,
    FrameworkStatus,
    Mark,
    SettleRules,
    Snapshot,
    Stale,
    Verdict,
    Waiting,
    Watching,
    decide,
    decide_now,
)

RULES = SettleRules(settle_s=30, stale_after_s=3600)
QUIET = Snapshot(fingerprint="f1", files=2, size=10, newest=0)
MARKED = msgspec.structs.replace(QUIET, marks=(Mark("_SUCCESS", "success"),))


def look_twice(
    snapshot: Snapshot, seconds: float, rules: SettleRules = RULES, writers: tuple[str, ...] = ()
) -> Verdict:
    first = decide(rules, None, snapshot, 100.0)
    return decide(rules, first.watching, snapshot, 100.0 + seconds, writers)


def test_quiet_for_the_settle_time_is_complete_by_inference() -> None:
    assert isinstance(look_twice(QUIET, 29.9), Waiting)
    verdict = look_twice(QUIET, 30)
    assert isinstance(verdict, Complete)
    assert (verdict.completion.method, verdict.completion.confidence, verdict.status) == (
        "quiet",
        "inferred",
        "unknown",
    )


def test_a_change_starts_the_wait_again() -> None:
    first = decide(RULES, None, QUIET, 0)
    grown = msgspec.structs.replace(QUIET, fingerprint="f2")
    second = decide(RULES, first.watching, grown, 29)
    third = decide(RULES, second.watching, grown, 58)
    assert isinstance(third, Waiting)
    assert third.next_look_s == pytest.approx(1)
    assert isinstance(decide(RULES, third.watching, grown, 59), Complete)


def test_a_marker_is_not_trusted_at_the_first_look_because_copying_may_deliver_it_first() -> None:
    assert isinstance(decide(RULES, None, MARKED, 0), Waiting)
    assert isinstance(look_twice(MARKED, 1.9), Waiting)
    verdict = look_twice(MARKED, 2)
    assert isinstance(verdict, Complete)
    assert (verdict.completion.method, verdict.completion.evidence, verdict.status) == (
        "marker",
        "_SUCCESS",
        "success",
    )


def test_files_that_arrive_after_the_marker_prolong_the_wait() -> None:
    first = decide(RULES, None, MARKED, 0)
    more = msgspec.structs.replace(MARKED, fingerprint="f2")
    assert isinstance(decide(RULES, first.watching, more, 2), Waiting)


@pytest.mark.parametrize("snapshot", [QUIET, MARKED])
def test_nothing_is_complete_while_somebody_writes(snapshot: Snapshot) -> None:
    verdict = look_twice(snapshot, 100, writers=("python[7]",))
    assert isinstance(verdict, Waiting)
    assert "python[7]" in verdict.reasons[0]


@pytest.mark.parametrize("snapshot", [QUIET, MARKED])
@pytest.mark.parametrize("lack", [{"missing": ("metrics.json",)}, {"forbidden": ("a.part",)}, {"files": 0}])
def test_a_missing_or_forbidden_file_means_wait_whatever_the_evidence(
    snapshot: Snapshot, lack: dict[str, object]
) -> None:
    assert isinstance(look_twice(msgspec.structs.replace(snapshot, **lack), 1000), Waiting)


def test_what_never_completes_turns_stale_and_a_change_revives_it() -> None:
    stuck = msgspec.structs.replace(QUIET, missing=("metrics.json",))
    verdict = look_twice(stuck, 3600)
    assert isinstance(verdict, Stale)
    assert "metrics.json" in verdict.reason
    complete = msgspec.structs.replace(QUIET, fingerprint="f2")
    assert isinstance(decide(RULES, verdict.watching, complete, 5000), Waiting)


def test_a_folder_that_keeps_changing_is_never_stale() -> None:
    verdict: Verdict = decide(RULES, None, QUIET, 0)
    for hour in range(1, 200):
        grown = msgspec.structs.replace(QUIET, fingerprint=f"f{hour}", missing=("x",))
        verdict = decide(RULES, verdict.watching, grown, hour * 1000.0)
        assert isinstance(verdict, Waiting)


def test_idleness_before_a_restart_counts_for_staleness_but_not_for_quiet() -> None:
    seen = Watching(fingerprint="f1", first_seen=0, unchanged_since=0, idle_s=3600)
    assert isinstance(decide(RULES, seen, QUIET, 10), Waiting)
    assert isinstance(decide(RULES, seen, msgspec.structs.replace(QUIET, missing=("x",)), 10), Stale)


@pytest.mark.parametrize("newest", [-1e9, 0.0, 4e9, 9e12])
def test_times_of_the_files_do_not_enter_the_decision(newest: float) -> None:
    dated = msgspec.structs.replace(QUIET, newest=newest)
    assert isinstance(look_twice(dated, 29), Waiting)
    assert isinstance(look_twice(dated, 30), Complete)


def test_a_clock_that_goes_back_neither_completes_nor_wedges() -> None:
    first = decide(RULES, None, QUIET, 1000)
    back = decide(RULES, first.watching, QUIET, 10)
    assert isinstance(back, Waiting)
    assert back.next_look_s <= 30
    assert isinstance(decide(RULES, back.watching, QUIET, 1030), Complete)


@pytest.mark.parametrize("status", ["success", "failed", "interrupted"])
def test_a_framework_that_says_finished_is_believed_like_a_marker(status: Status) -> None:
    said = FrameworkStatus(framework="mlflow", state="finished", evidence="meta.yaml", status=status)
    verdict = look_twice(msgspec.structs.replace(QUIET, framework=said), 2)
    assert isinstance(verdict, Complete)
    assert (verdict.completion.method, verdict.completion.confidence, verdict.status) == (
        "framework",
        "declared",
        status,
    )


def test_a_framework_that_says_running_is_waited_for_until_it_is_stale() -> None:
    said = FrameworkStatus(framework="mlflow", state="running", evidence="meta.yaml")
    running = msgspec.structs.replace(QUIET, framework=said)
    assert isinstance(look_twice(running, 60), Waiting)
    assert isinstance(look_twice(running, 3600), Stale)


def test_a_silent_framework_leaves_it_to_quiet() -> None:
    said = FrameworkStatus(framework="hydra", state="silent", evidence=".hydra/config.yaml")
    verdict = look_twice(msgspec.structs.replace(QUIET, framework=said), 30)
    assert isinstance(verdict, Complete)
    assert verdict.completion.method == "quiet"


def test_of_several_markers_the_one_that_declares_failure_counts() -> None:
    marks = (Mark("_SUCCESS", "success"), Mark(".sealrun/done.json", "failed"))
    verdict = look_twice(msgspec.structs.replace(QUIET, marks=marks), 2)
    assert isinstance(verdict, Complete)
    assert (verdict.completion.evidence, verdict.status) == (".sealrun/done.json", "failed")


def test_a_single_look_takes_marked_folders_and_old_ones_only() -> None:
    def once(snapshot: Snapshot, wall: float, *writers: str) -> Verdict:
        return decide_now(RULES, msgspec.structs.replace(snapshot, newest=1000), 5.0, wall, writers)

    assert isinstance(once(MARKED, 1000), Complete)
    assert isinstance(once(QUIET, 1030), Complete)
    assert isinstance(once(QUIET, 1029), Waiting)
    assert isinstance(once(QUIET, 0), Waiting)  # files from the future
    assert isinstance(once(MARKED, 1000, "python[7]"), Waiting)


def test_a_single_look_at_an_empty_folder_does_not_take_it_for_one_of_1970() -> None:
    empty = msgspec.structs.replace(QUIET, files=0, size=0, newest=0.0)
    assert isinstance(decide_now(RULES, empty, 5.0, 1e9), Waiting)


@given(
    st.floats(0, 1e6),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-100, 100)), max_size=20),
)
def test_complete_always_means_unchanged_for_the_settle_time(settle: float, looks: list[tuple[str, float]]) -> None:
    rules = SettleRules(settle_s=settle)
    watching, now, high, since = None, 0.0, 0.0, 0.0
    shown = ""
    for name, step in looks:
        now += step
        verdict = decide(rules, watching, msgspec.structs.replace(QUIET, fingerprint=name), now)
        if name != shown:
            shown, since = name, now
        high = max(high, now)
        if isinstance(verdict, Complete):
            assert now - since >= settle or settle == 0
        watching = verdict.watching


def test_the_next_look_is_never_in_the_past_and_never_far_away() -> None:
    for seconds in (0.0, 1.0, 29.999, 50.0):
        verdict = look_twice(msgspec.structs.replace(QUIET, missing=("x",)), seconds)
        assert isinstance(verdict, Waiting)
        assert 0 < verdict.next_look_s <= 30


@pytest.mark.parametrize(
    "path",
    [
        "a.tmp",
        "deep/er/b.part",
        "c.partial",
        "d.crdownload",
        "x/_temporary/0/part-0",
        ".~lock.sheet.ods#",
        ".model.bin.Xy12ab",
        "deep/.data.csv.a1B2c3",
    ],
)
def test_names_of_unfinished_downloads_are_forbidden(path: str) -> None:
    assert forbidden_paths(RULES, ["fine", path]) == (path,)


@pytest.mark.parametrize("path", ["a.txt", ".hydra/config.yaml", ".eslintrc.config", ".gitignore", "part", "x.tmpl"])
def test_ordinary_names_are_not_forbidden(path: str) -> None:
    assert forbidden_paths(RULES, [path]) == ()


def test_forbidding_can_be_changed_and_switched_off() -> None:
    assert forbidden_paths(SettleRules(forbid=()), ["a.tmp", ".m.Xy12ab"]) == ()
    assert forbidden_paths(SettleRules(forbid=("*.lock",)), ["a.tmp", "b.lock"]) == ("b.lock",)
    assert "*.part" in DEFAULT_FORBID


def test_required_patterns_are_matched_at_any_depth() -> None:
    rules = SettleRules(require=("metrics.json", "*.ckpt", "/top.txt"))
    assert missing_patterns(rules, ["sub/metrics.json", "sub/top.txt"]) == ("*.ckpt", "/top.txt")


_LINES = st.builds(FileLine, st.text(max_size=5), *([st.integers(0, 9)] * 3), st.booleans())


@given(st.lists(_LINES, max_size=5, unique_by=lambda line: line.path), st.lists(st.text(max_size=5), max_size=3))
def test_a_fingerprint_ignores_the_order_of_what_is_no_file(files: list[FileLine], others: list[str]) -> None:
    assert fingerprint(files, others) == fingerprint(iter(files), reversed(others))


@pytest.mark.parametrize("field", ["path", "size", "mtime_ns", "ctime_ns", "executable"])
def test_every_fact_of_a_file_enters_the_fingerprint(field: str) -> None:
    line = FileLine("a", 1, 2, 3, executable=False)
    other = msgspec.structs.replace(line, **{field: "b" if field == "path" else True if field == "executable" else 9})
    assert fingerprint([line]) != fingerprint([other])
    assert fingerprint([line]) != fingerprint([line], ["link"])
