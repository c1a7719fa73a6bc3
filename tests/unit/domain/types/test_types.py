"""Typed artifacts: recognised by name, declared by producers, kept in the envelope, refused where they cannot be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sealrun.domain.errors import RunRejectedError, UsageError
from sealrun.domain.types import (
    ARTIFACT_TYPES,
    Dependency,
    TypedArtifact,
    composition_problems,
    declare_artifact,
    mutability,
    parse_pointer_ref,
    parse_schema_id,
    read_declared,
    recognise_artifacts,
    registry_name,
    run_folders,
    typed_artifacts,
)

ROOT = "a" * 64


class Bodies:
    """`recognition.Heads` over bytes in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def start(self, path: str, length: int) -> bytes | None:
        return self.files[path][:length]


def types_of(files: Mapping[str, bytes]) -> dict[str, str]:
    return {artifact.path: artifact.type for artifact in recognise_artifacts(Bodies(files))}


def test_each_type_of_the_catalogue_is_recognised_by_its_usual_names() -> None:
    found = types_of(
        {
            "run.json": b"{}",
            "manifest.json": b"{}",
            "MANIFEST.sha256": b"",
            "RUN_REGISTRY_v0_1.jsonl": b'{"run_id": "r"}\n',
            "pack_build.jsonl": b'{"a": 1}\n{"a": 2}\n',
            "OPERATION_STATUS_TABLE_v0_1.json": b"[]",
            "fingerprints/index.csv": b"id,path\n",
            "ACTIVE_REGISTRY_POINTERS_v0_1.json": b"{}",
            "derived/LATEST.txt": b"run-1\n",
            "pack/build_manifest.json": b"{}",
            "pack/pack_sha256.txt": b"x",
            "notes.json": b"{}",
            "REGISTRY_RUN.schema.json": b"{}",
        }
    )
    assert found["."] == "run_folder"
    assert "notes.json" not in found
    assert set(found.values()) == set(ARTIFACT_TYPES)
    assert found["RUN_REGISTRY_v0_1.jsonl"] == found["pack_build.jsonl"] == "jsonl_registry"
    assert found["OPERATION_STATUS_TABLE_v0_1.json"] == "json_snapshot"
    assert found["fingerprints/index.csv"] == "index"
    assert found["ACTIVE_REGISTRY_POINTERS_v0_1.json"] == found["derived/LATEST.txt"] == "pointer"
    assert found["pack/build_manifest.json"] == found["pack/pack_sha256.txt"] == "manifest"


def test_sub_types_of_manifests_are_told_apart() -> None:
    names = ("manifest.json", "MANIFEST.sha256", "build_manifest.json", "data_manifest.json", "pack_sha256.txt")
    files = {**dict.fromkeys(names, b"{}"), "x_v1.json": b"{}"}
    subtypes = [artifact.subtype for artifact in recognise_artifacts(Bodies(files)) if artifact.subtype]
    assert sorted(subtypes) == ["build", "data", "pack", "structured", "sums"]


def test_a_run_of_ordinary_files_holds_nothing_typed() -> None:
    assert types_of({"manifest.json": b"{}", "metrics.json": b"{}", "log.txt": b"x", "a.csv": b"1"}) == {}
    assert typed_artifacts(None, Bodies({"metrics.json": b"{}"}), (), "r") is None


@pytest.mark.parametrize("body", [b"", b"plain text\n", b"[1]\n", b"{broken\n"])
def test_a_file_that_does_not_begin_as_its_name_promises_is_not_recognised(body: bytes) -> None:
    assert types_of({"x.jsonl": body}) == {}


def test_what_is_declared_comes_before_what_is_recognised_and_all_is_sorted() -> None:
    declared = [{"path": "b.jsonl", "type": "index", "owner": "ops"}]
    found = typed_artifacts(declared, Bodies({"b.jsonl": b"{}", "a.jsonl": b"{}"}), (), "r")
    assert found == (
        TypedArtifact(path="a.jsonl", type="jsonl_registry"),
        TypedArtifact(path="b.jsonl", type="index", declared=True, owner="ops"),
    )


