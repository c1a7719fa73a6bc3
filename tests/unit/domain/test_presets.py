"""What presets read out of folders that frameworks left, and that nothing in a folder can make them fail."""

from __future__ import annotations

import importlib
import json
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders.frameworks import ENDS, HeldLook, held, recorded_names

from sealrun.domain.presets import PRESETS, recognise
from sealrun.domain.presets.pickles import enum_number, first_string
from sealrun.domain.presets.plain_yaml import read_yaml
from sealrun.domain.records import canonical_json
from sealrun.domain.watches.settling import FrameworkStatus

_MAX_FACTS_BYTES = 200 << 10

MLFLOW_PARENT = "b4b210b88fc74897b6458823c92670b3"
FACTS: Mapping[str, Mapping[str, object]] = {
    "hf-trainer/finished": {"metrics.eval_loss": 0.14630208909511566, "params.max_steps": 4},
    "hf-trainer/last-checkpoint": {"metrics.step": 4},
    "hydra/quiet": {
        "version": "1.3.8",
        "pipeline_id": "train",
        "params.model": {"dropout": None, "layers": [64, 64], "rate": 0.01},
    },
    "hydra/sweep": {"params.overrides": ["model.rate=0.1,0.2"], "pipeline_id": "train"},
    "lightning/quiet": {"params.rate": 0.01, "params.layers": [64, 64], "metrics.step": 3, "metrics.epoch": 1},
    "mlflow/finished": {
        "run": "79a65701dbc54ed99b9d2b78e7b54ae2",
        "started_at": "2026-11-21T14:38:56Z",
        "finished_at": "2026-11-21T14:38:56Z",
        "pipeline_id": "train_mlflow.py",
        "params.a/b": "slash",
        "metrics.val/loss": 0.5,
        "metrics.loss": 0.3333333333333333,
        "tags": ["release=yes"],
    },
    "nextflow/succeeded": {
        "version": "24.04.4",
        "run": "soggy_miescher",
        "pipeline_id": "hello",
        "pipeline_version": "c54a707593",
        "params.duration": "1m 6s",
    },
    "ray-tune/failed": {
        "started_at": "2026-11-21T14:40:24Z",
        "pipeline_id": "trainable",
        "params.7b106_00001": {"rate": 2.0},
        "metrics.trials_failed": 1,
    },
    "hf-trainer/early": {"version": "5.23.0", "metrics.step": 4, "metrics.eval_loss": 1.6005362272262573},
    "hf-trainer/with-events": {"version": "5.23.0", "started_at": "2026-11-21T17:46:46Z", "metrics.epoch": 2.0},
    "hf-trainer/only-model": {"version": "5.23.0"},
    "hydra/other-subdir": {"version": "1.3.8", "pipeline_id": "train", "params.optim": {"lr": 0.1, "name": "adam"}},
    "hydra/quiet-1.1": {"version": "1.1.2", "params.uni": "grün ☃", "params.missing": "???"},
    "hydra/search": {"version": "1.2.0", "metrics.best": 2.420129530502288},
    "lightning/no-logger": {"version": "2.6.6"},
    "mlflow/child": {"ids": {"experiment": "672024538819607652", "name": "child0", "parent": MLFLOW_PARENT}},
    "mlflow/deleted": {"ids.stage": "deleted"},
    "mlflow/model-2.22": {"version": "2.22.0"},
    "ray-tune/objects": {
        "finished_at": "2026-11-21T17:57:46Z",
        "params.f958c_00000": {"rate": 0.6097971475059533, "nested": {"fn": "(an object of Python)", "t": [1, 2]}},
        "metrics.trials": 2,
    },
    "sacred/result-0.8.4": {"version": "0.8.4", "metrics.result": {"acc": 0.5, "n": [1, 2]}},
    "submitit/tasks": {"run": "16159"},
    "success-file/parquet": {"version": "4.3.0"},
    "success-file/partitioned-3.3": {"version": "3.3.4"},
    "tensorboard/hparams": {
        "params": {"rate": 0.1, "name": "x"},
        "metrics": {"hp/best": 0.30000001192092896, "train/loss": 0.05000000074505806},
    },
    "tensorboard/folders": {
        "params": {"rate": 0.1, "name": "x", "flag": True},
        "metrics": {
            "best": 0.30000001192092896,
            "loss": 0.20000000298023224,
            "group/a/group": 4.0,
            "group/b/group": 8.0,
        },
    },
    "wandb/finished-0.16": {"version": "0.16.6", "started_at": "2026-11-21T17:43:04Z", "pipeline_id": "ridge"},
    "wandb/failed-0.19": {"version": "0.19.11", "finished_at": "2026-11-21T17:59:40Z"},
    "wandb/grouped": {
        "ids": {"entity": "team", "group": "g", "job_type": "train", "name": "a name"},
        "metrics": {"loss": 0.5, "nested.x": 1, "best": 3},
    },
    "sacred/completed": {
        "version": "0.8.7",
        "pipeline_id": "ridge",
        "params.rate": 0.01,
        "metrics.loss": 0.3333333333333333,
        "metrics.result": 0.25,
        "finished_at": "2026-11-21T14:39:18Z",
    },
    "snakemake/failed": {"version": "9.27.1", "metrics.steps_done": 2, "started_at": "2026-11-21T14:40:06Z"},
    "tensorboard/quiet": {"started_at": "2026-11-21T14:39:17Z"},
    "wandb/finished": {
        "version": "0.31.0",
        "run": "0d5qyk8k",
        "pipeline_id": "ridge",
        "tags": ["release"],
        "params.model": {"layers": [64, 64]},
        "metrics.loss": 0.3333333333333333,
        "finished_at": "2026-11-21T14:39:09Z",
    },
}


