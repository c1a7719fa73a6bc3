"""Runs in the formats of others, checked by the libraries of those formats; on a directory and on a server."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import bagit
import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from rocrate.rocrate import ROCrate
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun.bootstrap.products.exporting import Exporter
from sealrun.domain.errors import DigestMismatchError, UsageError

STRANGE = "a line\nthat & <is> left.txt"
DONE = {
    "status": "success",
    "started_at": "2026-01-17T14:00:00Z",
    "finished_at": "2026-01-17T14:30:00Z",
    "pipeline_id": "train.py",
    "pipeline_version": "abc1234",
    "params": {"optimizer": {"lr": 0.1}, "layers": [1, 2]},
    "metrics": {"loss": 0.25},
    "inputs": [{"type": "table", "ref": "s3://bucket/a table.parquet", "sha256": "b" * 64}, {"ref": "raw/r1"}],
}


@pytest.fixture(params=KINDS)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    return a_library(request.param, tmp_path)


def a_run(library: Library) -> str:
    folder = library.room / "made"
    (folder / "deep/empty").mkdir(parents=True)
    (folder / ".sealrun").mkdir()
    (folder / ".sealrun/done.json").write_text(json.dumps(DONE))
    (folder / "deep/metrics.csv").write_text("loss\n0.25\n")
    (folder / STRANGE).write_bytes(b"strange")
    (folder / "link").symlink_to("deep/metrics.csv")
    return library.publish(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    plain = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in plain}


def test_a_bag_is_valid_says_what_it_is_and_holds_every_file(library: Library) -> None:
    ref = a_run(library)
    target = library.room / "bag"
    with library.at_hand(Exporter) as exporter:
        assert exporter.folder(ref, target, "bagit") == ref
    bag = bagit.Bag(str(target))
    bag.validate(completeness_only=False)
    assert bag.info["Sealrun-Reference"] == ref
    assert bag.info["Bagging-Date"] == "2026-01-17"
    assert (target / "data/deep/metrics.csv").read_text() == "loss\n0.25\n"
    assert (target / "data" / STRANGE).read_bytes() == b"strange"
    assert not os.path.lexists(target / "data/link")
    sums = (target / "sealrun/MANIFEST.sha256").read_bytes()
    lines, _, root = sums.rpartition(b"# ROOT_SHA256 ")
    assert root.decode().strip() == hashlib.sha256(lines).hexdigest() == bag.info["Sealrun-Root-SHA256"]
    (target / "data/deep/metrics.csv").write_text("loss\n0.26\n")
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(target)).validate()


def test_names_are_encoded_as_the_standard_says(tmp_path: Path) -> None:
    """RFC 8493, 2.1.3, encodes percent signs, too; the library above does not decode them."""
    library = a_library("directory", tmp_path)
    ref = library.publish({"100%": "1", "a\rb": "2"})
    with library.at_hand(Exporter) as exporter:
        exporter.folder(ref, tmp_path / "bag", "bagit")
    listed = (tmp_path / "bag/manifest-sha256.txt").read_text()
    assert {line.partition("  ")[2] for line in listed.splitlines()} == {"data/100%25", "data/a%0Db"}


def test_the_same_run_gives_the_same_bytes(library: Library) -> None:
    ref = a_run(library)
    with library.at_hand(Exporter) as exporter:
        for kind in ("bagit", "ro-crate"):
            exporter.folder(ref, library.room / f"{kind}-1", kind)
            exporter.folder(ref, library.room / f"{kind}-2", kind)
            assert files_of(library.room / f"{kind}-1") == files_of(library.room / f"{kind}-2")
        assert exporter.statement(ref) == exporter.statement(ref)


def test_a_crate_is_read_by_its_library_and_describes_files_run_and_inputs(library: Library) -> None:
    ref = a_run(library)
    target = library.room / "crate"
    with library.at_hand(Exporter) as exporter:
        exporter.folder(ref, target, "ro-crate")
    crate = ROCrate(str(target))
    entities: dict[str, Any] = {entity.id: entity.properties() for entity in crate.get_entities()}
    file = entities["deep/metrics.csv"]
    assert (file["contentSize"], file["sha256"]) == ("10", hashlib.sha256(b"loss\n0.25\n").hexdigest())
    assert crate.get("#run")["endTime"] == "2026-01-17T14:30:00Z"
    assert crate.get("#pipeline")["softwareVersion"] == "abc1234"
    assert entities["#params-optimizer.lr"]["value"] == 0.1
    assert entities["#metrics-loss"]["value"] == 0.25
    assert entities["s3://bucket/a%20table.parquet"]["name"] == "s3://bucket/a table.parquet"
    assert len(crate.root_dataset["hasPart"]) == 2
    assert crate.root_dataset["identifier"].startswith("urn:sealrun:run:sha256:")
    assert (target / "link").readlink() == Path("deep/metrics.csv")
    assert (target / "deep/empty").is_dir()


def test_a_run_that_is_a_crate_itself_is_not_written_over(library: Library) -> None:
    ref = library.publish({"ro-crate-metadata.json": "{}", "a": "1"})
    with library.at_hand(Exporter) as exporter:
        with pytest.raises(UsageError, match="ro-crate-metadata"):
            exporter.folder(ref, library.room / "crate", "ro-crate")
        exporter.folder(ref, library.room / "bag", "bagit")
    assert not (library.room / "crate").exists()


def test_a_statement_is_valid_and_names_the_seal_and_what_the_run_was_made_from(library: Library) -> None:
    ref = a_run(library)
    with library.at_hand(Exporter) as exporter:
        body = exporter.statement(ref)
    said = json.loads(body)
    parsed = json_format.Parse(body, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert said["subject"][0]["name"] == ref
    assert said["predicate"]["buildDefinition"]["resolvedDependencies"] == [
        {"name": "s3://bucket/a table.parquet", "digest": {"sha256": "b" * 64}},
        {"name": "raw/r1"},
    ]
    assert said["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-01-17T14:00:00Z"


def test_damaged_bytes_are_never_exported(tmp_path: Path) -> None:
    library = a_library("directory", tmp_path)
    ref = library.publish({"a": "1" * 100, "b": "2"})
    (victim,) = [
        path
        for path in (tmp_path / "registry/store/objects").rglob("*")
        if path.is_file() and path.read_bytes() == b"1" * 100
    ]
    victim.chmod(0o644)
    victim.write_bytes(b"x" * 100)
    with library.at_hand(Exporter) as exporter, pytest.raises(DigestMismatchError):
        exporter.folder(ref, tmp_path / "bag", "bagit")
    assert not (tmp_path / "bag").exists()
