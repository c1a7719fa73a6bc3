"""A run's records are read once, checked against each other, and kept only where somebody asks for them."""

from __future__ import annotations

import threading
from typing import NamedTuple

import msgspec
import pytest
from tests.builders.packs import SMALL, packed_world
from tests.builders.runs import a_run
from tests.builders.worlds import World, published

from sealrun.adapters.stores.memory import MemoryStore
from sealrun.domain.address import Digest, Key, run_key
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE
from sealrun.ports import Capabilities
from sealrun.services.access.loading import load_files, load_one, load_view, read_records
from sealrun.services.storage import streaming
from sealrun.services.storage.streaming import PIECE, Spare, stream

FILES = {"a.txt": b"alpha", "b/c  manifest.json": b"{}", "odd\nrun.json": b"1"}


class Held(NamedTuple):
    """A registry with one run."""

    world: World
    target: Target

    def key(self, name: str) -> Key:
        return run_key(self.target.experiment, self.target.run_id, name)

    def damage(self, name: str, old: bytes, new: bytes) -> None:
        body = self.world.store.bodies[self.key(name)]
        assert old in body
        self.world.store.damage(self.key(name), body.replace(old, new))


@pytest.fixture(params=[False, True], ids=["asked for at once", "near"])
def held(request: pytest.FixtureRequest) -> Held:
    world = World(links=request.param)
    done = world.machine("m1").publish(*a_run(FILES))
    return Held(world, world.target(done.ref))


def test_files_are_known_without_the_records_that_tell_of_them(held: Held) -> None:
    files, view = load_files(held.world.store, held.target), load_view(held.world.store, held.target)
    for name in type(files).__struct_fields__:
        assert getattr(files, name) == getattr(view, name)
    assert {entry.path for entry in files.manifest.entries} == set(FILES)


def test_one_file_is_found_by_the_sums_and_the_refs_alone(held: Held) -> None:
    for path, body in FILES.items():
        found = load_one(held.world.store, held.target, path)
        assert (found.sha256, found.path) == (sha256(body), path)
        assert found.stored == load_files(held.world.store, held.target).objects[found.sha256]
    for absent in ("a", "a.tx", "run.json", "manifest.json", "  artifacts/a.txt", "odd\\nrun.json"):
        with pytest.raises(NotFoundError, match="holds no file"):
            load_one(held.world.store, held.target, absent)


@pytest.mark.parametrize("links", [False, True])
def test_a_name_that_ends_like_the_line_of_another_is_not_taken_for_it(*, links: bool) -> None:
    world = World(links=links)
    files = {"a": b"right", f"{'0' * 64}  artifacts/a": b"wrong", "new\nline": b"1", "b  artifacts/new\nline": b"2"}
    target = world.target(world.machine("m1").publish(*a_run(files)).ref)
    for path, body in files.items():
        assert load_one(world.store, target, path).sha256 == sha256(body)


def test_one_file_is_not_believed_to_sums_that_were_not_sealed(held: Held) -> None:
    held.damage(SUMS_FILE, b"a.txt", b"b.txt")
    with pytest.raises(IntegrityError, match="ROOT_SHA256"):
        load_one(held.world.store, held.target, "b.txt")


def test_records_are_given_as_they_are_stored(held: Held) -> None:
    stored = {name: held.world.store.bodies[held.key(name)] for name in (RUN_FILE, MANIFEST_FILE, SUMS_FILE)}
    assert read_records(held.world.store, held.target) == stored
    view = load_view(held.world.store, held.target)
    assert {RUN_FILE: view.run_json, MANIFEST_FILE: view.manifest_json, SUMS_FILE: view.sums_file} == stored
    assert view.sums.root == held.target.root_sha256


@pytest.mark.parametrize("name", [RUN_FILE, MANIFEST_FILE])
def test_a_record_that_is_not_the_sealed_one_is_refused(held: Held, name: str) -> None:
    held.damage(name, b'"kind"', b' "kind"')
    for load in (load_files, load_view, read_records):
        with pytest.raises(DigestMismatchError, match=name):
            load(held.world.store, held.target)


@pytest.mark.parametrize(("old", "new"), [(b"artifacts/a.txt", b"artifacts/b.txt"), (b"# ROOT_SHA256 ", b"# ROOT ")])
def test_sums_that_contradict_their_own_root_are_refused(held: Held, old: bytes, new: bytes) -> None:
    held.damage(SUMS_FILE, old, new)
    with pytest.raises(IntegrityError, match="ROOT_SHA256"):
        load_files(held.world.store, held.target)