def framework_of(name: str) -> str:
    return name.partition("/")[0]


def status_of(look: HeldLook, preset: str = "auto") -> FrameworkStatus:
    status = recognise(look, preset).status
    assert status is not None
    return status


@pytest.mark.parametrize("name", recorded_names())
def test_a_recorded_run_is_recognised_with_its_end(name: str) -> None:
    framework = framework_of(name)
    for preset in ("auto", framework):
        status = status_of(held(name), preset)
        assert (status.framework, status.state, status.status) == (framework, *ENDS[name])
    assert bool(status.awaits) == (status.state != "finished")


def test_every_framework_has_a_recorded_run() -> None:
    aliases = {"spark", "hadoop", "huggingface"}
    assert {framework_of(name) for name in recorded_names()} == set(PRESETS) - {"auto", "none"} - aliases
    assert set(ENDS) == set(recorded_names())


@pytest.mark.parametrize("name", recorded_names())
def test_a_preset_that_is_named_is_asked_alone(name: str) -> None:
    for preset in set(PRESETS) - {"auto", framework_of(name)}:
        assert framework_of(name) not in recognise(held(name), preset).names or preset in {
            "spark",
            "hadoop",
            "huggingface",
        }
    assert recognise(held(name), "none").found == ()


def test_an_alias_asks_the_framework_it_stands_for() -> None:
    assert recognise(held("success-file/succeeded"), "spark").names == ("success-file",)
    assert recognise(held("hf-trainer/finished"), "huggingface").names == ("hf-trainer",)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_facts_of_a_run_are_read(name: str) -> None:
    facts = recognise(held(name), "auto").facts(held(name))
    found = {}
    for key in FACTS[name]:
        field, _, inner = key.partition(".")
        value = getattr(facts, field)
        found[key] = value[inner] if inner else value
    assert found == FACTS[name]
    assert facts.notes == ()


def _without(*paths: str) -> Callable[[HeldLook], object]:
    return lambda look: [look.bodies.pop(path) for path in paths]


def _instead(pattern: str, old: bytes, new: bytes) -> Callable[[HeldLook], object]:
    def change(look: HeldLook) -> None:
        (path,) = (path for path in look.bodies if Path(path).match(pattern))
        assert old in look.bodies[path]
        look.bodies[path] = look.bodies[path].replace(old, new)

    return change


def _added(path: str) -> Callable[[HeldLook], object]:
    return lambda look: look.bodies.update({path: b""})


