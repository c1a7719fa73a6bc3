"""What a collection's first look sees while others write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.builders.worlds import World, published
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import Call, GatedStore

from sealrun.domain.address import base_log
from sealrun.domain.errors import NotFoundError
from sealrun.services.collection.first_look import look_first
from sealrun.services.index.indexing import Index
from sealrun.services.storage.overview import Overview

T = TypeVar("T")
NOW = "2026-01-17T15:00:00Z"


def indexed(world: World, name: str) -> str:
    """Publish a run and fold its row into a base of its own."""
    _, done = published(world, {name: name.encode()}, name=name)
    assert Index(world.store, world.clock, FakeEntropy(1), "train").compact() > 0
    return done.attempt


def bases(world: World) -> list[str]:
    return sorted(key for key in world.store.bodies if key.startswith(base_log("train")))


def test_a_base_that_was_cleared_away_since_it_was_listed_is_not_missed() -> None:
    world = World(links=False)
    attempts = [indexed(world, "one")]
    (old,) = bases(world)

    def compacted_meanwhile(call: Call, act: Callable[[], T]) -> T:
        if call == Call("read", old) and len(attempts) == 1:
            attempts.append(indexed(world, "two"))
            world.store.damage(old, None)
        return act()

    seen = look_first(Overview(GatedStore(world.store, compacted_meanwhile)), NOW, width=1)
    assert sorted(seen.indexed) == sorted(attempts)
    assert [[stat.key for stat in some] for some in seen.bases] == [bases(world)]
    assert len(bases(world)) == 1


def test_a_base_that_is_listed_and_never_there_is_an_error() -> None:
    world = World(links=False)
    indexed(world, "one")
    (base,) = bases(world)

    def gone(call: Call, act: Callable[[], T]) -> T:
        if call == Call("read", base):
            raise NotFoundError(f"{base} cannot be read")
        return act()

    with pytest.raises(NotFoundError, match="cannot be read"):
        look_first(Overview(GatedStore(world.store, gone)), NOW, width=1)