def test_sums_of_another_run_are_refused_however_good_they_are(held: Held) -> None:
    other = msgspec.structs.replace(held.target, root_sha256=sha256(b"another"))
    with pytest.raises(IntegrityError, match="but the attempt sealed"):
        load_files(held.world.store, other)


def test_a_record_that_the_sums_do_not_list_is_refused(held: Held) -> None:
    body = held.world.store.bodies[held.key(SUMS_FILE)]
    lines = [line for line in body.split(b"\n") if not line.endswith(b"  run.json") and b"ROOT" not in line and line]
    head = b"\n".join(lines) + b"\n"
    held.world.store.damage(held.key(SUMS_FILE), head + f"# ROOT_SHA256 {sha256(head)}\n".encode())
    with pytest.raises(DigestMismatchError, match=RUN_FILE):
        load_files(held.world.store, msgspec.structs.replace(held.target, root_sha256=sha256(head)))


def test_refs_read_at_once_say_the_same_as_refs_read_piece_by_piece() -> None:
    world = packed_world()
    _, done = published(world, {**SMALL, "large": b"x" * 100_000})
    objects = world.reader().load_files(world.target(done.ref)).objects
    attempt = world.target(done.ref).attempt
    two = {Digest(f"{number:064x}"): Stored(Key("store/packs/other"), 3, number) for number in range(5)}
    two[Digest("f" * 64)] = Stored(Key("store/objects/one"), 5)
    refs = Refs(attempt=attempt, objects={**objects, **two})
    assert any(stored.offset is None for stored in refs.objects.values())
    assert Refs._at_once(refs.encode()) == refs
    assert Refs.decode(refs.encode(), "refs.json") == refs
    newer = msgspec.structs.replace(refs, extra={"later": 1})
    assert Refs.decode(newer.encode(), "refs.json") == newer


class Far(MemoryStore):
    """A store where nothing is linked, which notes its reads."""

    def __init__(self) -> None:
        super().__init__("far", parallel=4)
        self.reads: list[tuple[int, int | None]] = []
        self.under_way = self.most = 0
        self._noting = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(write_once=True, verifies_uploads=False, links=False, parallel=4)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        with self._noting:
            self.reads.append((offset, length))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            return super().read(key, offset, length)
        finally:
            with self._noting:
                self.under_way -= 1


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_no_request_is_made_for_one_byte_that_should_not_be_there(
    monkeypatch: pytest.MonkeyPatch, pieces: int, extra: int
) -> None:
    monkeypatch.setattr(streaming, "PIECE", 100)
    size = pieces * 100 + extra
    store, key = Far(), Key("store/objects/x")
    store.put(key, bytes(range(200)) * 3)
    read = b"".join(bytes(chunk) for chunk in stream(store, key, size, ahead=3))
    assert read == (bytes(range(200)) * 3)[: size + 1]  # one more tells that it is longer
    assert len(store.reads) == max(-(-size // 100), 1)
    assert store.most <= 3


def test_an_object_of_one_piece_is_one_read() -> None:
    store, key = Far(), Key("store/objects/x")
    store.put(key, b"x" * 10)
    assert list(stream(store, key, 10)) == [b"x" * 10]
    assert store.reads == [(0, 11)]
    assert PIECE > 11


class Meeting(Far):
    """A store where the first reads, of as many as are expected to be under way together, wait for each other."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self._meeting = threading.Barrier(together)
        self._left = together

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(write_once=True, verifies_uploads=False, links=False, parallel=8)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        with self._noting:
            self._left -= 1
            waits = self._left >= 0
        if waits:
            self._meeting.wait(timeout=60)
        return super().read(key, offset, length)


def test_who_streams_takes_the_room_that_others_left_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PIECE", 100)
    key, spare = Key("store/objects/x"), Spare()
    spare.give(3)
    for _ in range(2):
        store = Meeting(2 + 3)
        store.put(key, b"x" * 5_000)
        pieces = stream(store, key, 5_000, ahead=2, spare=spare)
        assert next(pieces) == b"x" * 100
        assert len(b"".join(pieces)) == 4_900
    with spare.lent() as one_more:
        assert [one_more() for _ in range(4)] == [True, True, True, False]
