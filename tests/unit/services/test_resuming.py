"""A restore that was interrupted is gone on with; files may share the registry's bytes; nothing is half there."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO, Self, cast

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World

from sealrun.adapters.machine.sharing import FICLONE
from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.adapters.stores.posix import PosixStore
from sealrun.domain.address import Key
from sealrun.domain.errors import DigestMismatchError, NoSpaceError, UnavailableError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.access.restoring import attempt_name, attempt_name_of_file, restore, restore_file
from sealrun.services.storage.streaming import PIECE
from sealrun.services.threads.pulling import Shared, StoppedError, work_off

FILES = {
    "a.txt": b"alpha",
    "bin/tool": b"#!/bin/sh\n",
    "d/b.bin": bytes(range(256)) * 64,
    "d/e/c": b"gamma",
    "z": b"omega",
}
LINKS = {"bin/again": "tool", "top": "d"}


class Breaking(PosixStore):
    """A directory whose objects can be read `left` times more."""

    left = 1 << 30
    objects_read = 0
    error: BaseException = UnavailableError("the disk is away")

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        if key.startswith("store/"):
            if not self.left:
                raise self.error
            self.left -= 1
            self.objects_read += 1
        return super().read(key, offset, length)


@pytest.fixture
def store(tmp_path: Path) -> Breaking:
    return Breaking(tmp_path / "registry", parallel=1, make=True)


@pytest.fixture
def run(store: Breaking) -> tuple[Reader, RunFiles]:
    world = World()
    made, sources = a_run(FILES, executable=["bin/tool"], links=LINKS, directories=["void/deep"])
    done = world.machine("m1").publish(made, sources, store)
    reader = world.reader(store)
    return reader, reader.load_files(reader.resolve(done.ref))


def a_room(out: Path, view: RunFiles, *, sealed: bool = False, sharing: bool = False) -> LocalDestination:
    return LocalDestination(out, resume=attempt_name(view.target, sealed=sealed, sharing=sharing))


def interrupt(run: tuple[Reader, RunFiles], store: Breaking, out: Path, after: int, error: BaseException) -> Path:
    """Begin to restore; fail at an object. Returns the room that is left."""
    reader, view = run
    store.left, store.error = after, error
    with pytest.raises(type(error)):
        restore(reader, view, a_room(out, view), sealed=False)
    store.left, store.objects_read = 1 << 30, 0
    assert not out.exists()
    (room,) = hidden(out.parent)
    return room


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".sealrun-")]


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("error", [UnavailableError("away"), KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize("after", range(1, len(FILES)))
def test_an_interrupted_restore_is_gone_on_with(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, after: int, error: BaseException
) -> None:
    reader, view = run
    out = tmp_path / "out"
    interrupt(run, store, out, after, error)
    told: list[int] = []
    done = restore(reader, view, a_room(out, view), sealed=False, advance=told.append)
    assert (done.files, done.kept) == (len(FILES), after)
    assert store.objects_read == len(FILES) - after
    assert sum(told) == sum(map(len, FILES.values()))
    assert tree(out) == FILES
    assert (out / "top").readlink() == Path("d")
    assert os.access(out / "bin/tool", os.X_OK)
    assert not stat.S_IMODE(out.stat().st_mode) & 0o022
    assert out.stat().st_mode & 0o055
    assert not hidden(tmp_path)


def test_half_files_and_strangers_in_what_was_left_never_get_their_final_names(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path
) -> None:
    reader, view = run
    out = tmp_path / "out"
    room = interrupt(run, store, out, 4, UnavailableError("away"))
    (room / "a.txt").write_bytes(b"alp")
    (room / "d/b.bin").write_bytes(FILES["d/b.bin"][:-1] + b"!")
    (room / "bin/tool").chmod(0o644)
    (room / "mine").write_bytes(b"mine")
    (room / "strange/folder").mkdir(parents=True)
    (room / "strange/folder/file").write_bytes(b"mine")
    (room / "top").symlink_to("/etc")
    (room / "d/e/link").symlink_to("/etc/passwd")
    done = restore(reader, view, a_room(out, view), sealed=False)
    assert done.kept == 1
    assert tree(out) == FILES
    assert os.access(out / "bin/tool", os.X_OK)
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "bin", "d", "top", "void", "z"]
    assert (out / "top").readlink() == Path("d")
    assert not (out / "d/e/link").is_symlink()
    assert (out / "void/deep").is_dir()


def test_a_link_where_a_file_was_begun_is_replaced_and_not_written_through(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path
) -> None:
    reader, view = run
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_bytes(FILES["a.txt"])
    room = interrupt(run, store, out, 2, UnavailableError("away"))
    (room / "a.txt").unlink()
    (room / "a.txt").symlink_to(victim)
    restore(reader, view, a_room(out, view), sealed=False)
    assert not (out / "a.txt").is_symlink()
    assert tree(out) == FILES


@pytest.mark.parametrize("sealed", [False, True])
def test_damage_leaves_nothing_even_of_an_attempt_that_was_gone_on_with(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, *, sealed: bool
) -> None:
    reader, view = run
    damaged = Path(store.root, view.objects[view.entry("z").sha256].key)
    damaged.chmod(0o644)
    store.left = 3
    with pytest.raises(UnavailableError):
        restore(reader, view, a_room(tmp_path / "out", view, sealed=sealed), sealed=sealed)
    store.left = 1 << 30
    damaged.write_bytes(b"x")
    with pytest.raises(DigestMismatchError):
        restore(reader, view, a_room(tmp_path / "out", view, sealed=sealed), sealed=sealed)
    assert not hidden(tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_was_begun_without_records_is_not_taken_for_a_sealed_folder(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path
) -> None:
    reader, view = run
    out = tmp_path / "out"
    interrupt(run, store, out, 2, UnavailableError("away"))
    done = restore(reader, view, a_room(out, view, sealed=True), sealed=True)
    assert done.kept == 0
    assert tree(out / "artifacts") == FILES


def test_two_at_the_same_time_do_not_meet(run: tuple[Reader, RunFiles], tmp_path: Path) -> None:
    reader, view = run
    out = tmp_path / "out"
    first, second = a_room(out, view), a_room(out, view)
    first.write("a.txt", [b"half"], executable=False)
    assert not second.resumed
    restore(reader, view, second, sealed=False)
    with pytest.raises(UsageError, match="exists already"):
        first.commit()
    first.abandon()
    assert tree(out) == FILES
    assert not hidden(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_room_that_others_may_enter_is_not_used(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, mode: int
) -> None:
    reader, view = run
    out = tmp_path / "out"
    room = interrupt(run, store, out, 2, UnavailableError("away"))
    room.chmod(mode)
    assert restore(reader, view, a_room(out, view), sealed=False).kept == 0
    assert tree(out) == FILES
    assert hidden(tmp_path) == [room]


def test_where_locks_do_not_work_every_attempt_begins_anew(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    reader, view = run
    out = tmp_path / "out"
    store.left = 2
    with pytest.raises(UnavailableError):
        restore(reader, view, a_room(out, view), sealed=False)
    store.left = 1 << 30
    assert restore(reader, view, a_room(out, view), sealed=False).kept == 0
    assert tree(out) == FILES


def test_a_full_disk_keeps_nothing(run: tuple[Reader, RunFiles], tmp_path: Path) -> None:
    reader, view = run
    destination = a_room(tmp_path / "out", view)
    destination.folder("a.txt")  # nothing can be written there
    with pytest.raises(NoSpaceError):
        restore(reader, view, destination, sealed=False)
    assert not hidden(tmp_path)


def origin_of(store: PosixStore, view: RunFiles, path: str) -> Path:
    return Path(store.root, view.objects[view.entry(path).sha256].key)


def test_linked_files_are_the_registrys_own_and_verified(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path
) -> None:
    reader, view = run
    out = tmp_path / "out"
    done = restore(
        reader, view, a_room(out, view, sharing=True), sealed=False, origin=lambda stored: f"{store.root}/{stored.key}"
    )
    assert tree(out) == FILES
    assert store.objects_read == len(FILES)
    assert done.shared == len(FILES) - 1
    for path in FILES:
        assert (out / path).samefile(origin_of(store, view, path)) is (path != "bin/tool"), path
    assert os.access(out / "bin/tool", os.X_OK)
    assert not stat.S_IMODE((out / "a.txt").stat().st_mode) & 0o222
    assert not stat.S_IMODE(origin_of(store, view, "bin/tool").stat().st_mode) & 0o111


def test_a_damaged_object_is_not_linked(run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path) -> None:
    reader, view = run
    damaged = origin_of(store, view, "d/e/c")
    damaged.chmod(0o644)
    damaged.write_bytes(b"gammb")
    damaged.chmod(0o444)
    room = a_room(tmp_path / "out", view, sharing=True)
    with pytest.raises(DigestMismatchError):
        restore(reader, view, room, sealed=False, origin=lambda stored: f"{store.root}/{stored.key}")
    assert not hidden(tmp_path)
    assert not (tmp_path / "out").exists()


def test_what_somebody_may_write_to_is_copied(run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path) -> None:
    reader, view = run
    origin_of(store, view, "a.txt").chmod(0o644)
    done = restore(
        reader,
        view,
        a_room(tmp_path / "out", view, sharing=True),
        sealed=False,
        origin=lambda stored: f"{store.root}/{stored.key}",
    )
    assert done.shared == len(FILES) - 2
    assert not (tmp_path / "out/a.txt").samefile(origin_of(store, view, "a.txt"))


@pytest.mark.parametrize("code", [18, 1, 31])  # another file system, not allowed, too many links
def test_where_a_link_cannot_be_made_the_bytes_are_copied(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    reader, view = run
    monkeypatch.setattr(os, "link", refuse)
    room = a_room(tmp_path / "out", view, sharing=True)
    done = restore(reader, view, room, sealed=False, origin=lambda stored: f"{store.root}/{stored.key}")
    assert done.shared == 0
    assert tree(tmp_path / "out") == FILES


def test_where_blocks_can_be_shared_files_are_ones_own(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clone(descriptor: int, request: int, source: int) -> int:
        assert request == FICLONE
        os.pwrite(descriptor, os.pread(source, 1 << 20, 0), 0)
        return 0

    reader, view = run
    monkeypatch.setattr(fcntl, "ioctl", clone)
    room = a_room(tmp_path / "out", view, sharing=True)
    done = restore(reader, view, room, sealed=False, origin=lambda stored: f"{store.root}/{stored.key}")
    assert done.shared == len(FILES)
    assert tree(tmp_path / "out") == FILES
    assert os.access(tmp_path / "out/bin/tool", os.X_OK)
    assert not (tmp_path / "out/a.txt").samefile(origin_of(store, view, "a.txt"))


def test_one_file_is_linked(run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path) -> None:
    reader, view = run
    single = LocalDestination(tmp_path / "f", single=True)
    entry = view.entry("d/b.bin")
    done = restore_file(reader, view, entry, single, "b.bin", origin=lambda stored: f"{store.root}/{stored.key}")
    assert done.shared == 1
    assert (tmp_path / "f").samefile(origin_of(store, view, "d/b.bin"))


def test_a_linked_attempt_is_not_gone_on_with_by_one_that_copies(
    run: tuple[Reader, RunFiles], store: Breaking, tmp_path: Path
) -> None:
    reader, view = run
    out = tmp_path / "out"
    store.left = 2
    with pytest.raises(UnavailableError):
        restore(
            reader,
            view,
            a_room(out, view, sharing=True),
            sealed=False,
            origin=lambda stored: f"{store.root}/{stored.key}",
        )
    store.left = 1 << 30
    assert restore(reader, view, a_room(out, view), sealed=False).kept == 0
    assert all(path.stat().st_nlink == 1 for path in out.rglob("*") if path.is_file() and not path.is_symlink())


def test_the_name_of_a_room_fits_whatever_the_destination_is_called(tmp_path: Path) -> None:
    out = tmp_path / ("ü" * 127)
    destination = LocalDestination(out, resume="0" * 40)
    destination.write("a", [b"1"], executable=False)
    destination.commit()
    assert tree(out) == {"a": b"1"}


def test_a_file_that_is_there_is_told_by_all_its_bytes(tmp_path: Path) -> None:
    body = b"0123456789" * 200_000
    first = LocalDestination(tmp_path / "out", resume="0")
    first.write("a", [body], executable=False)
    assert not first.has("a", Entry("a", len(body), sha256(body)))  # it was not there at the beginning
    first.suspend()
    again = LocalDestination(tmp_path / "out", resume="0")
    assert again.resumed
    assert again.has("a", Entry("a", len(body), sha256(body)))
    assert not again.has("a", Entry("a", len(body), sha256(body), executable=True))
    assert not again.has("a", Entry("a", len(body), sha256(body + b"1")))
    assert not again.has("b", Entry("b", len(body), sha256(body)))
    with pytest.raises(UsageError):
        again.has("../a", Entry("../a", len(body), sha256(body)))
    again.abandon()
    again.abandon()
    assert not hidden(tmp_path)


def test_the_first_error_ends_every_worker() -> None:
    stop = Event()
    done: list[int] = []

    def job(number: int) -> None:
        if number == 3:
            raise UnavailableError("3")
        done.append(number)

    feed = Shared((lambda number=number: job(number)) for number in range(10_000))
    with pytest.raises(UnavailableError, match="3"):
        work_off([feed, feed, feed], stop)
    assert stop.is_set()
    assert len(done) < 10_000


def test_a_long_job_that_is_stopped_hides_no_error() -> None:
    stop, begun = Event(), Event()

    def long() -> None:
        begun.set()
        stop.wait()
        raise StoppedError

    def failing() -> None:
        begun.wait()
        raise UnavailableError("the real one")

    with pytest.raises(UnavailableError, match="the real one"):
        work_off([[long], [failing]], stop)


def test_every_job_is_done_once_by_somebody() -> None:
    done: list[int] = []
    feed: Iterable[object] = Shared((lambda number=number: done.append(number)) for number in range(1_000))
    with suppress(StopIteration):
        work_off([feed] * 4, Event())  # type: ignore[list-item] # the lambdas take nothing
    assert sorted(done) == list(range(1_000))


LARGE = bytes(range(251)) * 60_000  # three pieces and a half
MIB = 1 << 20


class Cutting(PosixStore):
    """A directory whose files can be read by so many bytes in one go."""

    left = 1 << 40
    bytes_read = 0

    def open(self, key: Key) -> BinaryIO:
        return cast("BinaryIO", Cut(super().open(key), self))


class Cut:
    def __init__(self, file: BinaryIO, store: Cutting) -> None:
        self.file, self.store = file, store
        self.seek, self.read = file.seek, file.read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def readinto(self, buffer: memoryview) -> int:
        if self.store.left < len(buffer):
            raise UnavailableError("the disk is away")
        got = int(self.file.readinto(buffer))  # type: ignore[attr-defined] # a file on disk
        self.store.left -= got
        self.store.bytes_read += got
        return got


@pytest.fixture
def cutting(tmp_path: Path) -> tuple[Cutting, Reader, RunFiles]:
    world = World()
    store = Cutting(tmp_path / "registry", parallel=1, make=True)
    done = world.machine("m1").publish(*a_run({"large": LARGE, "small": b"1"}), store)
    reader = world.reader(store)
    return store, reader, reader.load_files(reader.resolve(done.ref))


Restore = Callable[[Reader, RunFiles, Path, Callable[[int], None]], bytes]


def whole(reader: Reader, view: RunFiles, out: Path, advance: Callable[[int], None]) -> bytes:
    restore(reader, view, a_room(out, view), sealed=False, advance=advance)
    assert (out / "small").read_bytes() == b"1"
    return (out / "large").read_bytes()


def alone(reader: Reader, view: RunFiles, out: Path, advance: Callable[[int], None]) -> bytes:
    entry = view.entry("large")
    room = LocalDestination(out, single=True, resume=attempt_name_of_file(entry, sharing=False))
    restore_file(reader, view, entry, room, "large", advance=advance)
    return out.read_bytes()


def cut_off(cutting: tuple[Cutting, Reader, RunFiles], out: Path, restoring: Restore, after: int) -> Path:
    """Begin, and fail in the middle of the large file; return what is left of it."""
    store, reader, view = cutting
    store.left = after
    with pytest.raises(UnavailableError):
        restoring(reader, view, out, lambda _: None)
    store.left, store.bytes_read = 1 << 40, 0
    (room,) = hidden(out.parent)
    return room / "large"


@pytest.mark.parametrize("restoring", [whole, alone])
@pytest.mark.parametrize("after", [MIB, 5 * MIB, 9 * MIB, 14 * MIB])
def test_a_large_file_is_gone_on_with_where_it_was_cut_off(
    cutting: tuple[Cutting, Reader, RunFiles], tmp_path: Path, restoring: Restore, after: int
) -> None:
    store, reader, view = cutting
    left = cut_off(cutting, tmp_path / "out", restoring, after)
    assert left.stat().st_size == after
    told: list[int] = []
    assert restoring(reader, view, tmp_path / "out", told.append) == LARGE
    assert store.bytes_read == len(LARGE) - after // PIECE * PIECE
    assert sum(told) == sum(entry.size for entry in view.manifest.entries if restoring is whole or entry.size > 1)
    assert not hidden(tmp_path)


@pytest.mark.parametrize("restoring", [whole, alone])
def test_what_is_left_of_a_large_file_is_not_trusted(
    cutting: tuple[Cutting, Reader, RunFiles], tmp_path: Path, restoring: Restore
) -> None:
    store, reader, view = cutting
    left = cut_off(cutting, tmp_path / "out", restoring, 9 * MIB)
    with left.open("r+b") as file:
        file.seek(MIB)
        file.write(bytes(4096))  # as a power cut may leave it
    assert restoring(reader, view, tmp_path / "out", lambda _: None) == LARGE
    assert store.bytes_read > len(LARGE)


@pytest.mark.parametrize("restoring", [whole, alone])
def test_a_large_file_that_is_damaged_in_the_registry_is_never_restored(
    cutting: tuple[Cutting, Reader, RunFiles], tmp_path: Path, restoring: Restore
) -> None:
    store, reader, view = cutting
    cut_off(cutting, tmp_path / "out", restoring, 9 * MIB)
    place = Path(store.root) / view.objects[view.entry("large").sha256].key
    place.chmod(0o644)
    with place.open("r+b") as file:
        file.seek(12 * MIB)
        file.write(b"x")
    with pytest.raises(DigestMismatchError):
        restoring(reader, view, tmp_path / "out", lambda _: None)
    assert not hidden(tmp_path)


def test_a_strangers_link_in_what_was_left_is_not_written_through(
    cutting: tuple[Cutting, Reader, RunFiles], tmp_path: Path
) -> None:
    _, reader, view = cutting
    left = cut_off(cutting, tmp_path / "out", whole, 9 * MIB)
    mine = tmp_path / "mine"
    for make in (left.symlink_to, left.hardlink_to):
        mine.write_bytes(bytes(9 * MIB))
        left.unlink()
        make(mine)
        entry = view.entry("large")
        assert a_room(tmp_path / "out", view).begun("large", PIECE, entry.size) is None
    assert whole(reader, view, tmp_path / "out", lambda _: None) == LARGE
    assert mine.read_bytes() == bytes(9 * MIB)
