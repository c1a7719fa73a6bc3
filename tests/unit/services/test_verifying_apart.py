"""A registry that is verified in portions gives the report that it gives when it is verified in one go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.builders.worlds import World, published, retire

from sealrun.domain.address import AttemptId, Digest, Key, pointer_log, refs_key, run_key
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.services.mending.portions import Answer, BytesPortion, Depth, Portion, cut_bytes, verify_portion
from sealrun.services.mending.rereading import Outside
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
    portions = list(cut_bytes((*packed, *large), lambda *_: True))
    handed = [pair for portion in portions for pair in portion.objects]
    assert len(handed) == len(set(handed))
    assert set(handed) == {*packed, *large}
    assert all(len(portion.objects) <= 4096 for portion in portions)
    assert all(sum(stored.size for _, stored in portion.objects) <= 64 << 20 for portion in portions)
    places = [(stored.key, stored.offset or 0) for portion in portions for _, stored in portion.objects]
    assert places == sorted(places)
