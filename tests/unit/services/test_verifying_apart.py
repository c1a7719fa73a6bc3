"""A registry that is verified in portions gives the report that it gives when it is verified in one go."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.builders.worlds import EVERYTHING_PACKED, World, published, retire

from sealrun.domain.address import AttemptId, Digest, Key, pointer_log, refs_key, run_key
from sealrun.domain.records import sha256
from sealrun.domain.registry.columns import PackColumns
from sealrun.domain.registry.places import PackPlaces, Places
from sealrun.domain.registry.publication import Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.services.mending.portions import Answer, BytesPortion, Depth, Portion, cut_bytes, verify_portion
from sealrun.services.mending.rereading import Outside, Unseen
from sealrun.services.mending.verifying import Verifier
from sealrun.services.mending.verifying_apart import Engine, SpreadVerifier


def many(world: World, runs: int = 70) -> list[AttemptId]:
    """Runs of two experiments that share some bytes, one of them retired but pointed to."""
    attempts: list[AttemptId] = []
    for number in range(runs):
        body = {"own": f"own {number}".encode(), "shared": f"shared {number % 7}".encode()}
        _, done = published(world, body, name=f"run-{number:03}", finished_at=f"2026-01-01T00:00:{number % 60:02}Z")
        attempts.append(AttemptId(done.attempt))
    return attempts


def apart(world: World, depth: Depth | None = None, told: Callable[[Portion], None] = lambda _: None) -> VerifyReport:
    depth = depth or Depth()
    look = partial(verify_portion, world.reader(), depth)

    def call(portion: Portion) -> Answer:
        told(portion)
        return look(portion)

    with ThreadPoolExecutor(3) as pool:
        return SpreadVerifier(world.reader(), Engine(pool, call, 6), depth).everything()


def damage(world: World, key: str, body: bytes | None) -> None:
    if body is None:
        del world.store.bodies[Key(key)]
    else:
        world.store.bodies[Key(key)] = body


def objects_of(world: World) -> list[str]:
    return sorted(key for key in world.store.bodies if key.startswith("store/"))


def test_a_whole_registry_gives_the_same_report() -> None:
    world = World()
    many(world)
    assert apart(world) == Verifier(world.reader()).everything()
    assert apart(world).damages == ()


@pytest.mark.parametrize("outside", ["look", "skip"])
def test_a_window_of_the_bytes_gives_the_same_report(outside: Outside) -> None:
    world = World()
    many(world, 30)
    window = Window(0.3, 0.5)
    expected = Verifier(world.reader(), window=window, outside=outside).everything()
    assert apart(world, Depth(window=window, outside=outside)) == expected
    assert apart(world, Depth(read_bytes=False)) == Verifier(world.reader(), read_bytes=False).everything()


def test_every_kind_of_damage_gives_the_same_report_in_the_same_order() -> None:
    world = World()
    attempts = many(world)
    objects = objects_of(world)
    damage(world, objects[0], None)
    damage(world, objects[1], b"much too long for what it was")
    damage(world, objects[2], bytes(len(world.store.bodies[Key(objects[2])])))
    damage(world, refs_key(attempts[3]), b"{}")
    runs = sorted({key.split("/")[3] for key in world.store.bodies if key.startswith("experiments/train/runs/")})
    damage(world, run_key("train", runs[40], MANIFEST_FILE), b"{}")
    expected = Verifier(world.reader()).everything()
    assert {found.kind for found in expected.damages} == {"missing", "size", "bytes", "seal"}
    assert apart(world) == expected


def test_damage_of_records_alone_comes_in_the_same_order() -> None:
    world = World()
    attempts = many(world)
    for number in (3, 60, 33):
        damage(world, refs_key(attempts[number]), b"{}")
    newest = next(key for key in sorted(world.store.bodies) if key.startswith(pointer_log("train", "latest")))
    damage(world, newest, b"{}")
    expected = Verifier(world.reader()).everything()
    assert [found.kind for found in expected.damages].count("seal") == 3
    assert apart(world) == expected


def test_a_retired_run_that_only_a_pointer_keeps_is_verified_once() -> None:
    world = World()
    many(world, 5)
    _, done = published(world, {"kept": b"by a pointer"}, name="kept", publish_names={"a": "kept", "b": "kept"})
    retire(world, done.attempt)
    expected = Verifier(world.reader()).everything()
    assert apart(world) == expected
    key = next(key for key in objects_of(world) if world.store.bodies[Key(key)] == b"by a pointer")
    damage(world, key, b"by someone else")
    assert apart(world) == Verifier(world.reader()).everything()
    assert {found.path for found in apart(world).damages} == {"kept"}


def test_no_bytes_are_handed_out_twice() -> None:
    world = World()
    many(world)
    asked: list[Stored] = []

    def note(portion: Portion) -> None:
        if isinstance(portion, BytesPortion):
            asked.extend(stored for _, stored in portion.objects)

    report = apart(world, told=note)
    assert len(asked) == len(set(asked)) == report.objects


def test_a_worker_stops_once_it_has_noted_enough_and_the_rest_is_handed_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sealrun.services.mending.portions._ENOUGH", 5)
    world = World()
    many(world)
    damage(world, objects_of(world)[0], None)
    assert apart(world) == Verifier(world.reader()).everything()


def test_bytes_are_cut_into_portions_of_bounded_size_and_packs_stay_together() -> None:
    large = [(Digest("a" * 64), Stored(Key(f"large-{number}"), 50 << 20)) for number in range(3)]
    packed = [(Digest(f"{at:064x}"), Stored(Key(f"pack-{at % 2}"), 10, at)) for at in range(10_000)]
    portions = list(cut_bytes((*packed, *large), Unseen(Window(), "look"), Depth()))
    handed = [pair for portion in portions for pair in portion.objects]
    assert len(handed) == len(set(handed))
    assert set(handed) == {*packed, *large}
    assert [len(portion.objects) for portion in portions if portion.objects[0] in packed] == [5_000, 5_000], "spans"
    assert [len(portion.objects) for portion in portions if portion.objects[0] in large] == [1, 1, 1]
    places = [(stored.key, stored.offset) for portion in portions for _, stored in portion.objects if stored.offset]
    assert places == sorted(places)


@pytest.fixture
def in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have places noted in columns from the third on, and handed out seven at a time."""
    monkeypatch.setattr("sealrun.services.mending.looking.FEW", 2)
    monkeypatch.setattr("sealrun.services.mending.rereading._LOOKED_AT_ONCE", 7)


