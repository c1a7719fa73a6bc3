"""Records that are in flight together share their syncs, and every one keeps its own promise."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.builders.sources import Bytes, sha256

from sealrun.adapters.stores import posix, posix_durable, posix_rounds
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.posix_folders import Root
from sealrun.adapters.stores.posix_room import Room
from sealrun.adapters.stores.posix_rounds import Rounds, Together
from sealrun.domain.address import Key
from sealrun.domain.errors import OutcomeUnknownError, UnavailableError
from sealrun.ports import Creation

THREADS = 12


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def store(root: Path) -> Iterator[PosixStore]:
    store = PosixStore(root, parallel=2, make=True)
    yield store
    store.close()


@pytest.fixture
def together(store: PosixStore, root: Path) -> Together:
    assert store.root == str(root)
    return Together(Room(Root(str(root), make=False)))


def names(root: Path) -> list[str]:
    """Every record below `root`."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] != ".sealrun")


class Tape:
    """The order in which bytes were written, made durable, named, made durable, and callers told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pause_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self.steps: list[tuple[str, Any]] = []
        self._record(monkeypatch, posix, "write_all", lambda fd, _body: Path(f"/proc/self/fd/{fd}").readlink().name)
        self._record(monkeypatch, os, "link", lambda source, target: (Path(source).name, target))
        self._record(monkeypatch, os, "fsync", lambda fd: str(Path(f"/proc/self/fd/{fd}").readlink()))
        whole = posix_durable.syncfs

        def syncfs(fd: int) -> None:
            self.add("syncfs begins", None)
            time.sleep(pause_s)
            whole(fd)
            self.add("syncfs ends", None)

        monkeypatch.setattr(posix_durable, "syncfs", syncfs)

    def add(self, what: str, about: object) -> None:
        with self._lock:
            self.steps.append((what, about))

    def count(self, *whats: str) -> int:
        return sum(what in whats for what, _ in self.steps)

    def at(self, what: str, about: object, after: int = 0) -> int:
        return self.steps.index((what, about), after)

    def synced_between(self, first: int, last: int) -> bool:
        """Whether a sync of everything began after one step and ended before the other."""
        steps = [what for what, _ in self.steps[first:last]]
        return "syncfs begins" in steps and "syncfs ends" in steps[steps.index("syncfs begins") :]

    def _record(self, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, about: Callable[..., object]) -> None:  # noqa: ANN401 - a module
        call = getattr(where, name)

        def taped(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            shown = about(*arguments)
            answer = call(*arguments)
            self.add(name, shown)
            return answer

        monkeypatch.setattr(where, name, taped)


def everybody(work: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """Let threads begin `work` at once; return what came of each, an error included."""
    start = threading.Barrier(threads)

    def one(number: int) -> object:
        start.wait()
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def begin_together(monkeypatch: pytest.MonkeyPatch, now: float = 1000.0) -> None:
    """Let the first records of all threads be in flight at one time, however quick the disk, and no round be dear."""
    write, met, before = posix_durable.write_all, threading.Barrier(THREADS), threading.local()

    def write_together(fd: int, body: bytes | memoryview) -> None:
        if not hasattr(before, "met"):
            before.met = met.wait()
        write(fd, body)

    monkeypatch.setattr(posix, "write_all", write_together)
    monkeypatch.setattr(posix_rounds, "_now", lambda: now)


def test_no_name_appears_before_its_bytes_are_durable_and_nobody_is_told_before_the_name_is(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = Tape(monkeypatch)

    def create_some(number: int) -> None:
        for turn in range(5):
            key = f"experiments/e{turn}/{number}/record"
            assert store.create(Key(key), b"x" * 100) is Creation.CREATED
            tape.add("told", key)

    assert everybody(create_some) == [None] * THREADS
    linked_at = [place for place, (what, _) in enumerate(tape.steps) if what == "link"]
    links = {tape.steps[place][1]: place for place in linked_at}
    assert len(links) == THREADS * 5
    for (temporary, final), linked in links.items():
        written = tape.at("write_all", temporary)
        told = tape.at("told", str(Path(final).relative_to(root)), linked)
        alone = any(what == "fsync" and about.endswith(temporary) for what, about in tape.steps[written:linked])
        assert alone or tape.synced_between(written, linked), final
        folder = str(Path(final).parent)
        assert ("fsync", folder) in tape.steps[linked:told] or tape.synced_between(linked, told), final


def test_many_who_create_at_once_cost_far_fewer_syncs_than_two_each(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_together(monkeypatch)
    tape = Tape(monkeypatch, pause_s=0.01)  # as a disk takes
    everybody(lambda number: [store.create(Key(f"e/{number}/{turn}"), b"x") for turn in range(8)])
    assert len(names(root)) == THREADS * 8
    assert tape.count("fsync", "syncfs begins") < THREADS * 8


def test_whoever_is_alone_syncs_its_own_file_and_folder_also_soon_after_others(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody(lambda number: store.create(Key(f"e/{number}/record"), b"x"))
    tape = Tape(monkeypatch)
    store.create(Key("e/0/other"), b"x")  # the others' threads are gone
    assert [what for what, _ in tape.steps if what in {"fsync", "syncfs begins"}] == ["fsync", "fsync"]


def test_an_owned_record_and_bulk_bytes_are_in_the_same_rounds(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_together(monkeypatch)
    tape = Tape(monkeypatch, pause_s=0.01)

    def publish(number: int) -> None:
        for turn in range(4):
            stage = store.stage()
            incoming = stage.receive()
            incoming.write(b"%d" % turn)
            store.put_many([(Key(f"store/{number}/{turn}"), incoming.keep(sha256(b"%d" % turn)))])
            stage.close()
            store.put(Key(f"attempts/{number}/{turn}"), b"x")

    assert everybody(publish) == [None] * THREADS
    assert len(names(root)) == THREADS * 8
    assert tape.count("fsync", "syncfs begins") < THREADS * 8


def test_every_thread_in_a_storm_of_all_kinds_of_writes_comes_to_its_end(store: PosixStore, root: Path) -> None:
    def write(number: int) -> None:
        for turn in range(6):
            if number % 3 == 0:
                store.put_many((Key(f"store/{number}/{turn}/{i}"), Bytes(b"%d" % i)) for i in range(3))
            elif number % 3 == 1:
                store.create(Key(f"records/{turn}"), b"the same for everybody")
            else:
                store.put(Key(f"owned/{number}"), b"%d" % turn)

    assert everybody(write, 24) == [None] * 24
    assert len(names(root)) == 8 * 6 * 3 + 6 + 8


class Disk:
    """A disk whose next sync of everything waits until it is told how it ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy, self._end = threading.Event(), threading.Event()
        self._error: OSError | None = None
        monkeypatch.setattr(posix_durable, "syncfs", self._sync)

    def _sync(self, _fd: int) -> None:
        self.busy.set()
        assert self._end.wait(120)
        if self._error is not None:
            raise self._error

    def end(self, error: OSError | None) -> None:
        self._error = error
        self._end.set()


