"""schema, catalog, validate and gated promotions on a directory registry: what they keep, tell and refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.commands import Answer, Commands, go_to
from tests.builders.foreign import REGISTRY, SCHEMA, foreign_folder, seal

import sealrun
from sealrun.domain.address import Digest
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.watches.in_place import in_place_seal

STRICT = {"type": "object", "required": ["run_id", "status"]}
LOOSE = {"type": "object", "required": ["run_id"]}


class Place(Commands):
    """A folder made by ``sealrun init``, in which commands are run."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder, capture)
        self._number = 0

    def publish(self, experiment: str, lines: str, **declared: Any) -> str:  # noqa: ANN401 - JSON
        """Publish a build of a registry; return its reference."""
        self._number += 1
        folder = self.folder / f"build-{self._number}"
        (folder / ".sealrun").mkdir(parents=True)
        (folder / REGISTRY).write_text(lines)
        artifact = {"path": REGISTRY, "type": "jsonl_registry", "owner": "ops", **declared}
        said = {
            "status": "success",
            "finished_at": f"2026-01-{self._number:02d}T00:00:00Z",
            "artifacts": [artifact],
            "checks": [{"name": "rows", "status": "pass"}],
        }
        (folder / ".sealrun" / "done.json").write_text(json.dumps(said))
        answer = self("publish", str(folder), "--experiment", experiment, "--json")
        assert answer.code == 0, answer.err
        ref: str = answer.json()["ref"]
        return ref

    def add_schema(self, schema_id: str, schema: object) -> Answer:
        (self.folder / "schema.json").write_text(json.dumps(schema))
        return self("schema", "add", schema_id, "schema.json")

    def validate(self, ref: str, *options: str) -> Answer:
        return self("validate", ref, "--json", *options)

    def files(self) -> dict[str, bytes]:
        """Every key of the registry."""
        root = self.folder / "registry"
        found = (path for path in root.rglob("*") if path.is_file() and ".sealrun" not in path.parts)
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def tamper(self, pattern: str, old: bytes, new: bytes) -> None:
        """Change stored bytes behind everybody's back."""
        (file,) = (self.folder / "registry").glob(pattern)
        body = file.read_bytes()
        assert old in body
        file.unlink()  # what is linked to it elsewhere stays as it was
        file.write_bytes(body.replace(old, new))


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    go_to(tmp_path, monkeypatch)
    return Place(tmp_path, capsys)


# ---------------------------------------------------------------- schemas


def test_a_schema_is_kept_shown_and_never_changed(place: Place) -> None:
    assert place.add_schema("run-registry/0.1", LOOSE).code == 0
    assert place.add_schema("run-registry/0.1", LOOSE).code == 0
    changed = place.add_schema("run-registry/0.1", STRICT)
    assert changed.code == 1
    assert "never changed" in changed.err
    assert place.add_schema("run-registry/0.2", STRICT).code == 0
    assert place("schema", "show", "run-registry/0.1").json() == LOOSE
    assert [json.loads(line)["schema"] for line in place("schema", "ls", "--json").out.splitlines()] == [
        "run-registry/0.1",
        "run-registry/0.2",
    ]
    assert place("schema", "show", "run").json()["$id"] == "urn:sealrun:schema:run:1"
    assert place("schema", "show", "sealrun.run/1").json()["title"].startswith("run.json")
    assert place.add_schema("sealrun.run/1", LOOSE).code == 2
    assert place.add_schema("r/1", {"type": "nonsense"}).code == 2
    assert "pointer" in place("schema", "ls", "--published").out


# ---------------------------------------------------------------- the catalogue


