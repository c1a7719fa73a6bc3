"""The published schemas describe what sealrun writes: all of it, and nothing that was tampered with."""

from __future__ import annotations

import copy
import importlib
import json
import pkgutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from tests.builders.worlds import EVERYTHING_PACKED, World
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.faults import scenarios

import sealrun
from sealrun.adapters.content.published_schemas import published_schema, published_text
from sealrun.domain.curation.building import Beat
from sealrun.domain.errors import NotFoundError
from sealrun.domain.records import Record
from sealrun.domain.schemas import PUBLISHED, schema_of_key
from sealrun.domain.upkeep.mirroring import MirroredRun, MirrorRecord
from sealrun.recording import RunContext, mark_complete
from sealrun.recording.places import Paths
from sealrun.services.curation.building import BuildLog
from sealrun.services.keeping.pinning import Pins

SAMPLE = Path(__file__).parents[2] / "docs" / "sample-registry"
VALIDATORS = {name: Draft202012Validator(published_schema(name)) for name in PUBLISHED}
NO_RECORDS = ("store/", "probe/", "latest/")


def records(key: str, body: bytes) -> Iterator[tuple[str, Any]]:
    """What a key holds: its schema, and each of its values."""
    name = schema_of_key(key)
    if name is None:
        assert key.startswith(NO_RECORDS) or "/artifacts/" in key or key.endswith("MANIFEST.sha256"), key
        return
    lines = body.splitlines() if key.endswith(".jsonl") else [body]
    yield from ((name, json.loads(line)) for line in lines)


def complaints(name: str, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(value)]


def check_world(bodies: dict[str, bytes]) -> set[str]:
    seen = set()
    for key, body in bodies.items():
        for name, value in records(key, body):
            assert complaints(name, value) == [], key
            seen.add(name)
    return seen