def _without_matching(pattern: str) -> Callable[[HeldLook], object]:
    return lambda look: [look.bodies.pop(path) for path in list(look.bodies) if Path(path).match(pattern)]


BEFORE_THE_END = [
    ("hydra/succeeded", _without(".hydra/job_return.pickle")),
    ("hydra/sweep", _without("1/.hydra/job_return.pickle")),
    ("mlflow/finished", _instead("meta.yaml", b"status: 3", b"status: 1")),
    ("wandb/gone-0.16", _instead("debug-internal.log", b"shutting down sender", b"still here")),
    ("sacred/completed", _instead("run.json", b"COMPLETED", b"RUNNING")),
    ("nextflow/succeeded", _instead("history", b"soggy_miescher\tOK", b"soggy_miescher\t-")),
    ("snakemake/succeeded", _added(".snakemake/locks/0.output.lock")),
    ("snakemake/running", _without_matching(".snakemake/locks/*")),
    ("success-file/succeeded", _added("_temporary/0/part-00000")),
    ("submitit/succeeded", _without_matching("*_result.pkl")),
    ("ray-tune/succeeded", _instead("experiment_state-*", b"TERMINATED", b"RUNNING")),
    ("hf-trainer/last-checkpoint", _without_matching("checkpoint-4/*")),
]


@pytest.mark.parametrize(("name", "change"), BEFORE_THE_END)
def test_without_its_end_a_run_is_running(name: str, change: Callable[[HeldLook], object]) -> None:
    look = held(name)
    change(look)
    status = status_of(look)
    assert (status.state, status.status) == ("running", "unknown")
    assert status.awaits


def test_training_that_stopped_early_has_ended() -> None:
    look = held("hf-trainer/running")
    path = "checkpoint-2/trainer_state.json"
    look.bodies[path] = look.bodies[path].replace(b'"should_training_stop": false', b'"should_training_stop": true')
    assert status_of(look).state == "finished"


def test_a_saved_model_without_results_leaves_it_to_quiet() -> None:
    look = held("hf-trainer/running")
    look.bodies["training_args.bin"] = b""
    assert status_of(look).state == "silent"


def test_a_trial_of_ray_tune_is_a_run_of_its_own() -> None:
    whole = held("ray-tune/failed").bodies
    trials = {path.partition("/")[0] for path in whole if "/" in path}
    states = set()
    for trial in trials:
        look = HeldLook({path.partition("/")[2]: body for path, body in whole.items() if path.startswith(f"{trial}/")})
        states.add((status_of(look).state, status_of(look).status))
        facts = recognise(look, "ray-tune").facts(look)
        assert facts.params is not None
        assert "rate" in facts.params
        assert facts.metrics is not None
        assert "hostname" not in facts.metrics
    assert states == {("silent", "unknown"), ("finished", "failed")}


def test_one_that_tells_the_end_decides_and_the_facts_of_both_are_kept() -> None:
    look = held("hydra/quiet")
    look.bodies |= held("hf-trainer/finished").bodies
    recognised = recognise(look, "auto")
    assert recognised.names == ("hf-trainer", "hydra")
    facts = recognised.facts(look)
    assert facts.pipeline_id == "train"
    assert facts.metrics is not None
    assert "eval_loss" in facts.metrics


def test_what_is_large_is_read_in_part_and_its_facts_stay_small() -> None:
    look = held("mlflow/finished")
    look.bodies |= {f"params/p{number}": b"v" * 8000 for number in range(3000)}
    look.bodies["metrics/loss"] = b"1795271936560 1.0 0\n" * 500_000 + b"1795271936574 0.125 9\n"
    facts = recognise(look, "auto").facts(look)
    assert facts.metrics is not None
    assert facts.metrics["loss"] == 0.125
    assert len(canonical_json(facts.params)) <= 64 << 10


