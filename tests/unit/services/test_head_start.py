"""Bytes go to a registry while the rest of their run is hashed; what becomes of them if the run is not published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.builders.folders import a_folder
from tests.builders.runs import BytesSource
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import GatedStore, Noting
from tests.fakes.hints import FakeHints
from tests.fakes.store import ModelStore

from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.address import Key, object_key, outcome_key, parse_object_key
from sealrun.domain.errors import RunChangedError, UnavailableError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket, Outcome
from sealrun.domain.runs.run import Completion
from sealrun.domain.runs.sealed import Published
from sealrun.ports import FileFacts, Source, Store, Tree
from sealrun.services.access.reading import Reader
from sealrun.services.delivery.parts import AtHand
from sealrun.services.delivery.staging import StagedSealings
from sealrun.services.publication.beginning import new_ticket
from sealrun.services.publication.head_start import WORTH_BYTES, HeadStart
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.watching.sealing import SealRequest

REGISTRY = "0" * 32
BIG = "x" * WORTH_BYTES
FILES = {f"d{n % 3}/{n:02}": f"{n:02}" * 20_000 for n in range(30)} | {"big": BIG, "middle": "m" * 60_000}
REQUEST = SealRequest(
    experiment="train", completion=Completion(method="command", evidence="test", confidence="declared")
)
SMALL = PackOptions(below=50_000, size=4 << 20, least=10)


class House:
    """One registry elsewhere, one state folder, and what this process has of the run that it sealed last."""

    def __init__(self, folder: Path, packs: PackOptions | None = SMALL) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.entropy = FakeEntropy()
        self.store = ModelStore(lambda: self.clock.now().timestamp(), links=False)
        self.noting = Noting()
        self.hints = FakeHints()
        self.packs = packs
        self.registry = self.opened(self.store)
        self.staged = StagedSealings(lambda: self.registry)

    def opened(self, store: Store) -> OpenedRegistry:
        packing = None if self.packs is None else Packing(self.packs, lambda: SpoolStage(str(self.folder)))
        gated = GatedStore(store, self.noting)
        return OpenedRegistry(gated, REGISTRY, self.hints, self.clock, self.entropy, "me", packing=packing)

    def seal(self, files: dict[str, str] | None = None, name: str = "run", number: int = 1) -> AtHand:
        run = a_folder(self.folder / name, FILES if files is None else files)
        sealing = self.staged.seal(LocalFolder(str(run), hashes=NoHashes()), REQUEST)
        self.staged.keep(number, sealing)
        found = self.staged.at_hand(number)
        assert found is not None
        return found

    def deliver(self, found: AtHand) -> Published:
        ticket = found.ahead.take(REGISTRY) if found.ahead is not None else None
        ahead = None if ticket is None else found.ahead
        return self.registry.publish(found.run, ticket or self.ticket(), found.sources, found.packs, ahead)

    def ticket(self) -> AttemptTicket:
        return new_ticket(self.clock, self.entropy, "me")

    def stored(self) -> list[str]:
        """Objects and packs, as often as they were stored."""
        return sorted(call.key for call in self.noting.calls if call.op == "put_many")

    def outcomes(self) -> dict[str, str]:
        keys = [key for key in self.store.bodies if key.endswith("/outcome.json")]
        return {key.split("/")[1]: Outcome.decode(self.store.bodies[key], key).decision for key in keys}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def until(holds: Callable[[], bool]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.005)


def ahead_of(found: AtHand) -> HeadStart:
    assert found.ahead is not None
    return found.ahead


def arrived(found: AtHand) -> set[Key]:
    """Wait until all that was offered has arrived; the delivery has not begun."""
    ahead = ahead_of(found)
    until(lambda: ahead._offered <= ahead._stored)
    return set(ahead._stored)


def test_packs_and_large_files_are_there_before_their_delivery_begins_and_are_sent_once(house: House) -> None:
    found = house.seal()
    keys = arrived(found)
    assert {parse_object_key(key).digest for key in keys} == {found.packs[0].source.digest, sha256(BIG.encode())}
    assert {key.split("/")[0] for key in house.store.bodies} == {"store"}, "something else was written"

    done = house.deliver(found)

    assert done.new
    assert {parse_object_key(Key(key)).creator for key in house.stored()} == {done.attempt}
    assert len(house.stored()) == len(set(house.stored())) == 3, "the pack, the large file, the one in between"
    reader = Reader(house.store, house.clock, house.entropy)
    view = reader.load(reader.resolve(done.ref))
    for entry in view.manifest.entries:
        assert b"".join(reader.chunks(view, entry)) == FILES[entry.path].encode()
    house.staged.release(1)
    assert house.outcomes() == {done.attempt: "sealed"}


def test_without_packs_only_large_files_go_ahead(tmp_path: Path) -> None:
    house = House(tmp_path, packs=None)
    found = house.seal()
    assert {parse_object_key(key).digest for key in arrived(found)} == {sha256(BIG.encode())}
    assert house.deliver(found).new
    assert len(house.stored()) == len(set(house.stored())) == len(FILES)


@pytest.mark.parametrize("count", [2, 40], ids=["alone", "in a small pack"])
def test_where_there_is_little_to_send_nobody_hears_of_an_attempt(house: House, count: int) -> None:
    found = house.seal({f"{number}": f"{number}" for number in range(count)})
    assert len(found.packs) == (count == 40)
    assert ahead_of(found).take(REGISTRY) is None
    assert house.deliver(found).new
    assert len(house.outcomes()) == 1


def test_what_the_registry_has_does_not_go_ahead(house: House) -> None:
    house.deliver(house.seal())
    house.staged.release(1)
    house.noting.calls.clear()
    again = house.seal(FILES | {"new": "n" * WORTH_BYTES}, "again", 2)
    assert {parse_object_key(key).digest for key in arrived(again)} == {sha256(b"n" * WORTH_BYTES)}
    assert house.deliver(again).uploaded_objects == 1


def test_nothing_goes_ahead_where_somebody_has_stored_the_same_bytes(house: House) -> None:
    """A state folder that was lost, and another machine with the same run, must not send everything twice."""
    first = house.deliver(house.seal())
    house.staged.release(1)
    house.noting.calls.clear()
    house.hints.known.clear()
    again = house.seal()
    done = house.deliver(again)
    assert (done.new, done.attempt) == (False, first.attempt)
    assert house.stored() == []
    assert house.outcomes() == {first.attempt: "sealed"}


@pytest.mark.parametrize("missing", ["store/packs/", "store/objects/"])
def test_what_went_ahead_of_a_run_that_is_there_already_is_nobodys(
    house: House, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Only one of the two is there, so that it depends on what is complete first: here it is what is not there."""
    first = house.deliver(house.seal())
    house.staged.release(1)
    house.hints.known.clear()
    looked: list[Key] = []
    is_new = OpenedRegistry._is_new

    def looking(self: OpenedRegistry, key: Key) -> bool:
        looked.append(key)
        return is_new(self, key) or key.startswith(missing)

    monkeypatch.setattr(OpenedRegistry, "_is_new", looking)
    monkeypatch.setattr(HeadStart, "pack" if missing == "store/objects/" else "file", lambda *_offered: None)
    again = house.seal()
    in_vain = arrived(again)
    done = house.deliver(again)
    assert (done.new, done.attempt) == (False, first.attempt)
    ahead = ahead_of(again).ticket.attempt
    assert [key.startswith(missing) for key in looked] == [True], "only the first thing is looked for"
    assert {parse_object_key(key).creator for key in in_vain} == {ahead}
    assert house.outcomes() == {first.attempt: "sealed", ahead: "void"}