def test_the_same_state_gives_the_same_catalogue_wherever_it_is_built(place: Place) -> None:
    place.add_schema("run-registry/0.1", LOOSE)
    place.publish("runs", '{"run_id": "a"}\n', schema="run-registry/0.1", authority="primary")
    place("promote", "runs@latest", "active")
    dry = place("catalog", "build", "--dry-run", "--json")
    before = place.files()
    assert dry.json()["state"] == "would publish"
    assert place("catalog", "build", "--json").json()["state"] == "published"
    assert before.items() <= place.files().items()
    after = place.files()
    assert place("catalog", "build", "--json").json() == {**dry.json(), "state": "stands"}
    shutil.rmtree(place.folder / ".sealrun", ignore_errors=True)  # another machine: nothing is remembered
    assert place("catalog", "build", "--json").json()["state"] == "stands"
    assert place.files() == after
    shown = place("catalog", "show", "--now", "--json").json()
    assert shown == place("catalog", "show", "--json").json()
    assert (shown["schema"], shown["authority"], shown["owner"]) == ("run-registry/0.1", "primary", "ops")
    assert shown["active"].startswith("runs/")
    assert place("catalog", "show", "--pointers", "--json").json()["pointer"] == "runs@active"
    assert place.validate("catalog@active").code == 0


def test_a_rollback_brings_back_the_very_catalogue_there_was(place: Place) -> None:
    first = place.publish("runs", '{"run_id": "a"}\n')
    second = place.publish("runs", '{"run_id": "b"}\n')
    place("promote", first, "active")
    one = place("catalog", "show", "--now", "--json").out
    place("promote", second, "active")
    assert place("catalog", "show", "--now", "--json").out != one
    place("pointer", "rollback", "runs", "active")
    assert place("catalog", "show", "--now", "--json").out == one


def test_a_catalogue_that_was_never_built_is_not_there(place: Place) -> None:
    assert place("catalog", "show").code == 1
    assert place("catalog", "build", "-n", "--json").json()["registries"] == 0


# ---------------------------------------------------------------- validating


def test_two_versions_of_a_schema_are_validated_side_by_side(place: Place) -> None:
    place.add_schema("run-registry/0.1", LOOSE)
    place.add_schema("run-registry/0.2", STRICT)
    old = place.publish("runs", '{"run_id": "a"}\n', schema="run-registry/0.1")
    new = place.publish("runs", '{"run_id": "a"}\n{"run_id": "b", "status": "ok"}\n', schema="run-registry/0.2")
    good = place.publish("runs", '{"run_id": "b", "status": "ok"}\n', schema="run-registry/0.2")
    assert place.validate(old).code == 0
    assert place.validate(good).code == 0
    wrong = place.validate(new)
    assert wrong.code == 20
    assert wrong.errors() == {"schema": "line 1: $: 'status' is a required property"}


def test_a_schema_that_is_not_there_and_one_that_was_tampered_with_are_told(place: Place) -> None:
    place.add_schema("run-registry/0.1", STRICT)
    missing = place.publish("runs", '{"run_id": "a"}\n', schema="run-registry/9")
    assert "no schema run-registry/9" in place.validate(missing).errors()["schema"]
    ref = place.publish("runs", '{"run_id": "a", "status": "ok"}\n', schema="run-registry/0.1")
    place.tamper("catalog/schemas/run-registry/0.1.json", b'"status"', b'"run_id"')
    told = place.validate(ref)
    assert told.code == 20
    assert "not the one that was added" in told.errors()["schema"]


def test_a_file_that_was_tampered_with_breaks_the_seal(place: Place) -> None:
    ref = place.publish("runs", '{"run_id": "a"}\n')
    place.tamper("store/objects/sha256/*/*/*", b'"a"', b'"b"')
    told = place.validate(ref)
    assert told.code == 20
    assert told.errors().keys() == {"seal"}
    assert REGISTRY in place("validate", ref).out


def test_a_record_that_was_tampered_with_breaks_the_seal(place: Place) -> None:
    ref = place.publish("runs", '{"run_id": "a"}\n')
    place.tamper("experiments/runs/runs/*/run.json", b'"ops"', b'"ana"')
    told = place.validate(ref)
    assert told.code == 20
    assert "run.json" in told.errors()["seal"]


