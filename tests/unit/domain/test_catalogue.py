"""The catalogue is a function of the registry's state: no order, no clock and no name of a builder enters it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sealrun.adapters.content.published_schemas import published_schema
from sealrun.domain.address import AttemptId, Digest, RunId
from sealrun.domain.curation.catalogue import KnownRun, build_catalogue
from sealrun.domain.registry.pointing import Generation, Target
from sealrun.domain.types import Dependency, TypedArtifact

ROOT = Digest("a" * 64)
ATTEMPT = AttemptId("20260117T150000Z-eca937c92024f10d")


def a_run(experiment: str, number: int, *needs: str, path: str = "STATUS_v0_1.json", **facts: Any) -> KnownRun:  # noqa: ANN401 - facts of an artifact
    inputs = tuple(Dependency(pointer=f"{name}@active") for name in needs)
    artifact = TypedArtifact(path=path, type="json_snapshot", declared=True, depends_on=inputs, **facts)
    return KnownRun(
        experiment=experiment,
        run_id=f"r{number}",
        finished_at=f"2026-01-{number:02d}T00:00:00Z",
        root_sha256=ROOT,
        artifacts=(artifact,),
    )


def active(run: KnownRun, generation: int = 1) -> Generation:
    target = Target(
        experiment=run.experiment,
        run_id=RunId(run.run_id),
        attempt=ATTEMPT,
        root_sha256=ROOT,
        finished_at=run.finished_at,
    )
    return Generation(
        pointer=f"{run.experiment}@active",
        generation=generation,
        target=target,
        moved_at="2026-02-01T00:00:00Z",
        by="ana",
        why="reviewed",
        nonce="n",
    )


def entries(*runs: KnownRun, actives: dict[str, Generation] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(build_catalogue(runs, actives or {}, {}).catalog)["registries"]
    return found


RUNS = [a_run("a", 1), a_run("a", 2), a_run("b", 3, "a", owner="ops"), a_run("c", 4, "a", "b", schema="s/1")]
ACTIVES = {"a": active(RUNS[0]), "b": active(RUNS[2])}
SCHEMAS = {"s/1": ROOT, "s/2": ROOT, "r/1": ROOT}


@given(st.permutations(RUNS), st.permutations(list(ACTIVES)), st.permutations(list(SCHEMAS)))
def test_the_order_in_which_things_are_found_does_not_matter(
    runs: list[KnownRun], actives: list[str], schemas: list[str]
) -> None:
    one = build_catalogue(RUNS, ACTIVES, SCHEMAS)
    other = build_catalogue(runs, {name: ACTIVES[name] for name in actives}, {name: SCHEMAS[name] for name in schemas})
    assert one == other
    assert one.run_id == other.run_id


def test_both_documents_conform_to_their_published_schemas() -> None:
    built = build_catalogue(RUNS, ACTIVES, SCHEMAS)
    for body, name in ((built.catalog, "registry-catalog"), (built.pointers, "active-registry-pointers")):
        Draft202012Validator(published_schema(name)).validate(json.loads(body))


def test_a_registry_is_described_as_its_active_build_has_it() -> None:
    old, new = a_run("a", 1, schema="s/1"), a_run("a", 2, schema="s/2")
    (entry,) = entries(old, new, actives={"a": active(old)})
    assert (entry["schema"], entry["active"], entry["newest"], entry["builds"]) == ("s/1", "a/r1", "a/r2", 2)
    (entry,) = entries(old, new)
    assert (entry["schema"], entry["active"]) == ("s/2", None)


def test_a_new_version_of_a_file_is_the_same_registry() -> None:
    (entry,) = entries(a_run("a", 1, path="STATUS_v0_1.json"), a_run("a", 2, path="STATUS_v0_2.json"))
    assert (entry["registry"], entry["path"], entry["builds"]) == ("STATUS", "STATUS_v0_2.json", 2)


def test_builds_come_after_what_they_are_made_from() -> None:
    assert json.loads(build_catalogue(reversed(RUNS), ACTIVES, {}).catalog)["build_order"] == ["a", "b", "c"]
    again = build_catalogue([a_run("a", 1, "a")], {}, {})
    assert again.cycles == ()  # made from its own last build


def test_circles_are_named_and_the_rest_is_ordered_all_the_same() -> None:
    built = build_catalogue([a_run("x", 1, "y"), a_run("y", 2, "x"), a_run("z", 3, "y"), a_run("a", 4, "z")], {}, {})
    assert built.cycles == ("x", "y")
    order = json.loads(built.catalog)["build_order"]
    assert order.index("y") < order.index("z") < order.index("a")


def test_the_catalogue_does_not_list_itself_and_its_time_is_that_of_its_state() -> None:
    built = build_catalogue([*RUNS, a_run("catalog", 9)], ACTIVES, {})
    assert built.as_of == "2026-02-01T00:00:00Z"
    assert b'"experiment": "catalog"' not in built.catalog
    assert build_catalogue([], {}, {}).as_of == "1970-01-01T00:00:00Z"


def test_manifests_and_run_folders_are_no_registries() -> None:
    run = KnownRun(
        experiment="a",
        run_id="r",
        finished_at="2026-01-01T00:00:00Z",
        root_sha256=ROOT,
        artifacts=(TypedArtifact(path=".", type="run_folder"), TypedArtifact(path="manifest.json", type="manifest")),
    )
    assert entries(run) == []