def sample() -> dict[str, bytes]:
    return {str(path.relative_to(SAMPLE)): path.read_bytes() for path in SAMPLE.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_is_one_and_has_its_own_id(name: str) -> None:
    schema = published_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:sealrun:schema:{name}:1"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == PUBLISHED[name]
    assert published_text(name).endswith("}\n")


def test_every_file_beside_the_list_is_listed() -> None:
    folder = files("sealrun.domain.schemas")
    assert {path.name for path in folder.iterdir() if path.name.endswith(".json")} == {
        f"{name}.schema.json" for name in PUBLISHED
    }
    with pytest.raises(NotFoundError, match="there is active-registry-pointers"):
        published_schema("nonsense")


def test_every_record_of_the_sample_registry_conforms() -> None:
    seen = check_world(sample())
    assert seen >= {"registry", "intent", "outcome", "refs", "run", "manifest", "seal", "retired", "pin", "lifted"}
    assert seen >= {"pointer", "row", "dropped", "latest-meta", "quarantined", "condemned", "verdict", "deleted"}


SCENARIOS: list[Any] = [
    value
    for value in vars(scenarios).values()
    if isinstance(value, type) and hasattr(value, "act") and getattr(value, "runs", None)
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("packed", [False, True])
def test_every_record_that_a_world_writes_conforms(scenario: type, packed: bool) -> None:  # noqa: FBT001 - a parameter
    world = World(packs=EVERYTHING_PACKED if packed else None)
    play = scenario()
    play.prepare(world)
    play.act(world, world.store)
    play.finish(world)
    assert {"run", "refs", "outcome"} <= check_world(world.store.bodies)


def test_builds_and_pins_conform() -> None:
    world = World()
    clock, entropy = FakeClock(), FakeEntropy(1)
    log = BuildLog(world.store, clock, entropy, "ana", "features", "a" * 64)  # type: ignore[arg-type] # a digest
    claim = log.ask(1.0, None, lambda _: False)
    log.give_up(claim, ValueError("no"))
    claim = log.ask(1.0, None, lambda _: False)
    log.conclude(claim, ("content", "r", f"urn:sealrun:features:sha256:{'b' * 64}"), lambda _: True)
    assert check_world(world.store.bodies) == {"build"}
    scenario = scenarios.FirstPublish()
    scenario.act(world, world.store)
    row = world.reader().runs("train")[0]
    Pins(world.store, clock, entropy, "ana").pin("train", row.run_id, "cited")
    assert "pin" in check_world(world.store.bodies)


def test_what_a_recorder_writes_conforms(tmp_path: Path) -> None:
    paths = Paths.from_env({"SEALRUN_HOME": str(tmp_path)})
    with RunContext("dev", "hmc", paths=paths, params={"a": 1}, tags=["t"]) as run:
        recording = json.loads((run.run_dir / ".sealrun" / "recording.json").read_text())
        assert complaints("recorded-run", json.loads((run.run_dir / "run.json").read_text())) == []
        run.check("rows", "pass", "rows=3")
        run.write_text("x.jsonl", "{}\n")
        run.declare_artifact("artifacts/x.jsonl", "jsonl_registry", owner="ops")
    assert complaints("recording", recording) == []
    for file, name in (("run.json", "recorded-run"), ("checks.json", "checks"), (".sealrun/done.json", "done")):
        assert complaints(name, json.loads((run.run_dir / file).read_text())) == [], file
    (line,) = (run.run_dir.parents[1] / "manifest.jsonl").read_text().splitlines()
    assert complaints("experiment-line", json.loads(line)) == []
    (tmp_path / "by-hand").mkdir()
    (tmp_path / "by-hand" / "a").write_text("a")
    mark_complete(tmp_path / "by-hand", "failed", tags=["x"], reason="no")
    assert complaints("done", json.loads((tmp_path / "by-hand/.sealrun/done.json").read_text())) == []


def mutated(value: dict[str, Any], required: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same record without a required field, with one of another type, of another kind."""
    for field in required:
        yield f"without {field}", {key: item for key, item in value.items() if key != field}
    for field, item in value.items():
        changed = copy.deepcopy(value)
        changed[field] = {"other": 1} if isinstance(item, str | int | list) else "other"
        yield f"{field} of another type", changed
    for field in ("format", "kind"):
        if field in value:
            yield f"another {field}", {**value, field: "sealrun/2" if field == "format" else "nonsense"}


def test_a_record_that_was_tampered_with_does_not_conform() -> None:
    seen = set()
    for key, body in sample().items():
        for name, value in records(key, body):
            schema = published_schema(name)
            known = {field: item for field, item in value.items() if field in schema["properties"]}
            for what, changed in mutated(known, schema["required"]):
                if what in {"options of another type", "producer of another type"} and isinstance(changed, dict):
                    continue  # an object stays an object there
                assert complaints(name, changed), f"{key}: {what}"
                seen.add(name)
    assert len(seen) > 15


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run", {"tree_digest": "ABC"}),
        ("run", {"finished_at": "2026-01-17 14:30:52"}),
        ("run", {"artifacts": [{"path": "a", "type": "plot"}]}),
        ("run", {"artifacts": [{"path": "a", "type": "index", "depends_on": [{"pointer": "a/path"}]}]}),
        ("manifest", {"entries": [{"path": "../a", "sha256": "a" * 64, "size": 1}]}),
        ("manifest", {"entries": [{"path": "a", "sha256": "a" * 64, "size": -1}]}),
        ("outcome", {"root_sha256": "short"}),
        ("pointer", {"generation": 0}),
        ("pointer", {"target": {"experiment": "e"}}),
    ],
)
def test_values_that_cannot_be_do_not_conform(name: str, change: dict[str, Any]) -> None:
    found = (value for key, body in sample().items() for schema, value in records(key, body) if schema == name)
    record = next(value for value in found if value.get("decision") != "void")
    assert complaints(name, record) == []
    assert complaints(name, {**record, **change})


def record_types(kind: type[Record] = Record) -> Iterator[type[Record]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from record_types(inner)


def test_every_kind_of_record_and_every_field_of_it_is_described() -> None:
    """Whoever gives a record a new field adds it to its schema beside `sealrun.domain.schemas`."""
    for module in pkgutil.walk_packages(sealrun.__path__, "sealrun."):
        if module.name.startswith(("sealrun.domain.", "sealrun.services.")):
            importlib.import_module(module.name)
    kinds = {published_schema(name)["properties"].get("kind", {}).get("const"): name for name in PUBLISHED}
    found = {record.KIND: record for record in record_types() if record.__module__.startswith("sealrun.")}
    assert found.keys() <= kinds.keys()
    for kind, record in found.items():
        written = {field.encode_name for field in msgspec.structs.fields(record)} - {"extra"}
        assert written <= published_schema(kinds[kind])["properties"].keys(), kind


def test_records_of_mirrors_and_signs_of_life_conform() -> None:
    mirror = MirrorRecord(mirror_id="m", registry_id="r", owner="o", created_at="2026-01-17T15:00:00Z")
    run = MirroredRun(
        experiment="e",
        run_id="r",
        root_sha256="a" * 64,
        finished_at="2026-01-17T15:00:00Z",
        status="success",
        size=1,
        files=1,
        inode=7,
        arrived=True,
    )
    for name, record in (("mirror", mirror), ("mirrored", run), ("beat", Beat(nonce="n", count=0))):
        assert complaints(name, json.loads(record.encode())) == []