def test_a_pointer_that_was_tampered_with_is_told(place: Place) -> None:
    first = place.publish("runs", '{"run_id": "a"}\n')
    second = place.publish("runs", '{"run_id": "b"}\n')
    for ref in (first, second):
        place("promote", ref, "active")
    place.tamper("experiments/runs/pointers/active/999999999998.json", b'"promoted"', b'"replaced"')
    told = place.validate(second)
    assert told.code == 20
    assert "generation 2 was made after another one" in told.errors()["pointers"]


def test_a_plain_run_is_no_registry_and_validates_as_what_it_is(place: Place) -> None:
    (place.folder / "plain").mkdir()
    (place.folder / "plain" / "model.bin").write_bytes(b"1")
    place("publish", "plain", "--experiment", "e")
    assert place.validate("e@latest").code == 0
    assert place.validate("e@latest", "--error-on-nothing").code == 4


def test_an_artifact_that_is_declared_and_not_there_is_told(place: Place) -> None:
    ref = place.publish("runs", '{"run_id": "a"}\n', path="ELSEWHERE.jsonl")
    assert "not there" in place.validate(ref).errors()["composition"]


# ---------------------------------------------------------------- what it was made from


def resolved(pointer: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(sealrun.depends_on(pointer))
    return found


def test_what_a_registry_was_made_from_is_recorded_and_followed(place: Place) -> None:
    status = place.publish("status", '{"run_id": "a"}\n')
    place("promote", status, "active")
    said = resolved("status@active")
    assert said["run"] == status
    ref = place.publish("runs", '{"run_id": "a"}\n', depends_on=[said])
    assert place.validate(ref).code == 0
    later = place.publish("status", '{"run_id": "b"}\n')
    place("promote", later, "active")
    followed = place.validate(ref)
    assert followed.code == 0
    assert any("rebuild to follow" in finding["detail"] for finding in followed.json()["findings"])
    newest = place("catalog", "show", "--now", "--json").out.splitlines()
    assert [json.loads(line)["depends_on"] for line in newest] == [["status@active"], []]


def test_what_was_not_resolved_or_never_stood_or_came_later_is_told(place: Place) -> None:
    first = place.publish("runs", '{"run_id": "early"}\n')
    status = place.publish("status", '{"run_id": "a"}\n')
    place("promote", status, "active")
    said = resolved("status@active")
    unresolved = place.publish("runs", '{"run_id": "a"}\n', depends_on=[{"pointer": "status@active"}])
    assert "was not recorded" in place.validate(unresolved).errors()["dependencies"]
    wrong = place.publish("runs", '{"run_id": "b"}\n', depends_on=[{**said, "root_sha256": "0" * 64}])
    assert "never stood on" in place.validate(wrong).errors()["dependencies"]
    nowhere = place.publish("runs", '{"run_id": "c"}\n', depends_on=[{**said, "pointer": "status@best"}])
    assert "was never set" in place.validate(nowhere).errors()["dependencies"]
    place._number = 0  # a build that says it was finished before what it is made from
    shutil.rmtree(place.folder / "build-1")
    early = place.publish("runs", '{"run_id": "d"}\n', depends_on=[said])
    assert "finished later" in place.validate(early).errors()["dependencies"]
    assert first != early


def test_registries_that_are_made_from_each_other_are_told(place: Place) -> None:
    place("promote", place.publish("one", '{"run_id": "a"}\n'), "active")
    place("promote", place.publish("two", '{"run_id": "b"}\n', depends_on=[resolved("one@active")]), "active")
    ref = place.publish("one", '{"run_id": "c"}\n', depends_on=[resolved("two@active")])
    assert "in a circle: one → two → one" in place.validate(ref).errors()["dependencies"]
    place("promote", ref, "active")
    assert place("catalog", "build", "-n", "--json").json()["cycles"] == ["one", "two"]


def test_only_a_pointer_that_was_set_can_be_depended_on(place: Place) -> None:
    place.publish("status", '{"run_id": "a"}\n')
    with pytest.raises(sealrun_error("NotFoundError")):
        sealrun.depends_on("status@active")
    for given in ("registry/runs/x/STATUS.json", "status/run-1", "status"):
        with pytest.raises(sealrun_error("UsageError"), match="EXPERIMENT@POINTER"):
            sealrun.depends_on(given)


def sealrun_error(name: str) -> type[Exception]:
    from sealrun.domain import errors  # noqa: PLC0415 - named by a text

    found: type[Exception] = getattr(errors, name)
    return found


def test_a_folder_that_hard_codes_a_path_is_not_published(place: Place) -> None:
    folder = place.folder / "bad"
    folder.mkdir()
    artifact = {"path": "r.jsonl", "type": "jsonl_registry", "depends_on": ["reports/runs/x/STATUS.json"]}
    (folder / "run.json").write_text(json.dumps({"artifacts": [artifact]}))
    (folder / "r.jsonl").write_text("{}\n")
    answer = place("publish", "bad", "--experiment", "runs")
    assert answer.code == 1
    assert "hard-coded path" in answer.err


# ---------------------------------------------------------------- gates


def test_a_pointer_moves_only_to_what_passes_and_keeps_the_evidence(place: Place) -> None:
    place.add_schema("run-registry/0.2", STRICT)
    bad = place.publish("runs", '{"run_id": "a"}\n', schema="run-registry/0.2")
    good = place.publish("runs", '{"run_id": "a", "status": "ok"}\n', schema="run-registry/0.2")
    required = ("--require", "seal", "--require", "schema", "--require", "checks")
    refused = place("promote", bad, "active", *required)
    assert refused.code == 20
    assert "'status' is a required property" in refused.err
    assert place("pointer", "get", "runs", "active").code == 1
    command = f'grep -q ok "{REGISTRY}"'
    assert place("promote", good, "active", *required, "--command", command).code == 0
    (generation,) = (
        json.loads(line) for line in place("pointer", "history", "runs", "active", "--json").out.splitlines()
    )
    checks = generation["evidence"]["checks"]
    assert [check["name"] for check in checks] == ["seal", "schema", "checks", "command"]
    assert all(check["status"] == "pass" for check in checks)


def test_a_command_that_fails_keeps_the_pointer_where_it_is(place: Place) -> None:
    first = place.publish("runs", '{"run_id": "a"}\n')
    second = place.publish("runs", '{"run_id": "b"}\n')
    place("promote", first, "active")
    refused = place("promote", second, "active", "--command", "grep -q nowhere RUN_REGISTRY_v0_1.jsonl")
    assert (refused.code, "exit code 1" in refused.err) == (20, True)
    assert place("promote", second, "active", "--command", "no-such-program-at-all").code == 2
    assert place("promote", second, "active", "--command", "'").code == 2
    assert place("pointer", "get", "runs", "active").out.strip() == first
    assert place("promote", second, "active", "--command", "false", "-n").code == 0  # a dry run starts nothing


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"status": "failed"}, "its status is failed"),
        ({"status": "success"}, "records no check that passed"),
        ({"status": "success", "checks": [{"name": "x", "status": "pass"}, {"name": "y", "status": "warn"}]}, "y"),
    ],
)
def test_checks_that_did_not_pass_keep_the_pointer_where_it_is(place: Place, said: dict[str, Any], told: str) -> None:
    folder = place.folder / "r"
    (folder / ".sealrun").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / ".sealrun" / "done.json").write_text(json.dumps(said))
    place("publish", "r", "--experiment", "e")
    refused = place("promote", "e@latest", "active", "--require", "checks")
    assert refused.code == 20
    assert told in refused.err


