"""The benchmarks' workloads, floors, tables and verdicts, small and without looking at the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.floors import main as floor
from benchmarks.goals import verdicts
from benchmarks.measuring import Usage
from benchmarks.peers import PARTIES
from benchmarks.report import tables
from benchmarks.running import Sample
from benchmarks.sampled import phase_of
from benchmarks.workloads import SERIES, WORKLOADS, generate, plan

SCALE = 0.001


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_sample(party: str, wall: float, number: int = 1, error: str | None = None, cpu: float | None = None) -> Sample:
    usage = Usage(wall, wall / 2 if cpu is None else cpu, rss_mib=40, server_cpu=0, foreign=0.01, error=error)
    return Sample(party, "dir", "small", "publish", number, usage, objects=1_234, stored=5_000_000)


def a_table(*samples: Sample, missing: tuple[str, ...] = ()) -> dict[str, list[str]]:
    said = tables(samples, PARTIES, [(name, "dir") for name in missing])
    rows = [line.strip("| ").split(" | ") for line in said.splitlines()]
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


@pytest.mark.parametrize("form", ["cas", "pack"])
def test_a_floor_gives_back_what_it_stored_and_stores_no_content_twice(form: str, tmp_path: Path) -> None:
    source = generate("mixed", tmp_path, SCALE)
    (source / "twin").write_bytes(next(source.glob("checkpoints/*")).read_bytes())
    (source / "empty").touch()
    store, index, out = (str(tmp_path / name) for name in ("store", "index", "out"))
    assert floor([form, "publish", store, index, str(source)]) == 0
    stored = contents(Path(store))
    assert floor([form, "publish", store, index, str(source), "--name", "again"]) == 0
    assert {name for name in contents(Path(store)) if name.startswith(("packs", "objects"))} == {
        name for name in stored if name.startswith(("packs", "objects"))
    }
    assert floor([form, "restore", store, index, out, "--name", "again"]) == 0
    assert contents(Path(out)) == contents(source)


def test_a_floor_notices_changed_bytes(tmp_path: Path) -> None:
    source, store, index = generate("small", tmp_path, SCALE), tmp_path / "store", str(tmp_path / "index")
    floor(["pack", "publish", str(store), index, str(source)])
    pack = next((store / "packs").iterdir())
    pack.write_bytes(bytes([pack.read_bytes()[0] ^ 1]) + pack.read_bytes()[1:])
    with pytest.raises(ValueError, match="sample"):
        floor(["pack", "restore", str(store), index, str(tmp_path / "out")])


def test_ratios_are_taken_within_each_round() -> None:
    rows = a_table(
        *(a_sample("floor-pack", wall, number) for number, wall in enumerate((1, 10, 100))),
        *(a_sample("sealrun", wall, number) for number, wall in enumerate((2, 30, 400))),
        *(a_sample("restic", wall, number) for number, wall in enumerate((4, 60, 800))),
        *(a_sample("borg", wall, number) for number, wall in enumerate((8, 90, 900))),
    )
    assert rows["sealrun"][1:5] == ["3.00", "3.00", "0.50", "30.00 (2.00 to 400.00)"]
    assert rows["sealrun"][-3:] == ["1,234", "5.0", "1%"]
    assert rows["borg"][3] == "1.50"


def test_floors_and_sealrun_itself_are_no_peers() -> None:
    rows = a_table(a_sample("floor-pack", 1), a_sample("sealrun-new", 1), a_sample("sealrun", 2), a_sample("rclone", 4))
    assert rows["sealrun"][3] == "0.50"


def test_a_party_that_is_missing_or_fails_keeps_its_row() -> None:
    failed = a_sample("rclone", 1, error="exit 1: no | such bucket")
    rows = a_table(a_sample("floor-pack", 1), failed, missing=("restic",))
    assert rows["restic"][-1] == "not installed"
    assert rows["rclone"][-1] == "exit 1: no / such bucket"
    assert rows["borg"][-1] == "does no such thing"


def test_a_failed_sample_does_not_enter_the_ratios() -> None:
    good, bad = a_sample("rclone", 2), replace(a_sample("rclone", 50, 2, "exit 1"), requests={})
    rows = a_table(a_sample("floor-pack", 1), a_sample("floor-pack", 1, 2), good, bad)
    assert rows["rclone (1 failed)"][1] == "2.00"


def test_a_party_that_took_fewer_turns_says_so() -> None:
    rows = a_table(a_sample("floor-pack", 1), a_sample("floor-pack", 1, 2), a_sample("dvc", 2))
    assert rows["dvc (1 of 2 rounds)"][1] == "2.00"


def test_verdicts_compare_wall_and_cpu_with_the_floor_and_wall_with_the_best_peer() -> None:
    samples = [a_sample("floor-pack", 1, cpu=1), a_sample("sealrun", 1.2, cpu=1.4), a_sample("restic", 2)]
    said = verdicts([*samples, a_sample("borg", 1.1)], PARTIES, 10)
    assert [line.split(": ", 1)[1].split(",")[0] for line in said] == ["pass", "FAIL", "FAIL", "pass"]
    assert "1.4 times the packed floor's CPU" in said[1]
    assert "the best peer, borg" in said[2]
    assert "30 MiB above the interpreter" in said[3]


def test_verdicts_count_requests_by_the_bytes_that_were_new() -> None:
    stored = {"target": "s3", "stored": 64 << 20}
    base = a_sample("sealrun", 1)
    few, many = (replace(base, **stored, requests={"PUT": count, "GET": 2}) for count in (20, 21))  # type: ignore[arg-type] # mixed values
    assert [line.split(": ", 1)[1][:4] for line in verdicts([few], PARTIES, 10)] == ["pass", "pass"]
    assert [line.split(": ", 1)[1][:4] for line in verdicts([many], PARTIES, 10)] == ["FAIL", "pass"]


def test_verifying_is_judged_by_the_time_that_hashing_takes() -> None:
    cell = {"step": "large, verified", "action": "verify"}
    floor_sample, slow, quick = (
        replace(a_sample(*facts), **cell)  # type: ignore[arg-type] # the fields are strings
        for facts in (("floor-pack", 4.0), ("sealrun", 5.2), ("sealrun", 4.9))
    )
    assert "FAIL, 0.7692" in verdicts([floor_sample, slow], PARTIES, 10)[0]
    assert "pass, 0.8163" in verdicts([floor_sample, quick], PARTIES, 10)[0]


def test_a_stack_is_named_by_what_is_most_telling_in_it() -> None:
    stack = [
        "x/stores/posix_durable.py:write_all",
        "x/adapters/run_folders/hashing.py:digest",
        "x/services/watching/sealing.py:seal",
    ]
    assert phase_of(stack) == "hash and stage"
    assert phase_of([*stack, "<frozen importlib._bootstrap>:_find"]) == "imports"
    assert phase_of(["x/benchmarks/floors.py:fill_packs"]) == "fill_packs"


def test_a_run_measures_every_party_and_writes_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--scale", str(SCALE), "--rounds", "1", "--only", "w3:dir", "--quiet-wait", "0", "--base", str(tmp_path)]
    options += ["--parties", "cp -r,floor-pack", "--json", str(tmp_path / "samples.jsonl")]
    assert main([*options, "--report", str(tmp_path / "report.md")]) == 0
    said = capsys.readouterr().out
    assert "### directory, mixed again" in said
    assert (tmp_path / "report.md").read_text() == said
    conditions, *samples = map(json.loads, (tmp_path / "samples.jsonl").read_text().splitlines())
    assert conditions["rounds"] == 1
    taken = {(sample["party"], sample["step"]): sample for sample in samples}
    does = {"floor-pack": {"publish", "restore", "verify"}, "cp -r": {"publish", "restore"}}
    assert set(taken) == {
        (party, step.name) for party, actions in does.items() for step in SERIES["mixed"] if step.action in actions
    }
    assert taken["cp -r", "mixed"]["objects"] == len(plan("mixed", SCALE))
    assert not (tmp_path / "rooms").exists()
