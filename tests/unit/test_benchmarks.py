"""The benchmarks' workloads and tables, small and without looking at the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.measuring import Usage
from benchmarks.parties import PARTIES
from benchmarks.report import table
from benchmarks.running import Sample
from benchmarks.workloads import WORKLOADS, generate, plan

SCALE = 0.001


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_sample(party: str, wall: float, number: int = 1, error: str | None = None) -> Sample:
    usage = Usage(wall=wall, cpu=wall / 2, rss_mib=40, server_cpu=0, foreign=0.01, error=error)
    return Sample(party, "dir", "small", number, usage, objects=1_234, stored=5_000_000)


def a_table(*samples: Sample, missing: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in table(samples, PARTIES, ["dir"], set(missing)).splitlines()]
    return {row[0]: row for row in rows}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_has_the_same_bytes_every_time(workload: str, tmp_path: Path) -> None:
    first, second = (contents(generate(workload, tmp_path / name, SCALE)) for name in ("a", "b"))
    assert first == second
    assert set(first) == {planned.path for planned in plan(workload, SCALE)}


def test_a_workload_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    folder = generate("small", tmp_path, SCALE)
    (folder / "mark").touch()
    assert (generate("small", tmp_path, SCALE) / "mark").exists()


def test_full_workloads_are_as_large_as_they_say() -> None:
    assert len(plan("small")) == 10_000
    assert [sum(size or 0 for _, size in planned.parts) for planned in plan("large")] == [512 << 20] * 4
    assert len(plan("mixed")) == 1 + 5 + 200 + 2_000


def test_mixed_again_has_the_same_names_and_one_file_in_twenty_changed() -> None:
    before, after = ({planned.path: planned.parts for planned in plan(name)} for name in ("mixed", "mixed again"))
    assert before.keys() == after.keys()
    changed = [path.split("/")[0] for path, parts in before.items() if after[path] != parts]
    assert {folder: changed.count(folder) for folder in changed} == {"arrays": 1, "plots": 10, "logs": 100}


def test_ratios_are_taken_within_each_round() -> None:
    rows = a_table(
        *(a_sample("cp -r", wall, number) for number, wall in enumerate((1, 10, 100))),
        *(a_sample("sealrun", wall, number) for number, wall in enumerate((2, 30, 400))),
    )
    assert rows["sealrun"][1:4] == ["3.00", "3.00", "30.00 (2.00 to 400.00)"]
    assert rows["sealrun"][-3:] == ["1,234", "5.0", "1%"]


def test_a_party_that_is_missing_or_fails_keeps_its_row() -> None:
    failed = a_sample("rclone", 1, error="exit 1: no | such bucket")
    rows = a_table(a_sample("cp -r", 1), failed, missing=frozenset({"restic"}))
    assert rows["restic"][-1] == "not installed"
    assert rows["rclone"][-1] == "exit 1: no / such bucket"
    assert rows["sealrun"][-1] == "not run"


def test_a_failed_sample_does_not_enter_the_ratios() -> None:
    good, bad = a_sample("rclone", 2), replace(a_sample("rclone", 50, 2, "exit 1"), requests={})
    rows = a_table(a_sample("cp -r", 1), a_sample("cp -r", 1, 2), good, bad)
    assert rows["rclone (1 failed)"][1] == "2.00"


def test_a_run_measures_every_party_and_writes_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--scale", str(SCALE), "--rounds", "1", "--targets", "dir", "--workloads", "mixed again"]
    options += ["--parties", "cp -r,sha256sum", "--quiet-wait", "0", "--base", str(tmp_path), "--json"]
    assert main([*options, str(tmp_path / "samples.json")]) == 0
    said = capsys.readouterr().out
    assert "### directory, mixed again" in said
    document = json.loads((tmp_path / "samples.json").read_text())
    taken = {(sample["party"], sample["workload"]): sample for sample in document["samples"]}
    assert set(taken) == {(party, step) for party in ("cp -r", "sha256sum") for step in ("mixed", "mixed again")}
    assert taken["cp -r", "mixed"]["objects"] == len(plan("mixed", SCALE))
    assert not (tmp_path / "rooms").exists()