def test_the_settings_require_it_of_everybody_who_moves_the_pointer(place: Place) -> None:
    with (place.folder / "sealrun.toml").open("a") as settings:
        settings.write('\n[gate.active]\nrequire = ["composition", "schema"]\n\n[gate."e@active"]\n')
    plain = place.publish("runs", '{"run_id": "a"}\n')
    assert "names no schema" in place("pointer", "set", "runs", "active", plain).err
    assert place("promote", plain, "active").code == 20
    assert place("promote", plain, "best").code == 0  # nothing stands before it
    place.add_schema("r/1", LOOSE)
    good = place.publish("runs", '{"run_id": "b"}\n', schema="r/1")
    assert place("promote", good, "active").code == 0
    assert place("catalog", "build").code == 0
    ref = place.publish("e", '{"run_id": "c"}\n')
    assert place("promote", ref, "active").code == 0
    (place.folder / "plain").mkdir()
    (place.folder / "plain" / "model.bin").write_bytes(b"1")
    place("publish", "plain", "--experiment", "models")
    refused = place("promote", "models@latest", "active")
    assert "holds no typed artifact" in refused.err
    assert "holds no registry artifact" in refused.err


@pytest.mark.parametrize(
    "table",
    [
        '[gate.latest]\nrequire = ["seal"]',
        '[gate.active]\nrequire = ["nonsense"]',
        '[gate.active]\ncommand = ""',
        '[gate.active]\ncommand = "a \'b"',
        '[gate."a b"]',
        '[gate."x@y z"]',
    ],
)
def test_a_gate_that_cannot_be_is_refused_with_the_settings(place: Place, table: str) -> None:
    with (place.folder / "sealrun.toml").open("a") as settings:
        settings.write(f"\n{table}\n")
    answer = place("config", "validate")
    assert answer.code == 78
    assert "gate" in answer.err


