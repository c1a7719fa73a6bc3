"""Presets at work on what no recorded folder shows: long records, many jobs, other versions' layouts."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence

import pytest
from tests.builders.frameworks import HeldLook, held

from sealrun.domain.presets import Facts, recognise
from sealrun.domain.presets.tables import last_of_csv, last_of_json_lines, number_of
from sealrun.domain.presets.wandb_log import BLOCK, WandbLog, read_wandb_log
from sealrun.domain.watches.settling import FrameworkStatus


def ask(preset: str, files: dict[str, bytes], folders: Sequence[str] = ()) -> tuple[FrameworkStatus | None, Facts]:
    look = HeldLook(files, folders)
    recognised = recognise(look, preset)
    return recognised.status, recognised.facts(look)


def end_of(preset: str, files: dict[str, bytes], folders: Sequence[str] = ()) -> tuple[str, str]:
    status, _ = ask(preset, files, folders)
    assert status is not None
    return status.state, status.status


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def wandb_log(*records: bytes) -> bytes:
    """A file of records, each split where a block of LevelDB's log ends."""
    body = b":W&B\xe1\xbe\x00"
    for record in records:
        begun = False
        rest = record
        while rest or not begun:
            room = BLOCK - len(body) % BLOCK
            if room < 7:
                body += b"\0" * room
                continue
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (4 if not rest else 3) if begun else (1 if not rest else 2)
            body += b"\0\0\0\0" + len(part).to_bytes(2, "little") + bytes([kind]) + part
            begun = True
    return body


def item(key: str, value: object, *nested: str) -> bytes:
    keys = field(1, key.encode()) if not nested else b"".join(field(2, part.encode()) for part in (key, *nested))
    return keys + field(16, json.dumps(value).encode())


def run_record(run: str, *config: bytes) -> bytes:
    return field(17, field(1, run.encode()) + field(4, b"".join(field(1, each) for each in config)))


def summary_record(*items: bytes) -> bytes:
    return field(3, b"".join(field(1, each) for each in items))


@pytest.mark.parametrize("size", [10, BLOCK - 60, BLOCK, 3 * BLOCK])
def test_a_record_of_wandb_is_put_together_from_its_blocks(size: int) -> None:
    words = "w" * size
    body = wandb_log(run_record("r1", item("text", words)), summary_record(item("a", 1, "b")), field(18, b"\x08\x03"))
    found = WandbLog()
    read_wandb_log(body, found, begins=True)
    assert (found.run, found.config, found.summary, found.exit_code) == ("r1", {"text": words}, {"a.b": 1}, 3)


def test_the_last_summary_of_a_very_long_wandb_record_counts() -> None:
    middle = [summary_record(item("loss", number), item("pad", "x" * 1000)) for number in range(2000)]
    log = wandb_log(run_record("r1", item("rate", 0.5)), *middle, field(18, b"\x08\x00"))
    status, facts = ask("wandb", {"run-r1.wandb": log})
    assert status is not None
    assert (status.state, status.status, facts.run, facts.params) == ("finished", "success", "r1", {"rate": 0.5})
    assert facts.metrics is not None
    assert facts.metrics["loss"] == 1999


def test_without_a_log_the_exit_record_of_wandb_tells_the_end() -> None:
    begun = run_record("r1", item("rate", 0.5))
    assert end_of("wandb", {"run-r1.wandb": wandb_log(begun)}) == ("running", "unknown")
    assert end_of("wandb", {"run-r1.wandb": wandb_log(begun, field(18, b""))}) == ("finished", "success")
    assert end_of("wandb", {"run-r1.wandb": wandb_log(begun, field(18, b"\x08\x01"))}) == ("finished", "failed")


def test_jobs_of_submitit_are_over_when_each_task_that_began_has_a_result() -> None:
    good, bad = pickle.dumps(("success", 1)), pickle.dumps(("error", "trace"))
    jobs = {"7_0_submitted.pkl": b"", "7_1_submitted.pkl": b"", "7_0_0_result.pkl": good}
    assert end_of("submitit", jobs) == ("running", "unknown")
    assert end_of("submitit", {**jobs, "7_1_0_result.pkl": good}) == ("finished", "success")
    assert end_of("submitit", {**jobs, "7_1_0_result.pkl": bad}) == ("finished", "partial")
    assert end_of("submitit", {**jobs, "7_1_0_result.pkl": good, "7_1_1_log.out": b""}) == ("running", "unknown")
    assert end_of("submitit", {**jobs, "7_1_0_result.pkl": b"\x80\x04K\x01."}) == ("silent", "unknown")


