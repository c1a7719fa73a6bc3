from __future__ import annotations

from pathlib import Path

import pytest

from sealrun.adapters.run_folders.replicas import FolderReplica, OriginalFolders
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry
from sealrun.services.mending.replicas import holds_its_bytes

BODY = b"good bytes"
ENTRY = Entry("deep/a", len(BODY), sha256(BODY))


def a_mirror(root: Path, body: bytes = BODY) -> FolderReplica:
    file = root / "e" / "r1" / "deep" / "a"
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    return FolderReplica("mirror", str(root))


def test_a_file_of_a_mirror_is_found_by_run_and_path(tmp_path: Path) -> None:
    source = a_mirror(tmp_path).find("e", "r1", ENTRY)
    assert source is not None
    assert holds_its_bytes(source)
    with source.open() as file:
        assert file.read() == BODY


def test_other_bytes_of_the_same_size_are_seen_through(tmp_path: Path) -> None:
    source = a_mirror(tmp_path, BODY[::-1]).find("e", "r1", ENTRY)
    assert source is not None
    assert not holds_its_bytes(source)


@pytest.mark.parametrize(
    ("experiment", "run_id", "path"),
    [
        ("e", "r2", "deep/a"),
        ("f", "r1", "deep/a"),
        ("e", "r1", "a"),
        ("..", "r1", "deep/a"),
        ("e", "r1", "../r1/deep/a"),
    ],
)
def test_what_is_not_there_or_cannot_be_a_name_is_not_found(
    tmp_path: Path, experiment: str, run_id: str, path: str
) -> None:
    assert a_mirror(tmp_path).find(experiment, run_id, Entry(path, ENTRY.size, ENTRY.sha256)) is None


def test_a_file_of_another_size_is_not_offered(tmp_path: Path) -> None:
    assert a_mirror(tmp_path, b"short").find("e", "r1", ENTRY) is None


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(BODY)
    (tmp_path / "m" / "e" / "r1" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "e" / "r1" / "deep" / "a").symlink_to(tmp_path / "secret")
    (tmp_path / "m" / "e" / "r2").symlink_to(tmp_path / "m" / "e" / "r1")
    replica = FolderReplica("mirror", str(tmp_path / "m"))
    assert replica.find("e", "r1", ENTRY) is None
    assert replica.find("e", "r2", ENTRY) is None


def test_the_first_folder_that_still_has_the_file_is_taken(tmp_path: Path) -> None:
    a_mirror(tmp_path)
    folders = {("e", "r1"): [str(tmp_path / "gone"), str(tmp_path / "e" / "r1")]}
    replica = OriginalFolders("originals", lambda experiment, run_id: folders.get((experiment, run_id), []))
    assert replica.find("e", "r1", ENTRY) is not None
    assert replica.find("e", "r2", ENTRY) is None


def test_a_dropped_file_is_found_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(BODY)
    replica = OriginalFolders("originals", lambda *_: [str(tmp_path / "one.bin")])
    source = replica.find("e", "r1", Entry("one.bin", len(BODY), sha256(BODY)))
    assert source is not None
    assert holds_its_bytes(source)
