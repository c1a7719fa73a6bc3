"""Shapes, planning and warm daemons: their sources and tables, small and without looking at the clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import planning, shapes
from benchmarks.measuring import Usage
from benchmarks.parties import Room
from benchmarks.planning import Planned, make_runs
from benchmarks.shape_sources import append_log, compare, deep_tree, noise, tiny_files, tiny_runs
from benchmarks.warm import Warm
from benchmarks.warm import table as warm_table


def a_plan(party: str, wall: float, number: int = 1, error: str | None = None) -> Planned:
    usage = Usage(wall, wall / 2, rss_mib=40, server_cpu=0, foreign=0, error=error)
    return Planned(party, "dir", 1_000, number, usage)


def rows_of(said: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in said.splitlines()[2:]]
    return {row[2]: row for row in rows}


def test_noise_is_as_long_as_asked_and_does_not_repeat() -> None:
    size = 3 << 20
    body = b"".join(noise(size, 1))
    assert len(body) == size
    assert body == b"".join(noise(size, 1)) != b"".join(noise(size, 2))
    pieces = [body[start : start + 4096] for start in range(0, size, 4096)]
    assert len(set(pieces)) == len(pieces)


def test_a_log_grows_by_a_tenth_at_a_time_and_keeps_what_it_had(tmp_path: Path) -> None:
    append_log(tmp_path / "log", 1e-5, 1)
    before = (tmp_path / "log/train.log").read_bytes()
    append_log(tmp_path / "log", 1e-5, 2)
    after = (tmp_path / "log/train.log").read_bytes()
    assert len(before) == 1000
    assert len(after) == 2000
    assert after.startswith(before)
    assert len(set(after.splitlines())) == len(after.splitlines())


def test_shapes_are_as_large_as_they_say(tmp_path: Path) -> None:
    tiny_files(tmp_path / "tiny", 1e-5)
    assert [path.stat().st_size for path in (tmp_path / "tiny").rglob("*") if path.is_file()] == [200] * 10
    deep_tree(tmp_path / "deep", 1)
    assert sum(1 for path in (tmp_path / "deep").rglob("f") if path.is_file()) == 200
    tiny_runs(tmp_path / "runs", 1e-3)
    assert len(list((tmp_path / "runs").glob("*/_SUCCESS"))) == 10


@pytest.mark.parametrize("spoil", ["changed", "gone", "more", "empty folder gone"])
def test_a_restored_folder_that_differs_is_noticed(tmp_path: Path, spoil: str) -> None:
    for name in ("ours", "theirs"):
        deep_tree(tmp_path / name, 1e-3)
    compare(tmp_path / "ours", tmp_path / "theirs")
    victim = tmp_path / "theirs/d/f"
    match spoil:
        case "changed":
            victim.write_bytes(b"9")
        case "gone":
            victim.unlink()
        case "more":
            (tmp_path / "theirs/zzz").touch()
        case _:
            next((tmp_path / "theirs").rglob("empty")).rmdir()
    with pytest.raises(RuntimeError):
        compare(tmp_path / "ours", tmp_path / "theirs")


def test_each_shape_is_published_restored_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        shapes.main(["--scale", "0.0001", "--only", "deep,runs", "--peers", "floor-pack", "--base", str(tmp_path)]) == 0
    )
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    acts = {(one["shape"], one["party"], one["act"]) for one in said}
    assert {("deep", "sealrun", "get"), ("deep", "floor-pack", "get"), ("runs", "sealrun", "scan")} <= acts
    assert all(one["wall"] >= 0 and not one["over"] for one in said)


def test_runs_to_plan_over_are_of_different_bytes_and_made_once(tmp_path: Path) -> None:
    runs = make_runs(tmp_path / "runs", 25, per_run=10)
    assert [len(list(run.iterdir())) for run in runs] == [10, 10, 5]
    bodies = [path.read_bytes() for run in runs for path in run.iterdir()]
    assert len(set(bodies)) == len(bodies)
    (runs[0] / "mark").touch()
    assert (make_runs(tmp_path / "runs", 25, per_run=10)[0] / "mark").exists()


def test_planning_is_compared_within_each_round() -> None:
    mine = [a_plan("sealrun", wall, number) for number, wall in enumerate((1, 10))]
    theirs = [a_plan("restic", wall, number) for number, wall in enumerate((6, 40))]
    rows = rows_of(planning.table([*mine, *theirs, a_plan("dvc", 0, error="exit 1: a | b")]))
    assert rows["restic"][3:5] == ["23.00 (11.50)", "5.0"]
    assert rows["dvc"][3] == "exit 1: a / b"


def test_what_a_planner_asks_for_deletes_nothing() -> None:
    room = Room(Path("ROOM"), "dir")
    for party in planning.PLANNERS:
        assert "--dry" in " ".join(party.plan(room))


def test_latencies_of_a_warm_daemon_are_medians_with_their_range() -> None:
    said = warm_table([Warm("dir", "small", number, wall, 0.5, 60 + wall) for number, wall in enumerate((3, 1, 2))])
    assert said.splitlines()[-1] == "| dir | small | 2.00 (1.00 to 3.00) | 0.50 | 63 |  |"
