"""Moving published names by a person's word: after a crash, beside others, and with the copy in latest/."""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.builders.worlds import World, intents, published
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import GatedStore
from tests.faults.lives import _ONLY_WRITES, CrashError, Mode, Wire

from sealrun.domain.curation.artifacts import section_of
from sealrun.domain.errors import ConflictError, SealrunError
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Store
from sealrun.services.index.pointers import Pointers
from sealrun.services.keeping.naming import Names, newest_of_section, standing_names


def a_world() -> tuple[World, Published, Published]:
    world = World()
    _, first = published(world, {"a": b"one"}, name="one")
    _, second = published(world, {"a": b"two"}, name="two")
    return world, first, second


def names(world: World, store: Store | None = None) -> Names:
    return Names(store or world.store, world.clock, FakeEntropy(7), "m1", "me")


def shown(world: World) -> bytes | None:
    return world.store.bodies.get("latest/x")


def test_a_name_moves_back_and_forth_and_its_copy_with_it() -> None:
    world, first, second = a_world()
    for after, (done, body) in enumerate([(first, b"one"), (second, b"two"), (first, b"one")]):
        names(world).move("x", done, "a", after)
        assert shown(world) == body
        assert world.target("x").run_id == done.run_id
    assert not intents(world.store)


def test_a_move_that_was_made_is_not_made_again_over_a_later_one() -> None:
    world, first, second = a_world()
    names(world).move("x", first, "a", 0)
    names(world).move("x", second, "a", 1)
    names(world).move("x", first, "a", 0)  # the same call once more: it was done when the other came
    assert world.target("x").run_id == second.run_id


def test_a_claim_is_refused_once_the_name_stands_on_other_content() -> None:
    world, first, second = a_world()
    names(world).claim("x", first, "a")
    with pytest.raises(ConflictError, match="is not to be overwritten"):
        names(world).claim("x", second, "a")
    names(world).claim("x", first, "a")
    assert shown(world) == b"one"
    assert not intents(world.store)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_claim_that_is_cut_anywhere_is_finished_by_repeating_it(mode: Mode) -> None:
    world, first, _ = a_world()
    whole = Wire({})
    names(world, GatedStore(world.store, whole)).claim("x", first, "a")
    for at, call in enumerate(whole.calls):
        if mode in _ONLY_WRITES and not call.writes:
            continue
        world, first, second = a_world()
        wire = Wire({at: mode})
        with suppress(SealrunError, CrashError):
            names(world, GatedStore(world.store, wire)).claim("x", first, "a")
        for late in wire.late:
            late.act()
        for machine in ("m1", "m2"):
            world.machine(machine).recover()
        names(world).claim("x", first, "a")
        with pytest.raises(ConflictError):
            names(world).claim("x", second, "a")
        assert shown(world) == b"one", (at, call)


def test_names_are_listed_with_what_they_stand_on() -> None:
    world, first, second = a_world()
    names(world).move("x", first, "a", 0)
    names(world).move("b", second, "a", 0)
    reader = world.reader()
    pointers = Pointers(world.store, world.clock, FakeEntropy(), "reader")
    listed = standing_names(reader, pointers)
    assert [(generation.pointer, view.ref) for generation, view in listed] == [("b", second.ref), ("x", first.ref)]
    assert newest_of_section(reader, pointers, "x", "2.3") is None
    assert section_of(listed[0][1].envelope.tags) is None
