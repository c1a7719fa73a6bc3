"""What only a directory can go wrong with: durability, full disks, crashes, mounts, links."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from tests.builders.sources import Bytes, sha256

from sealrun.adapters.stores import posix_bulk, posix_durable, posix_room
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.posix_removal import PosixRemover
from sealrun.domain.address import Key
from sealrun.domain.errors import (
    AccessDeniedError,
    NoSpaceError,
    OutcomeUnknownError,
    RunChangedError,
    SealrunError,
    UnavailableError,
    UsageError,
)
from sealrun.ports import Creation

KEY = Key("experiments/e/runs/r/run.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def store(root: Path) -> PosixStore:
    return PosixStore(root, parallel=2, make=True)


@pytest.fixture(params=["whole", "file by file"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test where syncfs is enough, and where every file is synced by itself."""
    if request.param != "whole":
        monkeypatch.setattr(posix_durable, "can_sync_whole", lambda _fd: False)
    return str(request.param)


def files(root: Path) -> list[str]:
    """Every file below `root` but the locks of rooms."""
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != posix_room._LOCK
    )


def failing(code: int, after: int = 0) -> Callable[..., Any]:
    """Make a system call that fails with `code` from its call number `after` on."""
    calls = 0

    def act(*_arguments: object, **_named: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(code, os.strerror(code))

    return act


# ---------------------------------------------------------------- durability


class Tape:
    """Records the system calls that matter for durability, in order, and makes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self._root = root
        for name in ("link", "rename", "fsync"):
            self._tape(monkeypatch, name, getattr(os, name))
        whole = posix_durable.syncfs

        def syncfs(fd: int) -> None:
            self.calls.append(("syncfs", ""))
            whole(fd)

        monkeypatch.setattr(posix_durable, "syncfs", syncfs)

    def _tape(self, monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[..., Any]) -> None:
        def taped(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            last = arguments[-1]
            path = Path(f"/proc/self/fd/{last}").readlink() if isinstance(last, int) else Path(last)
            shown = "bytes" if ".sealrun" in path.parts and path.is_file() else str(path.relative_to(self._root))
            answer = call(*arguments)
            self.calls.append((name, shown))
            return answer

        monkeypatch.setattr(os, name, taped)


def test_a_record_is_durable_before_it_has_a_name_and_its_name_and_folders_after(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape(monkeypatch, root)
    store.create(Key("a/b/record"), b"x")
    assert tape.calls == [
        ("fsync", "bytes"),
        ("link", "a/b/record"),
        ("fsync", "a/b"),
        ("fsync", "a"),
        ("fsync", "."),
    ]
    tape.calls.clear()
    store.create(Key("a/b/other"), b"x")
    assert tape.calls == [("fsync", "bytes"), ("link", "a/b/other"), ("fsync", "a/b")]


def test_a_record_of_somebody_else_is_made_durable_before_it_is_relied_upon(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "a/b"
    folder.mkdir(parents=True)
    (folder / "record").write_bytes(b"by a process that was killed before it synced the folder")
    tape = Tape(monkeypatch, root)
    assert store.create(Key("a/b/record"), b"x") is Creation.EXISTS
    assert tape.calls == [("fsync", "bytes"), ("fsync", "a/b"), ("fsync", "a"), ("fsync", ".")]


def test_an_owned_record_is_durable_and_a_projection_costs_no_sync(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").mkdir()
    tape = Tape(monkeypatch, root)
    store.put(Key("a/owned"), b"x")
    assert tape.calls == [("fsync", "bytes"), ("rename", "a/owned"), ("fsync", "a"), ("fsync", ".")]
    tape.calls.clear()
    store.replace(Key("a/projection"), b"x")
    store.copy(Key("a/owned"), Key("a/projection"))
    assert [name for name, _ in tape.calls] == ["rename", "link", "rename"]


def test_many_objects_share_one_barrier_before_and_one_after_their_names(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape(monkeypatch, root)
    store.put_many((Key(f"store/{number}/x"), Bytes(b"%d" % number)) for number in range(100))
    names = [name for name, _ in tape.calls]
    assert names == ["syncfs"] + ["rename"] * 100 + ["syncfs"]


def test_every_batch_has_its_barrier_before_its_names(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_bulk, "_BATCH_FILES", 32)
    tape = Tape(monkeypatch, root)
    store.put_many((Key(f"store/{number}"), Bytes(b"%d" % number)) for number in range(64))
    names = [name for name, _ in tape.calls]
    assert names == ["syncfs"] + ["rename"] * 32 + ["syncfs"] + ["rename"] * 32 + ["syncfs", "syncfs"]
    assert len(list(store.list("store/"))) == 64


def test_storing_nothing_still_makes_earlier_names_durable(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape(monkeypatch, root)
    store.put_many([])
    assert ("syncfs", "") in tape.calls


def test_where_the_whole_cannot_be_synced_each_file_is_synced_before_its_name(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_durable, "can_sync_whole", lambda _fd: False)
    stage = store.stage()
    incoming = stage.receive()
    incoming.write(b"staged")
    staged = incoming.keep(sha256(b"staged"))
    tape = Tape(monkeypatch, root)
    store.put_many([(Key("store/a"), Bytes(b"a")), (Key("store/b"), staged)])
    stage.close()
    assert tape.calls == [
        ("fsync", "bytes"),
        ("fsync", "bytes"),
        ("rename", "store/a"),
        ("rename", "store/b"),
        ("fsync", "store"),
        ("fsync", "."),
        ("fsync", "store"),
    ]


def test_after_a_failed_sync_a_record_is_discarded_and_the_error_raised(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(UnavailableError, match=r"run\.json"):
            store.create(KEY, b"x")
    assert files(root) == []
    assert store.create(KEY, b"x") is Creation.CREATED


def test_a_record_whose_folder_cannot_be_synced_is_not_certain(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sealrun.adapters.stores.posix_folders.sync_folder", failing(errno.EIO))
        with pytest.raises(OutcomeUnknownError):
            store.create(KEY, b"x")
    assert store.create(KEY, b"x") is Creation.EXISTS


def test_a_failed_barrier_leaves_no_name_and_no_file(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(posix_durable, "syncfs", failing(errno.EIO))
        with pytest.raises(UnavailableError):
            store.put_many((Key(f"store/{number}"), Bytes(b"%d" % number)) for number in range(40))
    assert files(root) == []


def test_what_a_stage_held_when_the_disk_lost_bytes_is_written_anew_and_never_just_renamed(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = store.stage()
    incoming = stage.receive()
    incoming.write(b"x")
    source = incoming.keep(sha256(b"x"))
    staged = next(path for path in (root / ".sealrun").rglob("*") if path.is_file() and path.name != posix_room._LOCK)
    with monkeypatch.context() as patch:
        patch.setattr(posix_durable, "syncfs", failing(errno.EIO))
        with pytest.raises(UnavailableError):
            store.put_many([(Key("store/x"), source)])
    assert files(root) == [str(staged.relative_to(root))]
    store.put_many([(Key("store/x"), source)])  # the kernel reports a lost write only once
    assert (root / "store/x").stat().st_ino != staged.stat().st_ino
    staged.unlink()
    staged.write_bytes(b"what the disk made of it")
    with pytest.raises(RunChangedError):
        store.put_many([(Key("store/y"), source)])
    stage.close()
    assert files(root) == ["store/x"]


def test_syncing_the_whole_works_on_the_file_system_of_the_tests(tmp_path: Path) -> None:
    barrier = posix_durable.Barrier(str(tmp_path))
    barrier.wait()
    barrier.close()
    barrier.close()


# ---------------------------------------------------------------- what the kernel says


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EROFS, NoSpaceError),
        (errno.EACCES, AccessDeniedError),
        (errno.EPERM, AccessDeniedError),
        (errno.EIO, UnavailableError),
        (errno.ESTALE, UnavailableError),
        (errno.ETIMEDOUT, UnavailableError),
    ],
)
def test_a_failed_write_is_named_and_leaves_nothing(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch, way: str, code: int, expected: type[SealrunError]
) -> None:
    assert way
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(code, after=3))
        with pytest.raises(expected, match="store/"):
            store.put_many((Key(f"store/{number}"), Bytes(b"%d" % number)) for number in range(70))
        for write in (store.create, store.put, store.replace):
            with pytest.raises(expected, match=r"run\.json"):
                write(KEY, b"x")
        with pytest.raises(expected):
            store.stage().receive().write(b"x")
    store.close()
    assert [name for name in files(root) if not name.startswith(".sealrun/")] == []
    store.put_many([(KEY, Bytes(b"room again"))])
    assert store.read(KEY) == b"room again"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.EIO, OutcomeUnknownError),
        (errno.ESTALE, OutcomeUnknownError),
        (errno.ETIMEDOUT, OutcomeUnknownError),
        (errno.ENOSPC, NoSpaceError),
        (errno.EACCES, AccessDeniedError),
        (errno.ENAMETOOLONG, UsageError),
    ],
)
def test_a_creation_that_may_have_happened_is_unknown_and_one_that_cannot_have_is_not(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[SealrunError]
) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    with pytest.raises(expected):
        store.create(KEY, b"x")


def test_a_link_whose_answer_was_lost_over_the_network_is_recognised(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def answers_twice(source: str, target: str) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "the server was asked again")

    (Path(store.root) / KEY).parent.mkdir(parents=True)
    monkeypatch.setattr(os, "link", answers_twice)
    assert store.create(KEY, b"x") is Creation.CREATED


def test_an_unreadable_source_means_that_the_run_changed(store: PosixStore, root: Path) -> None:
    class Broken(io.RawIOBase):
        readinto = failing(errno.EIO)

        def readable(self) -> bool:
            return True

    class Torn(Bytes):
        def open(self) -> BinaryIO:
            return io.BufferedReader(Broken())

    with pytest.raises(RunChangedError, match=r"run\.json"):
        store.put_many([(KEY, Torn(b"x"))])
    assert files(root) == []


def test_a_reading_error_is_an_outage_and_not_absence(store: PosixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(KEY, b"x")
    monkeypatch.setattr(os, "stat", failing(errno.EIO))
    with pytest.raises(UnavailableError):
        store.stat(KEY)
    monkeypatch.undo()
    monkeypatch.setattr(os, "scandir", failing(errno.EIO))
    with pytest.raises(UnavailableError):
        list(store.list(""))


# ---------------------------------------------------------------- roots


def test_opening_writes_nothing(root: Path) -> None:
    root.mkdir()
    before = root.stat().st_mtime_ns
    store = PosixStore(root)
    assert list(store.list("")) == []
    assert store.stat(KEY) is None
    store.close()
    assert list(root.iterdir()) == []
    assert root.stat().st_mtime_ns == before


def test_a_read_only_registry_is_read_and_only_writing_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PosixStore(root, make=True)
    writer.create(KEY, b"x")
    writer.close()
    for name in ("mkdir", "link", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, failing(errno.EROFS))
    store = PosixStore(root)
    assert store.read(KEY) == b"x"
    assert [found.key for found in store.list("")] == [KEY]
    for act in (
        lambda: store.create(KEY, b"y"),
        lambda: store.replace(KEY, b"y"),
        lambda: store.put_many([]),
        store.stage,
        lambda: store.discard(Key("probe/x")),
    ):
        with pytest.raises(NoSpaceError, match="writable"):
            act()
    store.close()


def test_a_root_that_is_not_there_is_an_outage_and_not_made(root: Path) -> None:
    store = PosixStore(root)
    for act in (
        lambda: store.stat(KEY),
        lambda: store.read(KEY),
        lambda: list(store.list("")),
        lambda: list(store.list("experiments/")),
        lambda: list(store.list_folders("")),
        lambda: store.create(KEY, b"x"),
        lambda: store.put_many([(KEY, Bytes(b"x"))]),
        store.stage,
        lambda: store.discard(Key("probe/x")),
    ):
        with pytest.raises(UnavailableError, match="mounted"):
            act()
    assert not root.exists()


def test_a_root_that_is_unmounted_is_an_outage_and_the_folder_below_stays_empty(store: PosixStore, root: Path) -> None:
    store.create(KEY, b"x")
    root.rename(root.with_name("elsewhere"))
    root.mkdir()  # the mount point
    for act in (
        lambda: store.stat(KEY),
        lambda: store.read(KEY),
        lambda: list(store.list("experiments/")),
        lambda: store.create(KEY, b"y"),
        lambda: store.replace(KEY, b"y"),
        lambda: store.put_many([(KEY, Bytes(b"y"))]),
    ):
        with pytest.raises(UnavailableError, match="mounted"):
            act()
    assert list(root.iterdir()) == []
    assert set(PosixRemover(store.root).delete([])) == set()
    root.rmdir()
    root.with_name("elsewhere").rename(root)
    assert store.read(KEY) == b"x"


def test_a_remover_counts_nothing_as_gone_while_the_root_is_missing(store: PosixStore, root: Path) -> None:
    store.create(KEY, b"x")
    remover = PosixRemover(store.root)
    root.rename(root.with_name("elsewhere"))
    failures = remover.delete([KEY])
    assert "mounted" in failures[KEY]


# ---------------------------------------------------------------- links and modes


def test_projections_are_links_and_objects_cannot_be_edited_by_accident(store: PosixStore, root: Path) -> None:
    store.put_many([(Key("store/object"), Bytes(b"x"))])
    for _ in range(2):
        store.copy(Key("store/object"), Key("latest/name"))
    assert (root / "latest/name").samefile(root / "store/object")
    assert stat.S_IMODE((root / "store/object").stat().st_mode) & 0o222 == 0
    assert files(root) == ["latest/name", "store/object"]


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP])
@pytest.mark.parametrize("ranges", [True, False])
def test_where_links_are_refused_bytes_are_copied(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch, code: int, *, ranges: bool
) -> None:
    body = os.urandom(3 << 20)
    store.put_many([(Key("store/object"), Bytes(body))])
    store.replace(Key("latest/name"), b"older")
    monkeypatch.setattr(os, "link", failing(code))
    if not ranges:
        monkeypatch.setattr(os, "copy_file_range", failing(errno.EXDEV))
    for target in ("latest/name", "latest/new"):
        store.copy(Key("store/object"), Key(target))
        assert store.read(Key(target)) == body
        assert not (root / target).samefile(root / "store/object")
    assert files(root) == ["latest/name", "latest/new", "store/object"]


def test_folders_of_projections_go_with_their_last_file_and_those_of_records_stay(
    store: PosixStore, root: Path
) -> None:
    run = "experiments/e/runs/r"
    store.create(Key(f"{run}/run.json"), b"x")
    store.replace(Key(f"{run}/artifacts/deep/er/file"), b"x")
    store.put_many([(Key("store/objects/ab/object"), Bytes(b"x"))])
    gone = [Key(f"{run}/artifacts/deep/er/file"), Key("store/objects/ab/object"), Key(f"{run}/run.json")]
    assert PosixRemover(store.root).delete(gone) == {}
    assert not (root / run / "artifacts").exists()
    assert (root / run).is_dir()
    assert (root / "store/objects/ab").is_dir()
    assert list(store.list_folders("experiments/e/runs/")) == []


@pytest.mark.parametrize("write", ["copy", "replace"])
def test_a_folder_that_is_pruned_while_it_is_filled_is_made_again(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    store.create(KEY, b"x")
    target = Key("experiments/e/runs/r/artifacts/deep/file")
    remover = PosixRemover(store.root)
    rivals = 5
    for name in ("link", "rename"):
        call = getattr(os, name)

        def after_a_rival(source: str, final: str, call: Callable[[str, str], None] = call) -> None:
            nonlocal rivals
            rivals -= 1
            if rivals >= 0:
                remover.delete([Key("experiments/e/runs/r/artifacts/deep/other")])
            call(source, final)

        monkeypatch.setattr(os, name, after_a_rival)
    if write == "copy":
        store.copy(KEY, target)
    else:
        store.replace(target, b"x")
    assert rivals < 0
    assert store.read(target) == b"x"
    assert files(root) == [str(target), KEY]


def test_an_existing_source_is_never_said_to_be_missing(store: PosixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(KEY, b"x")
    monkeypatch.setattr(os, "link", failing(errno.ENOENT))
    with pytest.raises(UnavailableError):
        store.copy(KEY, Key("latest/name"))


# ---------------------------------------------------------------- listing


def test_foreign_files_are_no_keys_and_what_vanishes_is_left_out(store: PosixStore, root: Path) -> None:
    store.create(KEY, b"x")
    (root / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"x")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    assert [found.key for found in store.list("")] == [KEY]


def test_a_tree_that_is_deleted_while_it_is_listed_ends_the_listing_early_and_without_error(store: PosixStore) -> None:
    keys = [Key(f"latest/{number}/file") for number in range(9)]
    for key in keys:
        store.replace(key, b"x")
    listing = store.list("")
    assert next(listing).key == keys[0]
    for number in range(1, 9):
        (Path(store.root) / keys[number]).unlink()
        (Path(store.root) / keys[number]).parent.rmdir()
    assert list(listing) == []


# ---------------------------------------------------------------- crashes


_KILLED = """
import os, sys
from sealrun.adapters.stores.posix import PosixStore
store = PosixStore(sys.argv[1])
incoming = store.stage().receive()
incoming.write(b"half a file")
print("written", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_when_the_next_one_writes_and_a_living_ones_stays(
    store: PosixStore, root: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        store.create(KEY, b"x")
        assert len([name for name in files(root) if name.startswith(".sealrun/")]) == 1
        writer.kill()
    store.close()
    assert len([name for name in files(root) if name.startswith(".sealrun/")]) == 1
    store.create(Key("another"), b"x")
    assert files(root) == ["another", KEY]


def test_rooms_of_other_machines_stay_for_a_week_by_the_stores_clock(store: PosixStore, root: Path) -> None:
    for name, age in (("0000-1-old", 8 * 24 * 3600), ("0000-1-new", 6 * 24 * 3600)):
        room = root / ".sealrun/tmp" / name
        room.mkdir(parents=True)
        (room / "1-0").write_bytes(b"x")
        now = root.stat().st_mtime
        os.utime(room, (now - age, now - age))
    store.create(KEY, b"x")
    assert files(root) == [".sealrun/tmp/0000-1-new/1-0", KEY]


def test_a_room_that_was_taken_away_is_made_again(store: PosixStore, root: Path) -> None:
    store.create(KEY, b"x")
    store.put_many([(Key("store/1"), Bytes(b"1"))])
    shutil.rmtree(root / ".sealrun")
    store.create(Key("another"), b"x")
    store.put_many([(Key("store/2"), Bytes(b"2"))])
    assert files(root) == ["another", KEY, "store/1", "store/2"]


def test_a_store_without_locks_still_works(store: PosixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    assert store.create(KEY, b"x") is Creation.CREATED
    store.close()


def test_closing_leaves_no_room_and_the_store_usable(store: PosixStore, root: Path) -> None:
    store.create(KEY, b"x")
    store.close()
    assert list((root / ".sealrun/tmp").iterdir()) == []
    store.create(Key("again"), b"x")
    store.close()
    assert files(root) == ["again", KEY]