def test_texts_and_tags_without_bounds_are_left_out() -> None:
    look = held("mlflow/finished")
    look.bodies |= {f"tags/t{number}": b"v" * 100 for number in range(3000)} | {"tags/long": b"v" * 5000}
    look.bodies["tags/mlflow.source.git.commit"] = b"c" * 5000
    facts = recognise(look, "auto").facts(look)
    assert facts.tags is not None
    assert len(facts.tags) == 100
    assert facts.pipeline_version is None
    assert facts.notes == ("pipeline_version: not used, it is longer than 200 characters",)


def test_a_long_record_of_wandb_is_read_at_both_ends() -> None:
    look = held("wandb/failed")
    (path,) = (path for path in look.bodies if path.endswith(".wandb"))
    block = 32 << 10
    whole = look.bodies[path]
    first, last = whole[: whole.index(b"\xd0\x80\x1d\xbc")], whole[-14:]  # up to a record, and the exit record
    look.bodies[path] = first + _padding(block - len(first)) + _padding(block) * 40 + last
    facts = recognise(look, "auto").facts(look)
    assert facts.params == {"rate": 0.01, "model": {"layers": [64, 64]}}
    assert status_of(look).status == "failed"


def _padding(room: int) -> bytes:
    """A whole record of a kind that is not read, which fills the rest of a block."""
    body = b"\x1a" + b"\x00" * (room - 8)
    return zlib.crc32(body).to_bytes(4, "little") + len(body).to_bytes(2, "little") + b"\x01" + body


HOSTILE = {
    "empty": b"",
    "zeros": b"\0" * 5000,
    "not text": bytes(range(256)) * 20,
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 5000,
    "deep yaml": b"- " * 5000,
    "spaces": b"a" + b" " * 200_000,
    "quotes": b'a: "' + b'\\" \n' * 15_000,
    "blank lines": b"a: b" + b"\n" * 19_000 + b" c",
    "another kind": b"[1, 2]",
    "null": b"null",
    "wrong types": b'{"status": {"a": [1]}, "run_id": [], "heartbeat": 1, "experiment": [], "trial_data": [[1], 2, '
    b'["x"]], "global_step": "x", "max_steps": null, "log_history": [1], "start_time": 1e400, "time": {}, '
    b'"loss": {"values": 3}}',
    "huge number": b'{"status": ' + b"9" * 5000 + b"}",
    "columns": b"a,b,c\n" + b'"' * 300_000,
    "tabs": b"\t" * 10_000 + b"\n" + b"\t" * 10_000,
    "pickle": b"\x80\x04\x8c\xffshort",
    "wandb": b":W&B\xe1\xbe\x00" + b"\xff" * 40_000,
    "lengths": b":W&B\xe1\xbe\x00\0\0\0\0\x04\x00\x01\x12\xff\xff\x7f",
    "surrogates": b'{"status": "\\ud800", "config": {"\\udfff": 1}}',
    "yaml tags": b"a: !!python/object/apply:os.system ['x']\nstatus: *b\nrun_id: &b 3\n",
}


HOSTS_OF_HOSTILE_FILES = (
    "hf-trainer/finished",
    "hf-trainer/with-events",
    "hydra/quiet",
    "hydra/search",
    "hydra/sweep",
    "lightning/objects",
    "lightning/quiet",
    "mlflow/finished",
    "mlflow/model-2.22",
    "nextflow/succeeded",
    "ray-tune/succeeded",
    "sacred/completed",
    "snakemake/succeeded",
    "submitit/succeeded",
    "success-file/parquet",
    "tensorboard/hparams",
    "wandb/finished",
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", HOSTS_OF_HOSTILE_FILES)
def test_whatever_a_file_holds_there_is_an_answer(name: str, hostile: str) -> None:
    whole = held(name)
    for path in whole.bodies:
        look = HeldLook({**whole.bodies, path: HOSTILE[hostile]}, whole.folders)
        recognised = recognise(look, "auto")
        facts = recognised.facts(look)
        said = {key: getattr(facts, key) for key in facts.__struct_fields__}
        assert len(canonical_json(said)) <= _MAX_FACTS_BYTES
        assert all(status.evidence for _, status in recognised.found)


@pytest.mark.parametrize("name", sorted(ENDS))
def test_a_file_that_is_cut_off_anywhere_is_no_failure(name: str) -> None:
    whole = held(name)
    for path, body in whole.bodies.items():
        for part in (1, len(body) // 3, len(body) // 2, len(body) - 1):
            look = HeldLook({**whole.bodies, path: body[:part]}, whole.folders)
            recognise(look, "auto").facts(look)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "exploded"),)

    for name in ("hydra/succeeded", "submitit/succeeded", "lightning/quiet", "ray-tune/succeeded"):
        look = held(name)
        for protocol in range(6):
            bomb = pickle.dumps(("success", Bomb()), protocol)
            pickles = (".pickle", ".pkl", ".ckpt", ".bin", ".pt")
            look.bodies |= {path: bomb for path in look.bodies if path.endswith(pickles)}
            recognise(look, "auto").facts(look)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", range(6))