def test_a_sweep_in_which_a_job_failed_is_partial() -> None:
    look = held("hydra/sweep")
    look.bodies["1/.hydra/job_return.pickle"] = held("hydra/failed").bodies[".hydra/job_return.pickle"]
    assert end_of("hydra", look.bodies) == ("finished", "partial")
    look.bodies["0/.hydra/job_return.pickle"] = look.bodies["1/.hydra/job_return.pickle"]
    assert end_of("hydra", look.bodies) == ("finished", "failed")


def test_a_sweep_without_jobs_or_without_the_callback_is_silent() -> None:
    assert end_of("hydra", {"multirun.yaml": b"hydra: {}\n"}) == ("silent", "unknown")
    assert end_of("hydra", {"multirun.yaml": b"", "0/.hydra/config.yaml": b"a: 1\n"}) == ("silent", "unknown")


@pytest.mark.parametrize("history", [b"", b"\n\n", b"one line\n", b"\t" * 3, b"\xff\t" * 9 + b"\n"])
def test_a_history_of_nextflow_that_cannot_be_read_decides_nothing(history: bytes) -> None:
    assert end_of("nextflow", {".nextflow/history": history}) == ("silent", "unknown")


def test_what_committers_write_into_success_is_read() -> None:
    said = {
        "name": "org.apache.hadoop.fs.s3a.commit.files.SuccessData/1",
        "timestamp": 1768660252123,
        "committer": "magic",
        "hostname": "h",
        "jobId": "job-7",
        "metrics": {"files_created": 3},
    }
    status, facts = ask("spark", {"_SUCCESS": json.dumps(said).encode(), "part-0": b"x"})
    assert status is not None
    assert status.status == "success"
    assert (facts.run, facts.finished_at) == ("job-7", "2026-01-17T14:30:52Z")
    assert (facts.params, facts.metrics) == ({"committer": "magic"}, {"files_created": 3})


@pytest.mark.parametrize("where", ["_temporary", "_temporary/0"])
def test_an_empty_temporary_folder_of_hadoop_is_waited_for(where: str) -> None:
    assert end_of("success-file", {"_SUCCESS": b""}, [where]) == ("running", "unknown")


def test_steps_of_snakemake_that_were_not_needed_are_a_success() -> None:
    log = ".snakemake/log/2026-01-17T143052.000000.snakemake.log"
    assert end_of("snakemake", {log: b"Nothing to be done (all requested files are present).\n"}) == (
        "finished",
        "success",
    )
    assert end_of("snakemake", {log: b"Building DAG of jobs...\n"}) == ("silent", "unknown")
    newer = log.replace("143052", "153052")
    both = {log: b"WorkflowError:\n", newer: b"3 of 3 steps (100%) done\n"}
    assert end_of("snakemake", both) == ("finished", "success")


def test_the_last_value_of_each_column_is_read() -> None:
    look = HeldLook({"m.csv": b'step,train,"val, loss"\r\n0,1.5,\r\n1,,0.25\r\n2,nan,\r\n3,0.', "other": b"words\n"})
    assert last_of_csv(look, "m.csv") == {"step": 2, "train": "nan", "val, loss": 0.25}
    assert last_of_csv(look, "absent") is None
    assert last_of_csv(look, "other") is None


def test_a_table_longer_than_what_is_read_of_it_gives_its_last_row() -> None:
    rows = b"".join(b"%d,%d\n" % (step, step * 2) for step in range(50_000))
    assert last_of_csv(HeldLook({"m.csv": b"step,loss\n" + rows}), "m.csv") == {"step": 49_999, "loss": 99_998}


def test_the_last_whole_line_of_json_is_read() -> None:
    look = HeldLook({"r": b'{"a": 1}\n{"a": 2}\n{"a":', "none": b"[]\n"})
    assert last_of_json_lines(look, "r") == {"a": 2}
    assert last_of_json_lines(look, "none") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.50", 1.5),
        ("1e-3", 0.001),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ("x", "x"),
        ("\u0663", 3.0),
    ],
)
def test_numbers_are_read_and_what_is_none_stays_text(text: str, number: object) -> None:
    assert number_of(text) == number