def packed_world() -> World:
    """Two runs of many files in packs, that share most of them, and a small one that shares some."""
    world = World(packs=EVERYTHING_PACKED)
    files = {f"{number:02}": b"%d" % number * (number + 1) for number in range(40)}
    published(world, files, name="first")
    published(world, {**files, "another": b"one", "and another": b"and another"}, name="second")
    published(world, {"small": files["07"], "new": b"new"}, name="third")
    return world


def pack_of_first(world: World) -> Key:
    return max((Key(key) for key in objects_of(world)), key=lambda key: len(world.store.bodies[key]))


@pytest.mark.usefixtures("in_columns")
def test_what_is_noted_in_columns_gives_the_same_report() -> None:
    world, told = packed_world(), list[Portion]()
    report = apart(world, told=told.append)
    assert report == Verifier(world.reader()).everything()
    handed = [portion for portion in told if isinstance(portion, BytesPortion)]
    assert sum(len(pack) for portion in handed for pack in portion.packs) > 40
    members = sum(len(portion.objects) + sum(map(len, portion.packs)) for portion in handed)
    assert members == report.objects == 43, "each once"


@pytest.mark.usefixtures("in_columns")
@pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
@pytest.mark.parametrize("depth", [Depth(), Depth(window=Window(0.25, 0.5)), Depth(read_bytes=False)])
def test_damage_inside_packs_is_found_in_columns_as_it_is_one_by_one(harm: str, depth: Depth) -> None:
    world = packed_world()
    key = pack_of_first(world)
    body = bytearray(world.store.bodies[key])
    at = body.index(b"37" * 38)
    if harm == "flip":
        body[at + 3] ^= 1
    damage(world, key, None if harm == "lose" else bytes(body[: at + 5] if harm == "cut" else body))
    expected = Verifier(world.reader(), read_bytes=depth.read_bytes, window=depth.window).everything()
    assert apart(world, depth) == expected
    if depth == Depth():
        paths = {found.path for found in expected.damages}
        assert paths == {"37"} if harm == "flip" else {"37", "38", "39"} <= paths