def test_the_first_string_of_a_pickle_is_read_in_every_protocol(protocol: int) -> None:
    assert first_string(pickle.dumps(("success", [1, 2]), protocol)) == "success"
    assert first_string(pickle.dumps((3, "success"), protocol)) is None
    assert first_string(b"") is None


def test_the_number_of_an_enumeration_is_read_only_where_it_is_one() -> None:
    assert enum_number(held("hydra/failed").bodies[".hydra/job_return.pickle"], "JobStatus") == 2
    assert enum_number(pickle.dumps(("JobStatus", 2), 4), "JobStatus") is None
    assert enum_number(pickle.dumps({"status": 1}, 4), "JobStatus") is None


def test_what_could_not_be_used_is_noted_with_its_file() -> None:
    look = held("hydra/quiet")
    look.bodies[".hydra/config.yaml"] = b"a: !!python/name:os.system\n"
    (note,) = recognise(look, "auto").facts(look).notes
    assert note.startswith(".hydra/config.yaml: not used")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "a: 1\nb: -2.5\nc: 1.0e-05\nd: null\ne: ~\nf:\ng: true\n",
            {"a": 1, "b": -2.5, "c": 1e-5, "d": None, "e": None, "f": None, "g": True},
        ),
        ("a:\n- 1\n- - x\n  - y\n- k: v\n  l: w\n", {"a": [1, ["x", "y"], {"k": "v", "l": "w"}]}),
        ("a:\n  b:\n    c: d\ne: 'it''s'\n", {"a": {"b": {"c": "d"}}, "e": "it's"}),
        ('a: "x\\ty\\u00e9 \\\n  \\ z"\n', {"a": "x\tyé  z"}),
        ("a: one\n  two\n\n  three\nb: []\nc: {}\n", {"a": "one two\nthree", "b": [], "c": {}}),
        ("# said\n---\n", None),
        ("---\na: b # said\n", {"a": "b"}),
        ("a: ???\nurl: http://x/y\n'k: 1': v\n", {"a": "???", "url": "http://x/y", "k: 1": "v"}),
        (
            "date: 2026-01-17\nn: 0x1F\nv: '1'\nnan: .nan\n",
            {"date": "2026-01-17", "n": "0x1F", "v": "1", "nan": ".nan"},
        ),
    ],
)
def test_plain_yaml_is_read(text: str, value: object) -> None:
    assert read_yaml(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object:os.system x",
        "a: &x 1\nb: *x",
        "a: |\n  block",
        "? complex\n: key",
        "a: b: c",
        "a: 1\n--- \nb: 2",
        "just words",
        "a: [1, b",
        "a:\n\t- 1",
        "a: 'open",
        "  a: 1\nb: 2",
        "\xff",
    ],
)
def test_yaml_of_another_kind_is_refused(text: str) -> None:
    assert read_yaml(text.encode("latin-1")) is None


_SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
_TEXTS = st.text("ab :#'\"-\\\n,[]{}&*!?|>%@`0.\u00e9", max_size=120)
_VALUES = st.recursive(
    _SCALARS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, min_size=1, max_size=4))
def test_what_pyyaml_writes_is_read_as_it_was_or_refused(value: dict[str, object]) -> None:
    yaml = importlib.import_module("yaml")
    found = read_yaml(yaml.safe_dump(value).encode())
    assert found is None or json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)
