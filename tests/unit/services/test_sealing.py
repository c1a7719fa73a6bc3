from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.builders.folders import A_MOMENT, BY_COMMAND, a_folder, sha256sum

from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.runs.run import Completion
from sealrun.services.watching.sealing import Sealing, SealRequest, seal

TRAINED = {"model.bin": "weights", "logs/out.txt": "fine", "run.sh": "#!/bin/sh\n"}


def seal_it(path: Path, **about: object) -> Sealing:
    request = SealRequest(**{"experiment": "train", "completion": BY_COMMAND, **about})  # type: ignore[arg-type] # spread
    return seal(open_alone(str(path), NoHashes()), request)


def test_sealing_an_unchanged_folder_again_gives_the_same_bytes(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", TRAINED)
    assert seal_it(run).run == seal_it(run).run


def test_the_same_folder_on_another_machine_gives_the_same_bytes(tmp_path: Path) -> None:
    here = a_folder(tmp_path / "here/run", TRAINED)
    there = tmp_path / "there/deeper/run"
    shutil.copytree(here, there)
    for name in TRAINED:
        os.utime(there / name, (A_MOMENT, A_MOMENT))
    first, second = seal_it(here).run, seal_it(there).run
    assert (first.run_json, first.manifest_json) == (second.run_json, second.manifest_json)


def test_the_envelope_says_what_is_known_and_nothing_of_the_sealer(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "My Run!", TRAINED)
    sealing = seal_it(run, names={"model.bin": "best.bin", "absent": "x.bin"}, tags=("b", "a"))
    envelope = sealing.envelope
    assert envelope.run_id.startswith("20260117T143052Z-My-Run-")
    assert envelope.finished_at == "2026-01-17T14:30:52Z"
    assert envelope.status == "unknown"
    assert envelope.urn == f"urn:sealrun:run:sha256:{sealing.manifest.tree_digest}"
    assert envelope.publish_names == {"model.bin": "best.bin"}
    assert (envelope.files, envelope.size, envelope.tags) == (3, 21, ("a", "b"))
    assert str(tmp_path).encode() not in sealing.run.run_json


def test_a_sealed_folder_verifies_with_stock_tools(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", TRAINED | {"odd\nname": "1", "back\\slash": "2", " lead": "3", "é/ü": "4"})
    sealing = seal_it(run)
    place = tmp_path / "sealed"
    shutil.copytree(run, place / "artifacts")
    (place / "run.json").write_bytes(sealing.run.run_json)
    (place / "manifest.json").write_bytes(bytes(sealing.run.manifest_json))
    (place / "MANIFEST.sha256").write_bytes(sealing.run.sums().encode())
    assert sha256sum(place, "--strict", "--quiet", "-c", "MANIFEST.sha256") == b""


def test_a_run_that_names_itself_keeps_its_name(tmp_path: Path) -> None:
    by_folder = a_folder(tmp_path / "20260117T143052Z__P2-Backfill__a1b2c3d", TRAINED)
    by_record = a_folder(tmp_path / "run", TRAINED | {"run.json": json.dumps({"run_id": "mine-7"})})
    assert seal_it(by_folder).envelope.run_id == "20260117T143052Z__P2-Backfill__a1b2c3d"
    assert seal_it(by_record).envelope.run_id == "mine-7"
    assert seal_it(by_record, run_id="given").envelope.run_id == "given"


def test_a_run_writers_records_are_understood(tmp_path: Path) -> None:
    record = {
        "run_id": "20260117T143052Z__P2-Backfill__a1b2c3d",
        "pipeline_id": "P2-Backfill",
        "pipeline_version": "0.1.0",
        "trigger_type": "local_cli",
        "trigger_source": "shell",
        "actor": "me",
        "started_at": "2026-01-17T14:30:52+01:00",
        "finished_at": "2026-01-17T14:31:00.75Z",
        "status": "partial",
        "inputs": [{"type": "neon_table", "ref": "ovc"}],
        "outputs": [{"type": "file", "ref": "x.csv"}],
        "params": {"lr": 0.1},
        "tags": ["nightly"],
    }
    checks = {"checks": [{"name": "row_count", "status": "pass", "evidence": "rows=1"}]}
    run = a_folder(tmp_path / "r", {"run.json": json.dumps(record), "checks.json": json.dumps(checks)})
    (run / "metrics.json").write_text('{"loss": NaN, "acc": 0.5, "big": 1e999}')
    envelope = seal_it(run).envelope
    assert (envelope.started_at, envelope.finished_at) == ("2026-01-17T13:30:52Z", "2026-01-17T14:31:00Z")
    assert (envelope.status, envelope.tags) == ("partial", ("nightly",))
    assert envelope.producer["trigger"] == {"type": "local_cli", "source": "shell", "actor": "me"}
    assert envelope.producer["checks"] == checks["checks"]
    assert envelope.producer["metrics"] == {"loss": "NaN", "acc": 0.5, "big": "1e999"}
    assert envelope.producer["params"] == {"lr": 0.1}


def test_an_experiment_manifest_is_understood(tmp_path: Path) -> None:
    run_id = "20251116T034945Z-build_target-tgt_6f6eef9cbf7e-ebd938"
    record = {
        "schema": "1",
        "run_id": run_id,
        "algo": "build_target",
        "created": "2025-11-16T03:49:48Z",
        "inputs": [{"role": "config", "path": "c.yaml"}],
        "outputs": [{"role": "target", "urn": "urn:lh:target:sha256:0"}],
    }
    envelope = seal_it(a_folder(tmp_path / "r", {"manifest.json": json.dumps(record)})).envelope
    assert (envelope.run_id, envelope.started_at) == (run_id, "2025-11-16T03:49:48Z")
    assert envelope.producer["pipeline_id"] == "build_target"
    assert envelope.producer["inputs"] == record["inputs"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"run_id": "../../etc", "status": 7, "finished_at": "tomorrow", "tags": "x", "inputs": {}, "metrics": []}',
        b'{"run_id": "\\ud800", "name": "\\udfff", "params": {"\\ud800": 1}}',
        b'{"finished_at": 1e400, "started_at": -1, "ended_at": "9999-12-31T23:59:59-14:00"}',
    ],
)
def test_a_foreign_or_malformed_record_is_never_fatal(tmp_path: Path, body: bytes) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "run.json": body, "checks.json": body, "metrics.json": body})
    (run / ".sealrun").mkdir()
    (run / ".sealrun/done.json").write_bytes(body)
    envelope = seal_it(run).envelope
    assert envelope.run_id.startswith("20260117T143052Z-run-")
    assert envelope.status == "unknown"