@pytest.mark.usefixtures("in_columns")
def test_outside_of_the_window_members_are_passed_over_in_columns() -> None:
    world, told = packed_world(), list[Portion]()
    depth = Depth(window=Window(0.25, 0.5), outside="skip")
    report = apart(world, depth, told.append)
    assert report == Verifier(world.reader(), window=depth.window, outside="skip").everything()
    assert 0 < report.objects < 43


@pytest.mark.usefixtures("in_columns")
def test_a_file_whose_place_the_refs_do_not_tell_is_damage() -> None:
    world = packed_world()
    _, done = published(world, {"a": b"a", "b": b"b", "c": b"c", "d": b"d"}, name="fourth")
    key = refs_key(AttemptId(done.attempt))
    refs = Refs.decode(world.store.bodies[key], key)
    kept = {digest: stored for digest, stored in refs.objects.items() if digest != sha256(b"c")}
    damage(world, key, Refs(attempt=refs.attempt, objects=kept).encode())
    expected = Verifier(world.reader()).everything()
    assert [(found.kind, found.path) for found in expected.damages] == [("refs", "c")]
    assert apart(world) == expected


def test_members_of_long_packs_are_cut_by_number_and_by_size() -> None:
    small = PackPlaces(
        Key("small"), PackColumns(bytes(32) * 40_000, array("I", range(40_000)), array("I", [1] * 40_000))
    )
    starts = array("I", range(0, 100 << 20, 1 << 20))
    mixed = array("I", [*starts[50:], *starts[:50]])  # refs have them in order of their digests
    large = PackPlaces(Key("large"), PackColumns(bytes(32) * 100, mixed, array("I", [1 << 20] * 100)))
    unseen = Unseen(Window(), "look")
    portions = list(cut_bytes([Places({}, [small, large]), Places({}, [large])], unseen, Depth()))
    packs = [pack for portion in portions for pack in portion.packs]
    assert [len(pack) for pack in packs] == [*[4096] * 9, 40_000 - 9 * 4096, *[4] * 25]
    assert [offset for pack in packs for _, offset, _ in pack.rows()] == [*range(40_000), *starts]
    assert len(unseen.seen) == 40_100
    looked_at = list(cut_bytes([Places({}, [large])], Unseen(Window(), "look"), Depth(read_bytes=False)))
    assert [len(portion.packs[0]) for portion in looked_at] == [64, 36]


def test_a_member_is_the_same_in_columns_and_by_itself() -> None:
    unseen = Unseen(Window(), "look")
    pack = PackPlaces(Key("pack"), PackColumns(bytes(64), array("I", [5, 9]), array("Q", [4, 1])))
    pairs = [(digest, Stored(pack.key, size, offset)) for digest, offset, size in pack.rows()]
    other = (Digest("a" * 64), Stored(Key("pack"), 1))
    assert unseen.objects([pairs[0], other, other]) == [pairs[0], other]
    assert list(unseen.members(pack).rows()) == [(Digest("0" * 64), 9, 1)]
    assert unseen.objects([*pairs, other]) == []
    assert len(unseen.members(pack)) == 0


@pytest.mark.usefixtures("in_columns")
@pytest.mark.parametrize("spread", [True, False])
def test_of_a_pack_hardly_more_is_read_than_is_in_it(monkeypatch: pytest.MonkeyPatch, *, spread: bool) -> None:
    monkeypatch.setattr("sealrun.services.access.members._GAP", 100)
    world, asked = packed_world(), list[tuple[str, int]]()
    read = world.store.read

    def counting(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        body = read(key, offset, length)
        asked.append((key, len(body)))
        return body

    monkeypatch.setattr(world.store, "read", counting)
    report = apart(world) if spread else Verifier(world.reader()).everything()
    key = pack_of_first(world)
    assert report.objects == 43
    assert sum(size for each, size in asked if each == key) < len(world.store.bodies[key])
