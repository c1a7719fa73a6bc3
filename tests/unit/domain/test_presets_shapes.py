"""Runs inside other folders, event files, and the shapes in which frameworks leave a run besides the usual one."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping

import pytest
from tests.builders.frameworks import ENDS, HeldLook, held

from sealrun.domain.presets import Recognised, recognise
from sealrun.domain.presets.event_files import PART_BYTES, Events, _masked_sum, read_events
from sealrun.domain.presets.inside import MAX_INSIDE
from sealrun.domain.presets.pickles import text_after
from sealrun.domain.presets.plain_yaml import read_yaml_parts
from sealrun.domain.runs.run import Producer
from sealrun.domain.watches.settling import FrameworkStatus


def below(*runs: tuple[str, str], **files: bytes) -> HeldLook:
    """A folder that holds recorded runs, each at a place, and other files."""
    bodies: dict[str, bytes] = dict(files)
    folders: list[str] = []
    for place, name in runs:
        look = held(name)
        bodies |= {f"{place}/{path}": body for path, body in look.bodies.items()}
        folders += [f"{place}/{folder}" for folder in look.folders]
    return HeldLook(bodies, folders)


def decided(found: Recognised) -> FrameworkStatus:
    assert found.status is not None
    return found.status


FOUND_INSIDE = [
    "hf-trainer/early",
    "hydra/succeeded",
    "hydra/sweep-deep",
    "lightning/objects",
    "mlflow/finished",
    "nextflow/succeeded",
    "ray-tune/objects",
    "sacred/completed",
    "snakemake/succeeded",
    "submitit/array",
    "wandb/finished",
]


RUNNING = sorted({name for name, (state, _) in ENDS.items() if state == "running"} - {"sacred/queued"})
"""A run of Sacred's that is only queued has no file that nobody else's has."""


@pytest.mark.parametrize("name", FOUND_INSIDE)
def test_a_run_that_lies_deeper_is_found_and_does_not_speak_for_the_folder(name: str) -> None:
    look = below(("day/time", name))
    found = recognise(look, "auto")
    assert (name.split("/", maxsplit=1)[0], "day/time") in {(run.preset.name, run.path) for run in found.inside}
    assert decided(found).state == "silent"
    assert any(line.startswith(f"day/time: {name.split('/', maxsplit=1)[0]}, ") for line in found.lines_inside)
    assert recognise(look, "none").inside == ()


@pytest.mark.parametrize("name", RUNNING)
def test_a_folder_is_not_complete_while_a_run_inside_is_not(name: str) -> None:
    status = decided(recognise(below(("inner/place", name), model=b""), "auto"))
    assert (status.state, status.framework) == ("running", name.split("/", maxsplit=1)[0])
    assert "inner/place" in status.evidence
    assert "inner/place" in status.awaits


def test_a_tracker_inside_a_silent_job_keeps_the_job_open() -> None:
    look = held("hydra/quiet")
    look.bodies |= below(("wandb/offline-run-1", "wandb/running")).bodies
    assert decided(recognise(look, "auto")).framework == "wandb"
    assert decided(recognise(look, "auto")).state == "running"
    assert decided(recognise(look, "hydra")).state == "silent"


def test_a_job_that_says_how_it_ended_is_not_asked_for_what_is_inside() -> None:
    look = held("hydra/failed")
    look.bodies |= below(("wandb/offline-run-1", "wandb/running")).bodies
    found = recognise(look, "auto")
    assert (decided(found).status, found.inside) == ("failed", ())


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["wandb/failed"], "failed"),
        (["wandb/gone-0.16"], "interrupted"),
        (["wandb/finished", "wandb/failed"], "partial"),
        (["wandb/finished"], "unknown"),
        (["mlflow/finished", "submitit/array"], "partial"),
        (["lightning/quiet"], "unknown"),
    ],
)
def test_what_failed_inside_is_not_lost_and_success_inside_is_not_claimed(names: list[str], status: str) -> None:
    look = below(*((f"runs/{number}", name) for number, name in enumerate(names)))
    assert decided(recognise(look, "auto")).status == status


def test_the_facts_of_the_only_run_inside_complete_those_of_the_job() -> None:
    look = held("hydra/quiet")
    look.bodies |= below(("wandb/offline-run-1", "wandb/finished")).bodies
    producer = recognise(look, "auto").complete(Producer(), look)
    assert producer.framework == {
        "name": "hydra",
        "version": "1.3.8",
        "also": ["wandb"],
        "inside": [{"name": "wandb", "path": "wandb/offline-run-1", "run": "0d5qyk8k", "status": "success"}],
    }
    assert producer.pipeline_id == "train"
    assert producer.metrics is not None
    assert producer.metrics["loss"] == 0.3333333333333333
    assert producer.params is not None
    assert "data" in producer.params


def test_many_runs_inside_are_named_and_their_facts_stay_theirs() -> None:
    look = below(("a", "mlflow/child"), ("b", "mlflow/failed"))
    producer = recognise(look, "auto").complete(Producer(), look)
    assert producer.params is None
    assert producer.framework is not None
    assert [run["path"] for run in producer.framework["inside"]] == ["a", "b"]
    assert "a deeper glob" in decided(recognise(look, "auto")).awaits


def test_only_so_many_runs_inside_are_asked() -> None:
    meta = held("mlflow/finished").bodies["meta.yaml"]
    look = HeldLook({f"e/{number:05}/meta.yaml": meta for number in range(5000)})
    found = recognise(look, "auto")
    assert len(found.inside) == MAX_INSIDE
    assert len(found.lines_inside) == 20


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 999, b"[" * 9999, b'{"a":' * 999, b"a: &a [*a]\n", b":W&B\xe1\xbe\0\xff"]
)
@pytest.mark.parametrize("name", FOUND_INSIDE)
def test_whatever_the_files_of_a_run_inside_hold_there_is_an_answer(name: str, body: bytes) -> None:
    whole = below(("day/time", name), model=b"")
    for path in whole.bodies:
        look = HeldLook({**whole.bodies, path: body}, whole.folders)
        found = recognise(look, "auto")
        assert found.status is None or found.status.evidence
        found.complete(Producer(), look)


def test_a_run_far_below_is_left_to_whoever_made_the_folder() -> None:
    assert recognise(below(("a/b/c/d/e/f/g/h", "mlflow/running")), "auto").status is None


def test_a_running_job_of_a_sweep_is_seen_among_thousands() -> None:
    ended = held("hydra/succeeded").bodies[".hydra/job_return.pickle"]
    bodies = {"multirun.yaml": b"hydra: {}\n"}
    for number in range(3000):
        for name, body in (("config.yaml", b""), ("config.pickle", b""), ("job_return.pickle", ended)):
            bodies[f"{number:04}/.hydra/{name}"] = body
    assert decided(recognise(HeldLook(bodies), "auto")).state == "finished"
    del bodies["2999/.hydra/job_return.pickle"]
    status = decided(recognise(HeldLook(bodies), "auto"))
    assert (status.state, status.awaits) == ("running", "2999/.hydra/job_return.pickle")


@pytest.mark.parametrize(("said", "status"), [(b'{"status": "failed"}', "partial"), (b"", "success")])
def test_jobs_of_a_sweep_may_declare_their_ends_themselves(said: bytes, status: str) -> None:
    look = held("hydra/sweep-killed")
    look.bodies["1/.sealrun/done.json" if said else "1/_SUCCESS"] = said
    assert decided(recognise(look, "auto")).status == status
    look.bodies["2/.hydra/config.yaml"] = look.bodies["2/.hydra/config.pickle"] = b""
    assert decided(recognise(look, "auto")).state == "running"


@pytest.mark.parametrize("name", RUNNING)
def test_a_run_inside_that_was_declared_complete_is_not_waited_for(name: str) -> None:
    look = below(("a", name))
    look.bodies["a/.sealrun/done.json"] = b'{"status": "interrupted"}'
    status = decided(recognise(look, "auto"))
    assert status.state == ("running" if name.startswith("success-file") else "silent")


def test_a_tracker_inside_a_job_that_is_over_keeps_nobody_waiting() -> None:
    look = below(("day/a", "hydra/succeeded"), ("day/a/wandb/offline-run-1", "wandb/running"))
    assert decided(recognise(look, "auto")).state == "silent"
    assert [run.path for run in recognise(look, "auto").inside] == ["day/a"]


def test_a_search_with_a_job_that_runs_is_not_over() -> None:
    look = held("hydra/search")
    look.bodies["1/.hydra/config.pickle"] = b""
    assert decided(recognise(look, "auto")).state == "running"


def test_training_that_goes_on_past_the_state_at_the_top_is_running() -> None:
    look = held("hf-trainer/finished")
    assert decided(recognise(look, "auto")).state == "finished"
    state = json.loads(look.bodies["checkpoint-2/trainer_state.json"])
    look.bodies["checkpoint-6/trainer_state.json"] = json.dumps({**state, "global_step": 6, "max_steps": 8}).encode()
    status = decided(recognise(look, "auto"))
    assert (status.state, status.evidence) == ("running", "checkpoint-6/trainer_state.json: step 6 of 8")


def test_a_checkpoint_is_no_run_that_has_ended() -> None:
    whole = held("hf-trainer/last-checkpoint").bodies
    look = HeldLook(
        {path.removeprefix("checkpoint-4/"): body for path, body in whole.items() if "checkpoint-4/" in path}
    )
    look.bodies["optimizer.pt"] = b""
    status = decided(recognise(look, "auto"))
    assert status.state == "silent"
    assert "a checkpoint and no run" in status.awaits


def test_an_exit_record_is_an_end_even_if_the_log_has_unknown_last_words() -> None:
    look = held("wandb/finished")
    look.bodies["logs/debug-internal.log"] = b'{"msg":"other words"}\n'
    status = decided(recognise(look, "auto"))
    assert (status.state, status.status, status.wait) == ("finished", "success", "settle")


@pytest.mark.parametrize(
    ("files", "folders", "state"),
    [
        (["_SUCCESS", ".spark-staging-1/day=0/part-00000"], [], "running"),
        (["_SUCCESS"], [".spark-staging-1"], "running"),
        (["_SUCCESS"], ["_temporary/0"], "running"),
        (["_spark_metadata/0", "part-00000-1234abcd-0000-0000-0000-000000000000-c000.snappy.parquet"], [], "silent"),
        (["part-r-00000-1234abcd-0000-0000-0000-000000000000.csv"], [], "silent"),
        (["part-of-a-book.txt"], [], None),
    ],
)
def test_what_spark_leaves_besides_its_mark(files: list[str], folders: list[str], state: str | None) -> None:
    status = recognise(HeldLook(dict.fromkeys(files, b""), folders), "auto").status
    assert (status.state if status else None) == state


def test_parameters_that_are_objects_are_left_out_and_named() -> None:
    look = held("lightning/objects")
    facts = recognise(look, "auto").facts(look)
    assert facts.version == "2.6.6"
    assert facts.params == {"layers": [64, 64], "opt": {"a": [1, 2]}, "rate": 0.01, "text": "a\nb: c"}
    assert facts.metrics is not None
    assert facts.metrics["epoch"] == 2.0
    assert facts.notes == ("hparams.yaml: fn, opt.b, path, shared not used, no plain values",)


@pytest.mark.parametrize(
    ("text", "value", "skipped"),
    [
        ("a: !!python/tuple\n- 1\n- 2\nb: 3\n", {"a": [1, 2], "b": 3}, ()),
        ("a: !!python/tuple []\nb: &x [1]\nc: *x\n", {"a": [], "b": [1]}, ("c",)),
        ("a: !!python/object/apply:os.system\n- touch x\nb: 1\n", {"b": 1}, ("a",)),
        ("a:\n  b: !!python/name:os.system ''\n  c: 1\nd: 2\n", {"a": {"c": 1}, "d": 2}, ("a.b",)),
        ("a: |\n  one\n\n  b: two\nc: 1\n", {"c": 1}, ("a",)),
        ("a:\n- !!python/name:x ''\n- 1\nb: [x, y]\nc: 1\n", {"c": 1}, ("a", "b")),
        ("a: &a\n  b: 1\n<<: *a\nc: 2\n", {"a": {"b": 1}, "c": 2}, ("<<",)),
        ("a:\n- k: !t v\n  l: 1\n", {"a": [{"l": 1}]}, ("a.k",)),
    ],
)
def test_the_plain_parts_of_yaml_are_read(text: str, value: object, skipped: tuple[str, ...]) -> None:
    assert read_yaml_parts(text.encode()) == (value, skipped)


def test_aliases_that_would_grow_are_never_followed() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 40))
    value, skipped = read_yaml_parts(f"l0: &l0 [1]\n{levels}".encode())
    assert value == {"l0": [1]}
    assert len(skipped) == 20


@pytest.mark.parametrize("body", [None, b"\xff", b"- a", b"", b"a: 1\n--- \n", b"just words"])
def test_what_is_no_mapping_gives_no_parts(body: bytes | None) -> None:
    value, skipped = read_yaml_parts(body)
    assert not isinstance(value, dict)
    assert skipped == ()


def event(step: int, scalars: Mapping[str, float]) -> bytes:
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    values = (field(1, tag.encode()) + b"\x15" + struct.pack("<f", value) for tag, value in scalars.items())
    summary = b"".join(field(1, value) for value in values)
    record = b"\x09" + struct.pack("<d", 1.0 + step) + b"\x2a" + bytes([len(summary)]) + summary
    length = struct.pack("<Q", len(record))
    return length + _masked_sum(length) + record + bytes(4)


def test_the_last_scalars_of_a_long_event_file_are_found_in_its_end() -> None:
    body = b"".join(event(step, {"loss": step, "rate": 0.5}) for step in range(20_000))
    look = HeldLook({"events.out.tfevents.1795282726.node-1": body})
    assert len(body) > 2 * PART_BYTES
    facts = recognise(look, "auto").facts(look)
    assert facts.metrics == {"loss": 19_999.0, "rate": 0.5}
    assert (facts.started_at, facts.finished_at) == ("2026-11-21T17:38:46Z", None)


@pytest.mark.parametrize("cut", range(60))
def test_reading_begins_at_a_record_wherever_a_file_was_cut(cut: int) -> None:
    body = b"".join(event(step, {"loss": step}) for step in range(256, 264))
    found = Events()
    read_events(body[cut:], found, begins=False)
    assert found.scalars == {"loss": 263.0}


@pytest.mark.parametrize("body", [b"", b"\0" * 4096, b"\xff" * 4096, event(1, {"x": float("nan")}), event(1, {})[:-5]])
def test_what_is_no_event_gives_no_scalar(body: bytes) -> None:
    for begins in (True, False):
        found = Events()
        read_events(body, found, begins=begins)
        assert found.scalars == {}


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_string_is_read_after_its_key_in_a_pickle(protocol: int) -> None:
    body = pickle.dumps({"epoch": 1, "version": "2.6.6", "other": 3}, protocol)
    assert text_after(body, "version") == "2.6.6"
    assert text_after(body, "other") is None
    assert text_after(body, "absent") is None
    assert text_after(None, "version") is None