@pytest.mark.parametrize(
    ("files", "declared", "status"),
    [
        ({"a": "1"}, "unknown", "unknown"),
        ({"a": "1", "_SUCCESS": ""}, "unknown", "success"),
        ({"a": "1", "_SUCCESS": ""}, "failed", "failed"),
        ({"run.json": '{"status": "error"}', "_SUCCESS": ""}, "success", "failed"),
        ({"run.json": '{"status": "error"}', ".sealrun/done.json": '{"status": "ok"}'}, "unknown", "success"),
    ],
)
def test_a_status_is_the_runs_own_word_first(
    tmp_path: Path, files: Mapping[str, str], declared: str, status: str
) -> None:
    assert seal_it(a_folder(tmp_path / "run", files), status=declared).envelope.status == status


def test_done_json_declares_and_is_not_content(tmp_path: Path) -> None:
    done = json.dumps({"status": "failed", "finished_at": "2026-02-01T00:00:00Z"})
    sealing = seal_it(a_folder(tmp_path / "run", {"a": "1", ".sealrun/done.json": done}))
    assert [entry.path for entry in sealing.manifest.entries] == ["a"]
    assert (sealing.envelope.status, sealing.envelope.finished_at) == ("failed", "2026-02-01T00:00:00Z")


@pytest.mark.parametrize("content", [{}, {".sealrun/done.json": "{}"}])
def test_a_folder_without_files_is_rejected(tmp_path: Path, content: Mapping[str, str]) -> None:
    with pytest.raises(RunRejectedError, match="holds no files"):
        seal_it(a_folder(tmp_path / "run", content))