def test_a_run_that_changes_while_it_is_hashed_leaves_a_void_attempt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[HeadStart] = []
    begin = OpenedRegistry.begin_ahead

    def remembered(self: OpenedRegistry, sources: object) -> HeadStart | None:
        ahead = begin(self, sources)  # type: ignore[arg-type] # passed on
        assert ahead is not None
        seen.append(ahead)
        return ahead

    def changed(_self: LocalFolder, _tree: Tree) -> None:
        until(lambda: bool(seen[0]._stored))
        raise RunChangedError("a file was written meanwhile")

    monkeypatch.setattr(OpenedRegistry, "begin_ahead", remembered)
    monkeypatch.setattr(LocalFolder, "_check_unchanged", changed)
    with pytest.raises(RunChangedError):
        house.seal()
    house.staged.sweep()
    seen[0].wait()
    assert house.outcomes() == {seen[0].ticket.attempt: "void"}
    assert seen[0].take(REGISTRY) is None


def test_a_head_start_that_sent_nothing_leaves_nothing(house: House) -> None:
    found = house.seal({"a": "1"})
    house.staged.release(1)
    ahead_of(found).wait()
    assert house.store.bodies == {}


def test_a_run_with_nothing_to_send_ahead_is_in_nobodys_way(house: House) -> None:
    tiny = house.seal({"a": "1"})
    arrived(house.seal(FILES, "other", 2))
    assert ahead_of(tiny).is_over
    assert house.deliver(tiny).new