# ---------------------------------------------------------------- folders that other tools sealed


@pytest.mark.parametrize(
    "root", ["ROOT_SHA256 {}", "# ROOT_SHA256 {}", "ROOT_SHA256: {}", "ROOT_SHA256={}", "{}  ROOT_SHA256"]
)
def test_a_folder_that_another_tool_sealed_is_imported_as_it_is(place: Place, root: str) -> None:
    folder = foreign_folder(place.folder / "old" / "ops-1", root=root)
    assert place.validate("./old/ops-1").code == 0
    answer = place("import", "old", "--experiment", "ops")
    assert answer.code == 0, answer.err
    assert place("get", "ops/ops-1", "back").code == 0
    back = {path.name: path.read_bytes() for path in (place.folder / "back").iterdir()}
    assert back == {path.name: path.read_bytes() for path in folder.iterdir()}
    said = place.validate("ops/ops-1")
    assert said.code == 0
    assert any("was sealed before" in finding["detail"] for finding in said.json()["findings"])
    types = {each["path"]: each["type"] for each in place("show", "ops/ops-1", "--json").json()["run"]["artifacts"]}
    assert types == {
        ".": "run_folder",
        REGISTRY: "jsonl_registry",
        "manifest.json": "manifest",
        "MANIFEST.sha256": "manifest",
    }


def change(folder: Path, what: str) -> None:
    match what:
        case "a file":
            (folder / REGISTRY).write_text('{"run_id": "x", "status": "ok"}\n')
        case "a file less":
            (folder / REGISTRY).unlink()
        case "a file more":
            (folder / "extra.csv").write_text("1")
        case "a sum":
            file = folder / "MANIFEST.sha256"
            file.write_text(file.read_text().replace("  run.json", "  RUN.json"))
        case "the schema":
            (folder / SCHEMA).write_text("{}")


def test_a_sealed_folder_of_our_own_is_validated_where_it_was_restored(place: Place) -> None:
    place.add_schema("run-registry/0.1", LOOSE)
    place.publish("runs", '{"run_id": "a"}\n', schema="run-registry/0.1")
    assert place("get", "runs@latest", "restored", "--sealed").code == 0
    assert place.validate("./restored").code == 0
    (place.folder / "restored" / "artifacts" / REGISTRY).write_text('{"run_id": "b"}\n')
    assert "was changed" in place("validate", "./restored").out