def test_a_dropped_file_is_published_under_its_own_name(tmp_path: Path) -> None:
    file = a_folder(tmp_path, {"profile.csv": "1"}) / "profile.csv"
    envelope = seal_it(file).envelope
    assert (envelope.unit, envelope.publish_names) == ("file", {"profile.csv": "profile.csv"})
    assert envelope.urn.startswith("urn:sealrun:file:sha256:")


def test_a_dropped_file_whose_name_cannot_be_published_is_rejected(tmp_path: Path) -> None:
    file = a_folder(tmp_path, {"a:b@c": "1"}) / "a:b@c"
    with pytest.raises(RunRejectedError, match="rename"):
        seal_it(file)


def test_times_before_the_epoch_and_after_the_calendar_are_brought_to_its_ends(tmp_path: Path) -> None:
    old = a_folder(tmp_path / "old", {"a": "1"}, at=-86_400)
    assert seal_it(old).envelope.finished_at == "1970-01-01T00:00:00Z"


def test_a_folder_that_looks_different_from_what_settled_is_not_sealed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", TRAINED)
    settled = seal_it(run).fingerprint
    assert seal_it(run, fingerprint=settled).fingerprint == settled
    (run / "late").write_bytes(b"")
    with pytest.raises(RunChangedError):
        seal_it(run, fingerprint=settled)


def test_a_producers_own_sums_must_be_true_where_they_were_the_evidence(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", "b c": "2"})
    sums = sha256sum(run, "./a", "b c")
    (run / "MANIFEST.sha256").write_bytes(sums)
    by_sums = Completion("marker", "MANIFEST.sha256", "declared")
    seal_it(run, completion=by_sums)
    (run / "b c").write_bytes(b"3")
    with pytest.raises(RunChangedError, match="MANIFEST"):
        seal_it(run, completion=by_sums)
    seal_it(run)


def test_sources_check_that_the_file_is_still_the_one_that_was_sealed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1"})
    sealing = seal_it(run)
    (entry,) = sealing.manifest.entries
    with sealing.source(entry).open() as opened:
        assert opened.read() == b"1"
    (run / "a").write_bytes(b"2")
    with pytest.raises(RunChangedError):
        sealing.source(entry).open()


def test_a_run_that_supersedes_itself_says_nothing(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "20260117T143052Z__P2__a1b2c3d", {"a": "1"})
    assert seal_it(run, supersedes="20260117T143052Z__P2__a1b2c3d").envelope.supersedes is None
    assert seal_it(run, supersedes="before").envelope.supersedes == "before"


def test_huge_metrics_leave_only_plain_values_in_the_envelope(tmp_path: Path) -> None:
    metrics = {"loss": 0.5, "curve": list(range(50_000)), "nested": {"x": 1}}
    run = a_folder(tmp_path / "run", {"metrics.json": json.dumps(metrics)})
    assert seal_it(run).envelope.producer["metrics"] == {"loss": 0.5}


def test_a_name_that_is_not_utf8_cannot_be_a_runs(tmp_path: Path) -> None:
    run = a_folder(tmp_path / os.fsdecode(b"caf\xe9"), {"a": "1"})
    with pytest.raises(RunRejectedError, match="UTF-8"):
        seal(LocalFolder(str(run), hashes=NoHashes()), SealRequest(experiment="e", completion=BY_COMMAND))


class Rewritten(LocalFolder):
    """A folder whose run.json is rewritten just after everything was hashed."""

    def read_small(self, path: str, limit: int) -> bytes | None:
        body = super().read_small(path, limit)
        return body and body.replace(b"mine", b"ours")


def test_a_record_is_only_used_if_it_is_the_one_that_was_hashed(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"run.json": '{"run_id": "mine"}'})
    with pytest.raises(RunChangedError, match=r"run\.json"):
        seal(Rewritten(str(run), hashes=NoHashes()), SealRequest(experiment="e", completion=BY_COMMAND))
