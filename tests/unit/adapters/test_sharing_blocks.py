"""A file shares its blocks with its copy in a registry: nothing is written, and the copy is what is digested."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.builders.folders import a_folder

from sealrun.adapters.machine.sharing import FICLONE
from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.run_folders.staging import Staging
from sealrun.adapters.stores import posix_durable, posix_stage
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import AttemptId, object_key
from sealrun.domain.errors import NoSpaceError, RunChangedError
from sealrun.domain.records import sha256
from sealrun.ports import Copying

MIB = 1 << 20
ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
BODY = os.urandom(MIB) * 5


@pytest.fixture
def run(tmp_path: Path) -> LocalFolder:
    a_folder(tmp_path / "run", {"large.bin": BODY, "small.txt": "few"})
    return LocalFolder(str(tmp_path / "run"), hashes=NoHashes())


@pytest.fixture
def store(tmp_path: Path) -> PosixStore:
    return PosixStore(tmp_path / "registry", make=True)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much is written into the stage, piece by piece."""
    sizes: list[int] = []
    usual = posix_durable.write_all

    def write_all(descriptor: int, chunk: bytes | memoryview) -> None:
        sizes.append(len(chunk))
        usual(descriptor, chunk)

    monkeypatch.setattr(posix_stage, "write_all", write_all)
    return sizes


def copied(target: int, request: int, source: int) -> int:
    """What the system does, but for the sharing."""
    assert request == FICLONE
    os.pwrite(target, os.pread(source, 64 * MIB, 0), 0)
    return 0


def stored(run: LocalFolder, store: PosixStore) -> dict[str, bytes]:
    """Hash while staging, store what waits, and read it again."""
    stage = store.stage()
    assert stage is not None
    with closing(stage):
        hashed = run.hash(run.scan(), Copying(stage=stage, alone=lambda *_: True))
        keys = {entry.path: object_key(entry.sha256, ATTEMPT) for entry in hashed.entries}
        store.put_many((object_key(digest, ATTEMPT), source) for digest, source in hashed.staged.items())
    assert all(sha256(store.read(keys[entry.path])) == entry.sha256 for entry in hashed.entries)
    return {path: store.read(key) for path, key in keys.items()}


def test_a_file_whose_blocks_can_be_shared_is_not_written(
    run: LocalFolder, store: PosixStore, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", copied)
    assert stored(run, store) == {"large.bin": BODY, "small.txt": b"few"}
    assert sum(written) == len(b"few")  # too small to be worth it


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.EINVAL, errno.EPERM])
def test_where_nothing_can_be_shared_it_is_asked_once_and_files_are_copied(
    run: LocalFolder, store: PosixStore, written: list[int], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    asked: list[int] = []

    def refuse(_target: int, request: int, _source: int) -> int:
        asked.append(request)
        raise OSError(code, os.strerror(code))

    a_folder(Path(run.path), {"other.bin": BODY[::-1]})
    one_by_one = LocalFolder(run.path, hashes=NoHashes(), workers=1)
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert stored(one_by_one, store) == {"large.bin": BODY, "other.bin": BODY[::-1], "small.txt": b"few"}
    assert asked == [FICLONE]
    assert sum(written) == 2 * len(BODY) + len(b"few")


def test_a_file_that_shares_its_blocks_does_so_whatever_another_thread_finds_out_meanwhile(
    run: LocalFolder, store: PosixStore, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[posix_stage.PosixStage] = []
    receive = posix_stage.PosixStage.receive

    def remembered(stage: posix_stage.PosixStage) -> posix_stage.PosixIncoming:
        stages.append(stage)
        return receive(stage)

    def share(target: int, request: int, source: int) -> int:
        stages[0].clones = False  # somebody else's file cannot
        return copied(target, request, source)

    monkeypatch.setattr(posix_stage.PosixStage, "receive", remembered)
    monkeypatch.setattr(fcntl, "ioctl", share)
    assert stored(run, store) == {"large.bin": BODY, "small.txt": b"few"}
    assert stages[0].clones is False
    assert sum(written) == len(b"few")


def test_a_full_disk_is_told_as_ever_and_nothing_stays(
    run: LocalFolder, store: PosixStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_target: int, _request: int, _source: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fcntl, "ioctl", full)
    with pytest.raises(NoSpaceError):
        stored(run, store)
    left = [path.name for path in (tmp_path / "registry").rglob("*") if path.is_file()]
    assert left in ([], ["lock"])


def test_what_is_digested_is_the_copy_so_that_a_change_in_the_same_tick_of_the_clock_cannot_part_them(
    run: LocalFolder, store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Path(run.path, "large.bin")

    def share_then_change(target: int, request: int, source: int) -> int:
        copied(target, request, source)
        large.write_bytes(BODY[::-1])
        return 0

    def read(descriptor: int) -> Iterator[bytes]:
        while chunk := os.read(descriptor, MIB):
            yield chunk

    monkeypatch.setattr(fcntl, "ioctl", share_then_change)
    stage = store.stage()
    assert stage is not None
    with closing(stage), large.open("rb") as file:
        staging = Staging(Copying(stage=stage, alone=lambda *_: True))
        digest = staging.digest(file.fileno(), read, "large.bin", run.scan().files["large.bin"])
        assert large.read_bytes() == BODY[::-1]
        assert digest == sha256(BODY)
        with staging.staged[digest].open() as kept:
            assert kept.read() == BODY


def test_a_change_meanwhile_is_found_as_ever(
    run: LocalFolder, store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def share_then_grow(target: int, request: int, source: int) -> int:
        copied(target, request, source)
        with Path(run.path, "large.bin").open("ab") as file:
            file.write(b"more")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", share_then_grow)
    with pytest.raises(RunChangedError, match=r"large\.bin"):
        stored(run, store)
