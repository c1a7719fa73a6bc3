"""Who records a run, and what its life or death means for the run."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from sealrun.domain.runs.recorder import Recorder, pulse_line, pulse_time, read_recorder
from sealrun.domain.watches.settling import (
    Complete,
    FrameworkStatus,
    Mark,
    SettleRules,
    Snapshot,
    Stale,
    Waiting,
    decide,
    decide_now,
)

RULES = SettleRules(settle_s=30, gone_after_s=600, stale_after_s=3600)
SILENT = Recorder(process=12, host="node7")
BEATING = Recorder(process=12, host="node7", heartbeat_s=30)
RECORDED = Snapshot(fingerprint="f", files=1, size=1, newest=0, recorder=BEATING, pulse="p1")


def test_what_is_written_is_read_and_anything_else_is_nobody() -> None:
    full = Recorder(process=1, host="h", boot="b", namespace="pid:[1]", started=5, heartbeat_s=30.0)
    assert read_recorder(msgspec.json.encode({**full.to_json(), "more": [1]})) == full
    assert read_recorder(b'{"process": 3}') == Recorder(process=3)
    for body in (None, b"", b"{", b"[]", b"{}", b'{"process": "x"}', b"[" * 100_000, b"\xff"):
        assert read_recorder(body) is None


def test_signs_of_life_are_of_one_length_and_say_when() -> None:
    now = datetime(2026, 1, 17, 14, 30, 52, 123456, tzinfo=UTC)
    first, later = pulse_line(now, 1), pulse_line(now.replace(year=2031), 999_999)
    assert len(first) == len(later)
    assert pulse_time(first.decode()) == now.replace(microsecond=0).timestamp()
    assert pulse_time("") is pulse_time("soon 1") is None


def test_while_its_producer_lives_a_run_waits_however_quiet_it_is() -> None:
    first = decide(RULES, None, RECORDED, 0, lives=True)
    verdict = decide(RULES, first.watching, RECORDED, 3000, lives=True)
    assert isinstance(verdict, Waiting)
    assert "process 12 on node7, which records it, lives" in verdict.reasons[0]
    assert isinstance(decide(RULES, first.watching, RECORDED, 3600, lives=True), Stale)
    assert isinstance(decide_now(RULES, RECORDED, 5000, 3000, lives=True), Waiting)


def test_a_marker_of_its_tools_does_not_end_a_run_whose_producer_lives_and_its_own_declaration_does() -> None:
    for name, taken in (("_SUCCESS", False), (".sealrun/done.json", True)):
        marked = msgspec.structs.replace(RECORDED, marks=(Mark(name, "success"),))
        assert isinstance(decide_now(RULES, marked, 5000, 5000, lives=True), Complete) is taken
        assert isinstance(decide_now(RULES, marked, 5000, 5000, lives=False), Complete)
        elsewhere = decide(RULES, None, marked, 0).watching
        assert isinstance(decide(RULES, elsewhere, marked, 599), Complete) is taken
        assert isinstance(decide(RULES, elsewhere, marked, 600), Complete)


def test_when_its_producer_is_gone_the_settle_time_is_enough() -> None:
    first = decide(RULES, None, RECORDED, 0, lives=False)
    assert isinstance(decide(RULES, first.watching, RECORDED, 29, lives=False), Waiting)
    verdict = decide(RULES, first.watching, RECORDED, 30, lives=False)
    assert isinstance(verdict, Complete)
    assert (verdict.status, verdict.completion.method) == ("unknown", "quiet")
    assert "its producer is gone" in verdict.completion.evidence
    assert isinstance(decide(RULES, first.watching, RECORDED, 30, ["sh[4]"], lives=False), Waiting)


def test_a_producer_elsewhere_is_gone_when_it_was_silent_for_long_enough() -> None:
    watching = decide(RULES, None, RECORDED, 0).watching
    for now in range(100, 2000, 100):
        verdict = decide(RULES, watching, msgspec.structs.replace(RECORDED, pulse=f"p{now}"), now)
        assert isinstance(verdict, Waiting)
        assert "process 12 on node7 records it" in verdict.reasons[0]
        watching = verdict.watching
    last = msgspec.structs.replace(RECORDED, pulse="p1900")
    assert isinstance(decide(RULES, watching, last, 2499), Waiting)
    verdict = decide(RULES, watching, last, 2500)
    assert isinstance(verdict, Complete)
    assert "no sign of life of its producer for 600 s" in verdict.completion.evidence


def test_a_sign_of_life_does_not_hide_that_a_run_is_stale_of_other_reasons() -> None:
    lacking = msgspec.structs.replace(RECORDED, missing=("x",))
    watching = decide(RULES, None, lacking, 0).watching
    assert isinstance(decide(RULES, watching, msgspec.structs.replace(lacking, pulse="p2"), 3600), Stale)


def test_a_slow_heartbeat_is_waited_for_twice() -> None:
    slow = msgspec.structs.replace(RECORDED, recorder=Recorder(process=1, heartbeat_s=1000))
    watching = decide(RULES, None, slow, 0).watching
    assert isinstance(decide(RULES, watching, slow, 1999), Waiting)
    assert isinstance(decide(RULES, watching, slow, 2000), Complete)


def test_without_a_heartbeat_quiet_decides_as_for_any_folder() -> None:
    silent = msgspec.structs.replace(RECORDED, recorder=SILENT, pulse="")
    watching = decide(RULES, None, silent, 0).watching
    assert isinstance(decide(RULES, watching, silent, 30), Complete)


@pytest.mark.parametrize(("ago", "taken"), [(599, False), (600, True)])
def test_a_single_look_judges_a_sign_of_life_by_when_it_says_it_was_given(ago: float, taken: bool) -> None:  # noqa: FBT001
    wall = 1_768_660_252.0
    line = pulse_line(datetime.fromtimestamp(wall - ago, UTC), 7).decode()
    seen = msgspec.structs.replace(RECORDED, pulse=line, newest=wall - 5000)
    assert isinstance(decide_now(RULES, seen, 100, wall), Complete) is taken


def test_a_single_look_takes_a_run_whose_signs_cannot_be_read_by_the_age_of_its_files() -> None:
    seen = msgspec.structs.replace(RECORDED, pulse="", newest=1000)
    assert isinstance(decide_now(RULES, seen, 0, 1599), Waiting)
    assert isinstance(decide_now(RULES, seen, 0, 1600), Complete)


def test_a_framework_that_says_it_runs_keeps_no_run_waiting_whose_recorder_died() -> None:
    running = FrameworkStatus(framework="mlflow", state="running", evidence="status 1")
    left = msgspec.structs.replace(RECORDED, framework=running)
    watching = decide(RULES, None, left, 0, lives=False).watching
    assert isinstance(decide(RULES, watching, left, 30, lives=False), Complete)
