"""Declaring typed artifacts while a run is recorded, as far as the envelope that sealing makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.errors import RunRejectedError, UsageError
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.types import Dependency, TypedArtifact
from sealrun.recording import RunWriter
from sealrun.services.watching.sealing import SealRequest, seal

ROOT = "a" * 64
RESOLVED = Dependency(pointer="status@active", run="status/r1", root_sha256=ROOT)


def sealed(folder: Path) -> Envelope:
    request = SealRequest(experiment="e", completion=Completion("command", "test", "declared"))
    sealing = seal(open_alone(str(folder), NoHashes()), request)
    return Envelope.decode(sealing.run.run_json, "run.json")


def test_a_declaration_stands_in_the_record_and_in_the_envelope(tmp_path: Path) -> None:
    with RunWriter("build", root=tmp_path) as run:
        written = run.write_text("RUN_REGISTRY_v0_1.jsonl", '{"run_id": "r"}\n')
        run.declare_artifact(written.path, "index")
        run.declare_artifact(written.path, "jsonl_registry", schema="run/0.1", owner="ops", depends_on=[RESOLVED])
    record = json.loads((run.run_dir / "run.json").read_text())
    assert [artifact["type"] for artifact in record["artifacts"]] == ["jsonl_registry"]
    envelope = sealed(run.run_dir)
    assert envelope.artifacts == (
        TypedArtifact(
            path="artifacts/RUN_REGISTRY_v0_1.jsonl",
            type="jsonl_registry",
            declared=True,
            schema="run/0.1",
            authority="derived",
            owner="ops",
            depends_on=(RESOLVED,),
        ),
    )
    assert "artifacts" not in envelope.producer
    assert Envelope.decode(envelope.encode(), "again") == envelope


@pytest.mark.parametrize("given", ["status/r1", "/srv/status.jsonl", "status@active", Dependency(pointer="s@active")])
def test_what_was_not_resolved_is_refused_while_it_is_recorded(tmp_path: Path, given: object) -> None:
    with RunWriter("build", root=tmp_path) as run, pytest.raises(UsageError, match=r"sealrun\.depends_on"):
        run.declare_artifact("x.jsonl", "jsonl_registry", depends_on=[given])  # type: ignore[list-item] # on purpose


def test_a_file_elsewhere_and_the_record_by_hand_are_refused(tmp_path: Path) -> None:
    with RunWriter("build", root=tmp_path) as run:
        with pytest.raises(UsageError, match="not in the run's folder"):
            run.declare_artifact(tmp_path / "elsewhere.jsonl", "jsonl_registry")
        with pytest.raises(UsageError, match="artifacts"):
            run.record(artifacts=[])


def test_a_folder_that_hard_codes_a_path_is_not_sealed(tmp_path: Path) -> None:
    artifact = {"path": "r.jsonl", "type": "jsonl_registry", "depends_on": ["reports/runs/x/STATUS.json"]}
    (tmp_path / "run.json").write_text(json.dumps({"artifacts": [artifact]}))
    (tmp_path / "r.jsonl").write_text("{}\n")
    with pytest.raises(RunRejectedError, match="hard-coded path"):
        sealed(tmp_path)


def test_a_run_that_declares_nothing_is_recognised_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "STATUS_v0_1.json").write_text("[]")
    assert sealed(tmp_path).artifacts == (TypedArtifact(path="STATUS_v0_1.json", type="json_snapshot"),)


def test_a_run_of_plain_files_has_the_envelope_it_always_had(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert b"artifacts" not in sealed(tmp_path).encode()