def test_a_run_that_was_sealed_in_place_is_published_again_when_it_changed(place: Place) -> None:
    folder = place.folder / "r"
    folder.mkdir()
    (folder / "a").write_text("1")
    sealed = in_place_seal([Entry("a", 1, Digest(hashlib.sha256(b"1").hexdigest()))])
    (folder / "MANIFEST.sha256").write_bytes(sealed)
    assert "as sealed" in place("validate", "./r").out
    (folder / "a").write_text("2")
    assert place("publish", "r", "--experiment", "e").code == 0


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("a file", f"{REGISTRY}: was changed after it was sealed"),
        ("a file less", f"{REGISTRY}: is sealed, and not there"),
        ("a file more", "extra.csv: was added after the folder was sealed"),
        ("a sum", "ROOT_SHA256"),
        ("the schema", f"{SCHEMA}: was changed after it was sealed"),
    ],
)
def test_a_sealed_folder_that_was_tampered_with_is_told_and_not_taken_in(place: Place, what: str, told: str) -> None:
    folder = foreign_folder(place.folder / "old" / "ops-1")
    change(folder, what)
    said = place("validate", "./old/ops-1")
    assert said.code == 20
    assert told in said.out
    answer = place("import", "old", "--experiment", "ops")
    assert answer.code == 3
    assert told in answer.err
    assert not (place.folder / "registry" / "experiments" / "ops").exists()


def test_a_listing_that_contradicts_the_files_is_told_though_the_sums_are_true(place: Place) -> None:
    folder = foreign_folder(place.folder / "ops-1")
    listed = json.loads((folder / "manifest.json").read_text())
    listed["files"][0]["size"] += 1
    (folder / "manifest.json").write_text(json.dumps(listed))
    seal(folder)
    said = place.validate("./ops-1")
    assert said.code == 20
    assert "manifest.json: says that" in said.errors()["seal"]


def test_a_folder_whose_registry_does_not_conform_to_the_schema_beside_it_is_told(place: Place) -> None:
    folder = foreign_folder(place.folder / "ops-1")
    (folder / REGISTRY).write_text('{"run_id": "a"}\nnot json\n[]\n')
    seal(folder)
    said = place("validate", "--folder", "ops-1")
    assert said.code == 20
    assert "line 1: $: 'status' is a required property" in said.out
    assert "line 2: not valid JSON" in said.out
    assert "line 3: is not a JSON object" in said.out


def test_pointers_of_another_tool_are_followed(place: Place) -> None:
    target = foreign_folder(place.folder / "reports" / "runs" / "ops-1")
    root = seal(target)
    said = {"active": [{"registry_id": "RUN_REGISTRY", "run_id": "ops-1", "run_root": "reports/runs/ops-1"}]}

    def validated(**changes: str) -> Answer:
        shutil.rmtree(place.folder / "docs", ignore_errors=True)
        body = {"active": [{**said["active"][0], "root_sha256": root, **changes}]}
        files = {"ACTIVE_REGISTRY_POINTERS_v0_1.json": json.dumps(body), "STATUS_v0_1.json": "[]"}
        foreign_folder(place.folder / "docs" / "pointers", files)
        return place.validate("./docs/pointers")

    assert validated().code == 0
    assert "which was sealed as" in validated(root_sha256="0" * 64).errors()["pointers"]
    assert "which is run ops-1" in validated(run_id="ops-2").errors()["pointers"]
    assert "which is not there" in validated(run_root="reports/runs/ops-9").errors()["pointers"]
    (target / "MANIFEST.sha256").write_text("")
    assert "is not sealed" in validated().errors()["pointers"]


def test_a_folder_that_is_not_sealed_or_lacks_a_record_is_told(place: Place) -> None:
    folder = foreign_folder(place.folder / "ops-1")
    (folder / "run.json").unlink()
    seal(folder)
    assert "without run.json" in place.validate("./ops-1").errors()["composition"]
    (folder / "MANIFEST.sha256").unlink()
    assert "the folder is not sealed" in place.validate("./ops-1").errors()["seal"]
