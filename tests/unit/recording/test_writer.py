from __future__ import annotations

import json
import multiprocessing
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sealrun.domain.errors import ConfigurationError, ConflictError, UsageError
from sealrun.domain.runs.declarations import read_producer
from sealrun.domain.runs.run import names_itself
from sealrun.recording import RunWriter
from sealrun.recording.ids import algo_run_id, pipeline_run_id


def record(run: RunWriter, file: str = "run.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.run_dir / file).read_text())
    return found


def a_run(tmp_path: Path, **options: Any) -> RunWriter:  # noqa: ANN401 - whatever a test wants to set
    return RunWriter("C-Eval", "0.1.0", root=tmp_path, **options)


def test_a_run_has_a_record_its_checks_and_a_log_and_is_declared_complete(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start(trigger_type="github_schedule", trigger_source="nightly", actor="ana")
    run.add_input(type="neon_table", ref="ovc.blocks")
    run.add_output(type="file", ref=tmp_path / "out.csv", rows=3)
    run.check(name="row_count", status="pass", evidence="rows=3")
    run.log("done")
    assert run.finish(status="success") == "success"
    said = record(run)
    assert said["trigger"] == {"type": "github_schedule", "source": "nightly", "actor": "ana"}
    assert said["inputs"] == [{"type": "neon_table", "ref": "ovc.blocks"}]
    assert said["outputs"] == [{"type": "file", "ref": str(tmp_path / "out.csv"), "rows": 3}]
    assert record(run, "checks.json")["checks"] == [{"name": "row_count", "status": "pass", "evidence": "rows=3"}]
    assert re.search(r"(?m)^\S+T\S+Z done$", (run.run_dir / "run.log").read_text())
    assert record(run, ".sealrun/done.json")["status"] == "success"
    assert not (run.run_dir / ".sealrun/recording.json").exists()


def test_records_are_canonical_json(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start(actor="Zoë")
    run.finish()
    text = (run.run_dir / "run.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert "Zo\\u00eb" in text


def test_intake_understands_every_field_that_it_looks_for(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start("local_cli", "here", "ana")
    run.add_input("table", "t")
    run.add_output("file", "f")
    run.check("c", "skip", "no data")
    run.record(params={"lr": 0.1}, metrics={"loss": float("nan")}, tags=["b", "a"])
    run.finish()
    files = ("run.json", "checks.json", ".sealrun/done.json")
    said = read_producer({name: (run.run_dir / name).read_bytes() for name in files})
    assert (said.run_id, said.status, said.pipeline_id, said.pipeline_version) == (
        run.run_id,
        "partial",
        "C-Eval",
        "0.1.0",
    )
    assert said.trigger == {"type": "local_cli", "source": "here", "actor": "ana"}
    assert (said.inputs, said.outputs) == ([{"type": "table", "ref": "t"}], [{"type": "file", "ref": "f"}])
    assert said.checks == [{"name": "c", "status": "skip", "evidence": "no data"}]
    assert (said.params, said.metrics, said.tags) == ({"lr": 0.1}, {"loss": "NaN"}, ["a", "b"])
    assert said.started_at is not None
    assert said.finished_at is not None


def test_a_run_that_has_not_ended_reads_as_interrupted_at_every_moment(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    run.check("c", "pass")
    records = {name: (run.run_dir / name).read_bytes() for name in ("run.json", "checks.json")}
    assert record(run)["status"] == "running"
    assert read_producer(records).status == "interrupted"
    assert not (run.run_dir / ".sealrun/done.json").exists()


@pytest.mark.parametrize(
    ("checks", "given", "status"),
    [
        ([], None, "success"),
        (["pass"], None, "success"),
        (["pass", "skip"], None, "partial"),
        (["pass", "warn"], "success", "partial"),
        (["pass", "fail", "skip"], "success", "failed"),
        (["pass"], "failed", "failed"),
        (["skip"], "interrupted", "interrupted"),
    ],
)
def test_the_status_follows_from_the_checks_and_nobodys_word_makes_it_better(
    tmp_path: Path, checks: list[str], given: str | None, status: str
) -> None:
    run = a_run(tmp_path)
    run.start()
    for number, each in enumerate(checks):
        run.check(f"check-{number}", each)
    assert run.finish(given) == status
    assert record(run)["status"] == status
    assert record(run, ".sealrun/done.json")["status"] == status


def test_evidence_that_is_there_passes(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    run.write_text("report.txt", "fine\n")
    line = run.log("rows=3")
    run.check("all", "pass", ["run.json:outputs[0].ref", "run.json:$.trigger.type", f"run.log:line:{line}"])
    run.check("file", "pass", "artifacts/report.txt")
    run.check("end", "pass", "run.json:finished_at")
    assert run.finish() == "success"


@pytest.mark.parametrize("evidence", ["run.json:outputs[7]", "run.log:line:999", "artifacts/never.csv"])
def test_a_check_whose_evidence_is_not_there_at_the_end_fails(tmp_path: Path, evidence: str) -> None:
    run = a_run(tmp_path)
    run.start()
    run.check("claimed", "pass", evidence)
    assert run.finish("success") == "failed"
    (check,) = record(run, "checks.json")["checks"]
    assert check["status"] == "fail"
    assert evidence in check["problem"]


@pytest.mark.parametrize(
    "evidence", ["run.json:", "run.json:a..b]", "run.log:12", "run.log:line:0", "artifacts/", "artifacts/../x"]
)
def test_a_malformed_reference_is_refused_at_once(tmp_path: Path, evidence: str) -> None:
    run = a_run(tmp_path)
    run.start()
    with pytest.raises(UsageError, match="evidence"):
        run.check("c", "pass", evidence)


def test_missing_required_variables_are_recorded_and_refused(tmp_path: Path) -> None:
    run = RunWriter("P", "1", ["DATABASE_URL", "HERE", "EMPTY"], root=tmp_path, environ={"HERE": "s3cret", "EMPTY": ""})
    with pytest.raises(ConfigurationError, match="DATABASE_URL, EMPTY"):
        run.start()
    said = record(run)
    assert said["status"] == "failed"
    assert said["required_env"] == {"names": ["DATABASE_URL", "HERE", "EMPTY"], "missing": ["DATABASE_URL", "EMPTY"]}
    assert record(run, ".sealrun/done.json")["status"] == "failed"
    assert not [file for file in run.run_dir.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]


def test_both_kinds_of_run_ids_are_names_that_runs_give_themselves() -> None:
    at = datetime(2026, 1, 17, 14, 30, 52, tzinfo=UTC)
    assert pipeline_run_id(at, "P2-Backfill", "a1b2c3d4e5") == "20260117T143052Z__P2-Backfill__a1b2c3d"
    assert pipeline_run_id(at, "P2-Backfill", None) == "20260117T143052Z__P2-Backfill__0000000"
    assert re.fullmatch(r"20260117T143052Z-hmc-chain0-[0-9a-f]{6}", algo_run_id(at, "hmc", "chain0"))
    assert re.fullmatch(r"20260117T143052Z-build_target-[0-9a-f]{6}", algo_run_id(at, "build_target", None))
    odd = (
        pipeline_run_id(at, "a b/ü" + "x" * 300, "A1B2C3D", distinct=True),
        algo_run_id(at, "../" + "y" * 300, "z" * 300),
    )
    assert all(names_itself(name) and len(name) <= 128 for name in odd)
    with pytest.raises(UsageError, match="algo"):
        algo_run_id(at, "///", None)


def test_runs_of_the_same_pipeline_in_the_same_second_each_get_a_folder(tmp_path: Path) -> None:
    runs = [a_run(tmp_path) for _ in range(4)]
    ids = [run.start() for run in runs]
    assert len(set(ids)) == 4
    assert all(names_itself(each) for each in ids)


def test_a_run_id_that_is_taken_is_refused_and_the_other_run_stays(tmp_path: Path) -> None:
    a_run(tmp_path, run_id="mine").start()
    before = (tmp_path / "mine/run.json").read_bytes()
    with pytest.raises(ConflictError, match="mine"):
        a_run(tmp_path, run_id="mine").start()
    assert (tmp_path / "mine/run.json").read_bytes() == before


def test_ending_twice_is_harmless_and_recording_afterwards_is_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    assert run.finish("failed") == run.finish("success") == "failed"
    with pytest.raises(UsageError, match="has ended"):
        run.add_output("file", "x")
    with pytest.raises(UsageError, match="has ended"):
        run.write_text("late.txt", "")
    with pytest.raises(UsageError, match="started before"):
        run.start()


def test_an_exception_ends_the_run_as_failed_and_goes_on(tmp_path: Path) -> None:
    run = a_run(tmp_path, environ={"DB_PASSWORD": "hunter22"})
    with pytest.raises(ValueError, match="cannot reach"), run:
        raise ValueError("cannot reach db with hunter22")
    assert run.status == "failed"
    assert record(run)["reason"] == "ValueError: cannot reach db with ***"
    assert "hunter22" not in (run.run_dir / "run.log").read_text()


def test_a_program_that_exits_with_zero_inside_has_succeeded(tmp_path: Path) -> None:
    for code, status in ((0, "success"), (None, "success"), (3, "failed")):
        run = a_run(tmp_path)
        with pytest.raises(SystemExit), run:
            raise SystemExit(code)
        assert run.status == status


def test_a_forked_child_neither_ends_nor_rewrites_the_run(tmp_path: Path) -> None:
    with a_run(tmp_path) as run:
        child = multiprocessing.get_context("fork").Process(target=_child_of, args=(run,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert record(run)["status"] == "running"
    assert run.status == "success"
    assert "from the child" in (run.run_dir / "run.log").read_text()


def _child_of(run: RunWriter) -> None:
    run.log("from the child")
    run.finish("failed")
    try:
        run.add_output("file", "x")
    except UsageError:
        os._exit(0)
    os._exit(1)


def test_values_that_json_cannot_hold_are_refused_before_anything_changes(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    before = (run.run_dir / "run.json").read_bytes()
    with pytest.raises(UsageError, match="cannot hold a object"):
        run.add_output("file", "x", what=object())
    with pytest.raises(UsageError, match="choose other names"):
        run.record(status="success")
    assert (run.run_dir / "run.json").read_bytes() == before
    assert run.finish() == "success"


def test_many_outputs_are_all_in_the_record_at_the_end_and_nearly_all_before(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    for number in range(200):
        run.add_output("file", f"f{number}")
        assert len(record(run)["outputs"]) >= (number + 1) * 15 // 16
    run.finish()
    assert [item["ref"] for item in record(run)["outputs"]] == [f"f{number}" for number in range(200)]


def test_sealed_in_place_the_folder_names_every_file_in_sha256sums_own_format(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.start()
    run.write_text("a b\n.txt", "x")
    run.finish(seal=True)
    (run.run_dir / "sums").write_bytes(b"")
    done = os.system(f"cd '{run.run_dir}' && sha256sum --quiet -c MANIFEST.sha256")  # noqa: S605 - as a user would
    assert done == 0
    assert len((run.run_dir / "MANIFEST.sha256").read_text().splitlines()) == 4