def test_one_run_at_a_time_goes_ahead(house: House) -> None:
    first = house.seal()
    arrived(first)
    second = house.seal(FILES | {"more": "1"}, "second", 2)
    assert second.ahead is None
    house.deliver(first)
    house.staged.release(1)
    assert house.seal(FILES | {"more": "2"}, "third", 3).ahead is not None
    assert house.deliver(second).new


def test_a_directory_takes_bytes_in_by_itself(house: House, tmp_path: Path) -> None:
    store = PosixStore(tmp_path / "store", make=True)
    registry = OpenedRegistry(store, REGISTRY, house.hints, house.clock, house.entropy, "me")
    assert registry.begin_ahead(lambda _entry, _facts: BytesSource(b"")) is None


def test_closing_a_registry_ends_what_goes_ahead(house: House) -> None:
    found = house.seal()
    arrived(found)
    house.registry.close()
    assert ahead_of(found).is_over
    assert house.outcomes() == {ahead_of(found).ticket.attempt: "void"}
    assert house.registry.begin_ahead(lambda _entry, _facts: BytesSource(b"")) is None


class ToldSource(BytesSource, frozen=True):
    """Bytes, and what is called when they are opened."""

    before: Callable[[], None]

    def open(self) -> BinaryIO:
        self.before()
        return super().open()


class Started:
    """A head start by itself, of files `a`, `b`, … whose bytes are `WORTH_BYTES` times their name."""

    def __init__(self, store: Store, before: Callable[[str], None] = lambda _path: None) -> None:
        self.clock, self.entropy = FakeClock(), FakeEntropy()
        self.voided = 0
        self.before = before
        ticket = new_ticket(self.clock, self.entropy, "me")
        self.it = HeadStart(
            store, REGISTRY, ticket, lambda entry, _facts: self.source(entry.path), self.is_new, self.void
        )

    def is_new(self, _key: Key) -> bool:
        return True

    def void(self) -> None:
        self.voided += 1

    def source(self, path: str) -> Source:
        return ToldSource(path.encode() * WORTH_BYTES, lambda: self.before(path))

    def offer(self, paths: Iterable[str]) -> None:
        for path in paths:
            facts = FileFacts(size=WORTH_BYTES, mtime_ns=0, ctime_ns=0, inode=1, executable=False)
            self.it.file(path, facts, self.source(path).digest)

    def key(self, path: str) -> Key:
        return object_key(self.source(path).digest, self.it.ticket.attempt)


@pytest.fixture
def store() -> ModelStore:
    return ModelStore(lambda: 0.0, links=False)


def test_what_is_not_begun_is_left_to_the_delivery_and_what_is_begun_is_waited_for(store: ModelStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: str) -> None:
        if path == "b":
            begun.set()
            assert go_on.wait(30)

    started = Started(store, slow)
    started.offer("abc")
    assert begun.wait(30)
    on_the_way = started.it.hand_over()
    assert on_the_way == {started.key("a"), started.key("b")}
    go_on.set()
    assert started.it.wait() == on_the_way
    assert set(store.bodies) == on_the_way
    started.offer("d")
    assert started.it.hand_over() == on_the_way, "something was begun after all was handed over"