def test_files_of_a_framework_are_no_registry_artifacts() -> None:
    assert typed_artifacts(None, Bodies({"b.jsonl": b"{}"}), {"b.jsonl"}, "r") is None


@pytest.mark.parametrize(
    "foreign", [None, {}, "x", [1], [{"path": "a"}], [{"path": "a", "type": "plot"}], [{"type": "index"}]]
)
def test_what_other_tools_call_artifacts_is_not_used(foreign: object) -> None:
    assert read_declared(foreign, "r") == ()


@pytest.mark.parametrize("path", ["reports/runs/x/REGISTRY.jsonl", "status/20260101T000000Z-a-abcdef", "/srv/x", "s"])
def test_a_dependency_that_is_no_pointer_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="EXPERIMENT@POINTER"):
        parse_pointer_ref(path)
    for said in (path, {"path": path}, {"pointer": path}):
        item = {"path": "a.jsonl", "type": "jsonl_registry", "depends_on": [said]}
        with pytest.raises(RunRejectedError, match=r"run-1: artifact 'a.jsonl'.*depends on"):
            read_declared([item], "run-1")


def test_a_dependency_keeps_what_it_was_resolved_to() -> None:
    said = {"pointer": "status@active", "run": "status/r1", "root_sha256": ROOT}
    (artifact,) = read_declared([{"path": "a", "type": "index", "depends_on": [said]}], "r")
    assert artifact.depends_on == (Dependency(pointer="status@active", run="status/r1", root_sha256=ROOT),)
    assert artifact.authority == "derived"


@pytest.mark.parametrize(
    "facts",
    [
        {"type": "plot"},
        {"authority": "secondary"},
        {"authority": "primary", "depends_on": [{"pointer": "s@active"}]},
        {"schema": "no-version"},
        {"path": "../a"},
        {"name": "a b"},
        {"depends_on": [{"pointer": "s@active", "run": "s/r"}]},
        {"depends_on": [{"pointer": "s@active", "run": "s@r", "root_sha256": ROOT}]},
    ],
)
def test_a_declaration_that_cannot_be_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        declare_artifact(**{"path": "a.jsonl", "type": "jsonl_registry", **facts})  # type: ignore[arg-type] # on purpose


def test_a_sealed_set_has_its_records_and_a_registry_artifact() -> None:
    files = {"run.json", "manifest.json", "MANIFEST.sha256", "r.jsonl"}
    whole = [TypedArtifact(path=".", type="run_folder"), TypedArtifact(path="r.jsonl", type="jsonl_registry")]
    assert composition_problems(files, whole) == ()
    assert "no registry artifact" in composition_problems(files, whole[:1])[0]
    assert "without run.json" in composition_problems(files - {"run.json"}, whole)[0]
    assert "not there" in composition_problems(files - {"r.jsonl"}, whole)[0]
    made = TypedArtifact(
        path="r.jsonl", type="index", authority="primary", depends_on=(Dependency(pointer="s@active"),)
    )
    assert "is derived" in composition_problems(files, [made])[0]


def test_run_folders_lie_at_any_depth() -> None:
    paths = [f"a/b/{name}" for name in ("run.json", "manifest.json", "MANIFEST.sha256")]
    assert run_folders([*paths, "run.json", "c/manifest.json"]) == ("a/b",)


def test_a_registry_is_named_after_its_file_without_its_version() -> None:
    assert registry_name("out/RUN_REGISTRY_v0_1.jsonl") == registry_name("RUN_REGISTRY_v1.2.json") == "RUN_REGISTRY"
    assert registry_name("pack_build.jsonl") == "pack_build"


def test_a_schema_is_named_with_its_version() -> None:
    assert parse_schema_id("run-registry/0.1") == ("run-registry", "0.1")
    with pytest.raises(UsageError):
        parse_schema_id("run-registry")


def test_nothing_sealed_is_mutable_and_a_pointer_is_until_then() -> None:
    for kind in ARTIFACT_TYPES:
        for authority in ("primary", "derived", None):
            assert mutability(kind, authority).startswith("immutable")
    assert mutability("pointer", "primary", sealed=False).startswith("mutable: moved")
    assert "never edited" in mutability("index", "derived", sealed=False)
    assert "governance" in mutability("index", "primary", sealed=False)
