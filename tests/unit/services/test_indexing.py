from __future__ import annotations

import pytest
from tests.builders.worlds import World, published
from tests.fakes.clock import FakeEntropy

from sealrun.domain.address import base_log, generation_key, pending_prefix
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.services.indexing import Index


def index(world: World) -> Index:
    return Index(world.store, world.clock, FakeEntropy(3), "train")


def three(world: World) -> list[str]:
    days = {"b": "2026-01-02T00:00:00Z", "c": "2026-01-03T00:00:00Z", "a": "2026-01-01T00:00:00Z"}
    for name, day in days.items():
        published(world, {"x": name.encode()}, name=name, finished_at=day)
    return ["a", "b", "c"]


def names(world: World) -> list[str]:
    return [row.name for row in index(world).rows()]


def test_rows_are_listed_oldest_first_before_and_after_a_compaction() -> None:
    world = World()
    expected = three(world)
    assert names(world) == expected
    assert index(world).compact() == 3
    assert names(world) == expected
    assert not list(world.store.list(pending_prefix("train")))


def test_rows_that_are_few_beside_the_base_stay_pending() -> None:
    world = World()
    for number in range(17):
        published(world, {"x": str(number).encode()}, name=f"r{number}")
    assert index(world).compact() == 17
    published(world, {"x": b"late"}, name="late")
    assert index(world).compact() == 0
    assert len(list(world.store.list(pending_prefix("train")))) == 1
    assert len(names(world)) == 18


def test_an_empty_index_needs_no_base() -> None:
    world = World()
    assert index(world).compact() == 0
    assert not world.store.bodies


def test_a_row_that_is_added_again_after_a_compaction_is_listed_once_and_makes_no_new_base() -> None:
    world = World()
    three(world)
    row = index(world).rows()[0]
    index(world).compact()
    index(world).add(row)
    assert names(world) == ["a", "b", "c"]
    assert index(world).compact() == 1
    assert len(list(world.store.list(base_log("train")))) == 1


def test_the_projection_is_the_newest_base() -> None:
    world = World()
    three(world)
    index(world).compact()
    published(world, {"x": b"later"}, name="later", finished_at="2026-01-09T00:00:00Z")
    index(world).compact()
    assert (
        world.store.bodies["experiments/train/manifest.jsonl"]
        == world.store.bodies[generation_key(base_log("train"), 2, ".jsonl")]
    )


def test_a_damaged_base_is_named_with_what_to_do() -> None:
    world = World()
    three(world)
    index(world).compact()
    key = generation_key(base_log("train"), 1, ".jsonl")
    world.store.damage(key, world.store.read(key)[:-20])
    with pytest.raises(UnsupportedFormatError, match="rebuild the index"):
        index(world).rows()


def test_a_stray_key_among_the_rows_is_refused_not_skipped() -> None:
    world = World()
    three(world)
    world.store.bodies["experiments/train/index/pending/notes.txt"] = b"hello"
    world.store.modified["experiments/train/index/pending/notes.txt"] = 0
    with pytest.raises(UnsupportedFormatError, match="not an index row"):
        index(world).rows()