def test_the_same_bytes_go_once(store: ModelStore) -> None:
    noting = Noting()
    started = Started(GatedStore(store, noting))
    started.offer("aba")
    started.offer("a")
    until(lambda: len(started.it._stored) == 2)
    assert started.it.hand_over() == started.it.wait() == {started.key("a"), started.key("b")}
    assert [call.key for call in noting.calls] == [started.key("a"), started.key("b")]


def test_what_does_not_arrive_is_told_and_nothing_is_raised(store: ModelStore) -> None:
    def gone(path: str) -> None:
        if path == "b":
            raise UnavailableError("the line is cut")

    started = Started(store, gone)
    started.offer("ab")
    until(lambda: started.it._closed)
    assert started.it.take(REGISTRY) is not None
    assert started.it.hand_over() == {started.key("a"), started.key("b")}
    assert started.it.wait() == {started.key("a")}
    assert started.voided == 0


def test_an_unexpected_error_ends_it_without_a_secret_in_the_log(
    store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(_path: str) -> None:
        raise ValueError("password=hunter2")

    caplog.set_level("INFO", logger="sealrun.publication")
    started = Started(store, odd)
    started.offer("a")
    started.it.give_up()
    started.it.wait()
    started = Started(store, odd)
    started.offer("a")
    until(lambda: started.it._closed)
    started.it.hand_over()
    started.it.wait()
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def test_it_is_taken_once_by_a_delivery_to_its_registry_and_never_after_it_was_given_up(store: ModelStore) -> None:
    started = Started(store)
    assert started.it.take(REGISTRY) is None, "nothing was offered"
    started.offer("a")
    assert started.it.take("1" * 32) is None
    assert started.it.take(REGISTRY) == started.it.ticket
    assert started.it.take(REGISTRY) is None
    started.it.give_up()
    started.it.wait()
    assert started.voided == 0, "its delivery decides"
    other = Started(store)
    other.offer("a")
    until(lambda: bool(other.it._begun))
    other.it.give_up()
    assert other.it.take(REGISTRY) is None
    other.it.wait()
    assert other.voided == 1


def test_to_give_up_ends_a_file_in_the_middle(store: ModelStore) -> None:
    began, reads = threading.Event(), threading.Event()

    def hold(_path: str) -> None:
        began.set()
        assert reads.wait(30)

    started = Started(store, hold)
    started.offer("ab")
    assert began.wait(30)
    started.it.give_up()
    reads.set()
    started.it.wait()
    assert store.bodies == {}
    assert started.voided == 1


def test_who_listens_hears_of_all_bytes_once(store: ModelStore) -> None:
    heard: list[int] = []
    started = Started(store)
    started.offer("a")
    until(lambda: bool(started.it._stored))
    started.it.tell(heard.append)
    assert sum(heard) == WORTH_BYTES
    started.offer("b")
    until(lambda: len(started.it._stored) == 2)
    started.it.hand_over()
    started.it.wait()
    assert sum(heard) == 2 * WORTH_BYTES


def test_a_run_is_published_though_nothing_arrived_ahead(house: House) -> None:
    def refuse(*_args: object) -> None:
        raise UnavailableError("not now")

    put_many, house.store.put_many = house.store.put_many, refuse  # type: ignore[method-assign, assignment]
    found = house.seal()
    until(lambda: ahead_of(found)._closed)
    house.store.put_many = put_many  # type: ignore[method-assign]
    done = house.deliver(found)
    assert done.uploaded_objects == len({*FILES.values()})
    assert house.outcomes() == {done.attempt: "sealed"}


def test_an_attempt_that_was_taken_for_dead_while_its_run_was_hashed_is_tried_again(house: House) -> None:
    found = house.seal()
    arrived(found)
    house.registry._declare_void(ahead_of(found).ticket)
    with pytest.raises(Exception, match="declared void"):
        house.deliver(found)
    assert house.registry.publish(found.run, house.ticket(), found.sources, found.packs).new
    assert sorted(house.outcomes().values()) == ["sealed", "void"]
    assert outcome_key(ahead_of(found).ticket.attempt) in house.store.bodies
