"""What a watch makes of runs that `sealrun.recording` records, while their producer lives and when it died."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.builders.folders import Station, Writers, a_folder
from tests.fakes.clock import FakeClock

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.runs.recorder import HEARTBEAT_FILE, RECORDING_FILE, pulse_line
from sealrun.domain.watches.settling import SettleRules
from sealrun.services.watching.detecting import Explanation, explain


def recorded(tmp_path: Path, heartbeat_s: float | None = 30.0) -> Path:
    run = a_folder(tmp_path / "runs/a", {"x": "1", "run.json": '{"run_id": "a", "status": "running"}'})
    said = {"process": 12, "host": "node7", "heartbeat_s": heartbeat_s}
    a_folder(run, {RECORDING_FILE: json.dumps(said), HEARTBEAT_FILE: "2026-01-17T14:30:52Z 0000000001\n"})
    return run


def test_a_run_whose_producer_lives_waits_and_is_interrupted_when_it_dies(tmp_path: Path) -> None:
    station = Station(tmp_path / "runs")
    recorded(tmp_path)
    station.writers.living = True
    station.settle()
    for _ in range(5):
        station.rescan(3600)
    assert (station.state("a"), station.envelopes()) == ("settling", [])
    assert "process 12 on node7, which records it, lives" in station.reason("a")
    station.writers.living = False
    station.look(30)
    (envelope,) = station.envelopes()
    assert (envelope.status, envelope.completion.confidence) == ("interrupted", "inferred")


def test_a_run_elsewhere_is_interrupted_when_its_heart_stopped_and_not_before(tmp_path: Path) -> None:
    station = Station(tmp_path / "runs", gone_after_s=100)
    run = recorded(tmp_path)
    station.settle()
    for beat in range(2, 12):
        (run / HEARTBEAT_FILE).write_text(f"2026-01-17T14:30:52Z {beat:010d}\n")
        station.rescan(100)
        assert station.envelopes() == []
    station.look(99)
    assert station.envelopes() == []
    station.look(2)
    (envelope,) = station.envelopes()
    assert envelope.status == "interrupted"
    assert "no sign of life of its producer for 100 s" in envelope.completion.evidence


def test_a_run_that_ends_while_it_is_waited_for_is_taken_by_its_own_word(tmp_path: Path) -> None:
    station = Station(tmp_path / "runs")
    run = recorded(tmp_path)
    station.writers.living = True
    station.settle()
    (run / "run.json").write_text('{"run_id": "a", "status": "success"}')
    a_folder(run, {".sealrun/done.json": '{"status": "success"}'})
    (run / RECORDING_FILE).unlink()
    station.settle()
    (envelope,) = station.envelopes()
    assert (envelope.status, envelope.completion.method) == ("success", "marker")


def test_an_unreadable_recording_is_nobodys(tmp_path: Path) -> None:
    station = Station(tmp_path / "runs")
    run = recorded(tmp_path)
    (run / RECORDING_FILE).write_text("{")
    station.writers.living = True
    station.settle()
    assert station.state("a") == "sealed"


def explained(run: Path, *, living: bool | None, clock: FakeClock) -> Explanation:
    writers = Writers()
    writers.living = living
    return explain(open_alone(str(run), NoHashes()), SettleRules(), writers, clock)


def test_the_explanation_says_who_records_a_run_and_whether_it_lives(tmp_path: Path) -> None:
    run = recorded(tmp_path)
    station = Station(tmp_path / "runs")
    clock = station.clock
    lives = explained(run, living=True, clock=clock)
    assert lives.recorder == "process 12 on node7: lives"
    assert not lives.complete
    gone = explained(run, living=False, clock=clock)
    assert gone.recorder == "process 12 on node7: is gone"
    (run / HEARTBEAT_FILE).write_bytes(pulse_line(clock.now() - timedelta(seconds=42), 9))
    there = explained(run, living=None, clock=clock)
    assert there.recorder is not None
    assert "the last 42 s ago" in there.recorder or "the last 43 s ago" in there.recorder
    assert explained(a_folder(tmp_path / "b", {"x": "1"}), living=None, clock=clock).recorder is None


def test_a_folder_that_a_run_lies_in_names_its_experiment(tmp_path: Path) -> None:
    station = Station(tmp_path / "e", glob="*/runs/*", experiment="{1}")
    for name in ("dev/runs/a", "paper/runs/b", "bad name/runs/c"):
        a_folder(tmp_path / "e" / name, {"x": name})
    station.settle()
    assert sorted((each.experiment, each.name) for each in station.envelopes()) == [("dev", "a"), ("paper", "b")]
    assert station.state("bad name/runs/c") == "rejected"
    assert "names its experiment" in station.reason("bad name/runs/c")
