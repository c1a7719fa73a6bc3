from __future__ import annotations

import pytest
from tests.builders.worlds import World, published
from tests.fakes.clock import FakeEntropy

from sealrun.domain.address import generation_key, pointer_log
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.services.pointers import PointerName, Pointers

BEST = PointerName.of_experiment("train", "best")


def pointers(world: World) -> Pointers:
    return Pointers(world.store, world.clock, FakeEntropy(7), by="ann")


def moved(world: World, times: int) -> list[str]:
    refs = []
    for number in range(times):
        _, done = published(
            world, {"a": str(number).encode()}, name=f"r{number}", finished_at=f"2026-01-0{number + 1}T00:00:00Z"
        )
        pointers(world).set(BEST, world.target(done.ref), f"move {number}")
        refs.append(done.ref)
    return refs


def test_a_pointer_that_was_never_set_stands_nowhere() -> None:
    world = World()
    assert pointers(world).newest(BEST) is None
    assert list(pointers(world).history(BEST)) == []
    with pytest.raises(NotFoundError, match="train@best was never set"):
        pointers(world).at(BEST, None)


def test_history_tells_who_moved_it_when_and_why_newest_first() -> None:
    world = World()
    refs = moved(world, 3)
    told = [(found.generation, found.why, found.by) for found in pointers(world).history(BEST)]
    assert told == [(3, "move 2", "ann"), (2, "move 1", "ann"), (1, "move 0", "ann")]
    newest = pointers(world).newest(BEST)
    assert newest is not None
    assert f"train/{newest.target.run_id}" == refs[-1]


def test_moving_a_pointer_to_where_it_stands_adds_nothing() -> None:
    world = World()
    (ref,) = moved(world, 1)
    assert pointers(world).set(BEST, world.target(ref), "again") is None
    assert len(list(pointers(world).history(BEST))) == 1


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_generation_that_is_not_there_is_named_with_those_that_are(number: int) -> None:
    world = World()
    moved(world, 3)
    with pytest.raises(NotFoundError, match="it has 1 to 3"):
        pointers(world).at(BEST, number)


def test_a_missing_generation_is_damage() -> None:
    world = World()
    moved(world, 3)
    world.store.damage(generation_key(pointer_log("train", "best"), 2), None)
    with pytest.raises(IntegrityError, match="not dense"):
        list(pointers(world).history(BEST))
    world.store.damage(generation_key(pointer_log("train", "best"), 1), None)
    with pytest.raises(IntegrityError, match="generation 2 is missing"):
        list(pointers(world).history(BEST))


def test_an_altered_generation_is_damage() -> None:
    world = World()
    moved(world, 2)
    key = generation_key(pointer_log("train", "best"), 1)
    world.store.damage(key, world.store.read(key).replace(b'"by": "ann"', b'"by": "eve"'))
    with pytest.raises(IntegrityError, match="made after another one"):
        list(pointers(world).history(BEST))


def test_latest_moves_by_finish_time_and_then_by_run_id() -> None:
    world = World()
    for name, finished_at in (
        ("a", "2026-01-02T00:00:00Z"),
        ("b", "2026-01-03T00:00:00Z"),
        ("c", "2026-01-01T00:00:00Z"),
    ):
        published(world, {"a": name.encode()}, name=name, finished_at=finished_at)
    assert "-b-" in world.target("train@latest").run_id
    assert len(world.reader().history("train", "latest")) == 2


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden"])
def test_a_name_that_cannot_be_part_of_a_key_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        PointerName.of_experiment("train", name)
