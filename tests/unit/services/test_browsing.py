from __future__ import annotations

import io

import msgspec
import pytest
from tests.builders.packs import packed_world
from tests.builders.worlds import World, published, retire

from sealrun.domain.address import OBJECTS, PACKS, Key, refs_key
from sealrun.domain.errors import ConflictError, DigestMismatchError, IntegrityError, UnavailableError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.ports import Store
from sealrun.services.access.browsing import WHOLE, Browser, OpenRun, Part
from sealrun.services.access.opened import OpenFile

_BIG = bytes(range(256)) * (WHOLE // 256) + b"and more"


class Kept:
    """`ports.FileCache` in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def find(self, digest: str, size: int, offset: int, length: int) -> bytes | None:
        body = self.files.get(digest)
        return body[offset : offset + length] if body is not None and len(body) == size else None

    def keep(self, digest: str, body: bytes) -> None:
        self.files[digest] = body


class Vast:
    """A store in which one object is far larger than anything that a test could hold: each MiB is its own number."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def read(self, _key: Key, offset: int = 0, length: int | None = None) -> bytes:
        assert length is not None
        self.asked.append((offset, length))
        first, last = offset >> 20, (offset + length - 1) >> 20
        body = b"".join(number.to_bytes(8, "big") * (1 << 17) for number in range(first, last + 1))
        return body[offset - (first << 20) :][:length]


def opened(world: World, cache: Kept | None = None) -> OpenRun:
    browser = Browser(world.reader(), cache)
    return browser.open(browser.resolve("train@latest"))


def part(run: OpenRun, path: str, offset: int = 0, length: int | None = None) -> Part:
    node = run.tree.find(path)
    assert node is not None
    assert node.entry is not None
    return Part(node.entry, offset, node.entry.size - offset if length is None else length)


def objects(world: World) -> list[Key]:
    return [Key(key) for key in world.store.bodies if key.startswith((OBJECTS, PACKS))]


def test_a_run_is_loaded_once_however_often_it_is_opened() -> None:
    world = World()
    published(world)
    browser = Browser(world.reader())
    first = browser.open(browser.resolve("train@latest"))
    assert browser.open(browser.resolve(first.view.ref)) is first


def test_a_run_whose_bytes_were_moved_is_read_on() -> None:
    world = World(links=False)
    files = {"big": _BIG, "small": b"small"}
    run, before = published(world, files)
    browser = Browser(world.reader())
    held = browser.open(browser.resolve("train@latest"))
    retire(world, before.attempt)  # as repairing does, once a new attempt has sealed the run again
    world.machine("m1").deliveries.clear()
    for key in objects(world):
        del world.store.bodies[key]
    published(world, files, machine="m2")
    assert held.read(part(held, "small")) == b"small"
    assert held.read(part(held, "big", 5, 9)) == _BIG[5:14]
    again = opened(world)
    assert b"".join(bytes(chunk) for chunk in again.chunks(part(again, "big").entry)) == _BIG
    assert run.envelope().run_id == held.view.target.run_id


def test_a_run_that_was_retired_and_collected_is_told_from_a_missing_file() -> None:
    world = World(links=False)
    _, done = published(world, {"big": _BIG})
    held = opened(world)
    retire(world, done.attempt)
    for key in objects(world):
        del world.store.bodies[key]
    for read in (lambda: held.read(part(held, "big", 1, 2)), lambda: list(held.chunks(part(held, "big").entry))):
        with pytest.raises(ConflictError, match="went away"):
            read()
    (answer,) = held.read_many([part(held, "big", 1, 2)])
    assert isinstance(answer, ConflictError)


def test_bytes_that_are_gone_from_a_run_that_stands_are_damage() -> None:
    world = World(links=False)
    published(world, {"big": _BIG})
    held = opened(world)
    for key in objects(world):
        del world.store.bodies[key]
    with pytest.raises(IntegrityError, match="gone"):
        held.read(part(held, "big", 1, 2))


def test_a_run_whose_records_went_away_is_told_from_one_that_never_was() -> None:
    world = World()
    _, done = published(world)
    browser = Browser(world.reader())
    target = browser.resolve("train@latest")
    del world.store.bodies[refs_key(target.attempt)]
    retire(world, done.attempt)
    with pytest.raises(ConflictError, match="went away"):
        browser.open(target)


@pytest.mark.parametrize("size", [5, len(_BIG)])
def test_whole_files_are_verified_and_kept_when_they_come_from_afar(size: int) -> None:
    body = _BIG[:size]
    world = World(links=False)
    published(world, {"file": body})
    cache = Kept()
    run = opened(world, cache)
    assert run.read(part(run, "file")) == body
    assert list(cache.files.values()) == [body]
    (key,) = objects(world)
    del world.store.bodies[key]
    assert run.read(part(run, "file", 1, 3)) == body[1:4]
    cache.files[part(run, "file").entry.sha256] = bytes(len(body))
    with pytest.raises(IntegrityError, match="gone"):
        run.read(part(run, "file"))  # what is kept is verified, too


def test_nothing_is_kept_of_a_registry_on_this_machine() -> None:
    world = World(links=True)
    published(world, {"file": b"body"})
    cache = Kept()
    run = opened(world, cache)
    assert run.read(part(run, "file")) == b"body"
    assert cache.files == {}


def test_damage_is_told_of_whole_files_and_of_small_ones_whatever_part_is_read() -> None:
    world = World(links=False)
    published(world, {"big": _BIG, "small": b"small"})
    for key in objects(world):
        body = world.store.bodies[key]
        world.store.damage(key, body[:-1] + bytes([body[-1] ^ 1]))
    run = opened(world)
    assert run.read(part(run, "big", 0, 9)) == _BIG[:9]
    for damaged in (part(run, "big"), part(run, "small", 0, 1)):
        with pytest.raises(DigestMismatchError, match="verify"):
            run.read(damaged)
    with pytest.raises(DigestMismatchError):
        list(run.chunks(part(run, "big").entry))
    good, bad = run.read_many([part(run, "big", 3, 4), part(run, "small", 0, 1)])
    assert good == _BIG[3:7]
    assert isinstance(bad, DigestMismatchError)


def test_an_object_that_ends_early_is_damage_wherever_it_is_read() -> None:
    world = World(links=False)
    published(world, {"big": _BIG})
    (key,) = objects(world)
    world.store.damage(key, _BIG[:1000])
    run = opened(world)
    for reading in (part(run, "big", 990, 20), part(run, "big")):
        with pytest.raises(DigestMismatchError):
            run.read(reading)


def test_members_of_packs_are_read_and_verified_together() -> None:
    world = packed_world()
    files = {f"f{at:02}": bytes([at]) * (at + 1) for at in range(40)}
    published(world, files)
    run = opened(world, Kept())
    parts = [part(run, name) for name in files]
    assert run.read_many([*parts, part(run, "f09", 2, 3)]) == [*files.values(), b"\x09" * 3]
    (pack,) = objects(world)
    body = bytearray(world.store.bodies[pack])
    at = world.reader().stored(run.view, part(run, "f07").entry).offset
    assert at is not None
    body[at] ^= 1
    world.store.damage(pack, bytes(body))
    answers = opened(world).read_many(parts)
    wrong = [name for name, answer in zip(files, answers, strict=True) if not isinstance(answer, bytes)]
    assert wrong == ["f07"]


def test_an_outage_is_the_answer_of_every_part() -> None:
    world = World(links=False)
    published(world, {"a": b"1", "b": b"2"})
    run = opened(world)

    def away(*_: object) -> bytes:
        raise UnavailableError("the store is away")

    run._store.read = away  # type: ignore[assignment, method-assign] # what an outage looks like
    assert [type(answer) for answer in run.read_many([part(run, "a"), part(run, "b")])] == [UnavailableError] * 2


def test_parts_of_a_table_of_fifty_gib_cost_those_parts() -> None:
    world = World(links=False)
    published(world)
    vast = Vast(world)
    store: Store = vast  # type: ignore[assignment] # a store but for what it reads
    browser = Browser(world.reader(store))
    size, digest = 50 << 30, sha256(b"whatever it may be")
    entry = Entry("table", size, digest)
    held = opened(world).view
    stored = {digest: Stored(Key(f"{OBJECTS}some"), size)}
    run = OpenRun(browser, msgspec.structs.replace(held, manifest=Manifest.build([entry]), objects=stored))
    file = OpenFile(
        "table", size, digest, lambda at, length: run.read(Part(entry, at, length)), lambda: AssertionError("damaged")
    )
    file.seek(-8, io.SEEK_END)
    assert file.read(8) == ((50 << 10) - 1).to_bytes(8, "big")
    for mib in (7, 40_000, 23_456):  # row groups, read column by column
        file.seek(mib << 20)
        assert file.read(3 << 20) == b"".join((mib + at).to_bytes(8, "big") * (1 << 17) for at in range(3))
    answers = run.read_many([Part(entry, mib << 20, 8) for mib in range(100, 50_000, 1000)])
    assert answers == [mib.to_bytes(8, "big") for mib in range(100, 50_000, 1000)]
    assert sum(length for _, length in vast.asked) < (9 << 20) + (1 << 20)