def lost() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def joined(rounds: Rounds, count: int) -> None:
    """Wait until so many wait for the next round."""
    while rounds._arrived < count:
        time.sleep(0.001)


def test_a_failed_sync_fails_all_of_its_round_and_whoever_had_begun_by_then(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    rounds = together.enter()
    late = together.enter()  # wrote its bytes before the failure, and comes for its barrier after it
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(rounds.wait)
        assert disk.busy.wait(120)
        others = [pool.submit(rounds.wait) for _ in range(3)]
        joined(rounds, 3)
        disk.end(lost())
        errors = [future.exception(30) for future in (leader, *others)]
    assert [error.errno for error in errors if isinstance(error, OSError)] == [errno.EIO] * 4
    with pytest.raises(OSError, match="lost"):
        late.wait()
    disk.end(None)
    fresh = together.enter()
    assert fresh is not rounds
    fresh.wait()
    for used in (rounds, late, fresh):
        together.leave(used)


def test_a_round_that_was_well_is_not_undone_by_a_later_one(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = together.enter()
    rounds.wait()
    disk = Disk(monkeypatch)
    disk.end(lost())
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        rounds.wait()
    assert not rounds.fit
    together.leave(rounds)


def test_a_round_begins_after_everything_that_its_members_wrote(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    rounds = together.enter()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(rounds.wait)
        assert disk.busy.wait(120)
        second = pool.submit(rounds.wait)  # its bytes came too late for the sync that runs
        joined(rounds, 1)
        monkeypatch.setattr(posix_durable, "syncfs", _refuse)
        disk.end(None)
        assert first.exception(30) is None
        assert isinstance(second.exception(30), OSError)
    together.leave(rounds)


def _refuse(_fd: int) -> None:
    raise lost()


def test_records_in_a_failed_round_are_not_created_and_are_when_they_come_again(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds, "in_company", lambda _rounds: True)
    with monkeypatch.context() as patch:
        patch.setattr(posix_durable, "syncfs", _refuse)
        answers = everybody(lambda number: store.create(Key(f"e/{number}"), b"x"))
    assert [type(answer) for answer in answers] == [UnavailableError] * THREADS
    assert names(root) == []
    assert everybody(lambda number: store.create(Key(f"e/{number}"), b"x")) == [Creation.CREATED] * THREADS


def test_a_record_whose_name_could_not_be_made_durable_together_is_not_certain(
    store: PosixStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds, "in_company", lambda _rounds: True)
    whole = posix_durable.syncfs

    def fail_once_there_are_names(fd: int) -> None:
        if names(root):
            raise lost()
        whole(fd)

    with monkeypatch.context() as patch:
        patch.setattr(posix_durable, "syncfs", fail_once_there_are_names)
        with pytest.raises(OutcomeUnknownError):
            store.create(Key("e/record"), b"x")
    assert store.create(Key("e/record"), b"x") is Creation.EXISTS


def test_where_the_whole_cannot_be_synced_everybody_syncs_alone(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_durable, "can_sync_whole", lambda _fd: False)
    tape = Tape(monkeypatch)
    everybody(lambda number: store.create(Key(f"e/{number}/record"), b"x"))
    assert tape.count("syncfs begins") == 0
    assert tape.count("fsync") >= 2 * THREADS


def test_while_others_keep_the_disk_busy_records_are_synced_one_by_one(
    store: PosixStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(posix_rounds, "_now", lambda: clock[0])
    whole = posix_durable.syncfs

    def take_long(fd: int) -> None:
        whole(fd)
        clock[0] += 3.0

    with monkeypatch.context() as patch:
        patch.setattr(posix_durable, "syncfs", take_long)
        store.put_many([])
    tape = Tape(monkeypatch)
    everybody(lambda number: store.create(Key(f"e/{number}/record"), b"x"))
    assert tape.count("syncfs begins") == 0
    begin_together(monkeypatch, now=clock[0] + 60.0)
    everybody(lambda number: store.create(Key(f"f/{number}/record"), b"x"))
    assert tape.count("syncfs begins") > 0


def test_a_room_in_another_place_has_rounds_of_its_own(together: Together, root: Path) -> None:
    before = together.enter()
    room = next((root / ".sealrun" / "tmp").iterdir())
    room.rename(room.with_name("elsewhere"))
    after = together.enter()
    assert after is not before
    assert after.place != before.place
    together.leave(before)
    together.leave(after)


def test_the_descriptor_stays_open_for_its_last_user_and_no_longer(store: PosixStore) -> None:
    store.put_many([])
    stage = store.stage()
    rounds = stage.rounds
    store.close()
    assert os.fstat(rounds._fd)
    rounds.wait()
    stage.close()
    assert rounds._fd == -1
