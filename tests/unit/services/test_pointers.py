from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from tests.builders.worlds import World, published
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import Call, GatedStore, Noting
from tests.fakes.store import ModelStore

from sealrun.domain.address import AttemptId, Digest, Key, RunId, generation_key, pointer_log, pointer_projection
from sealrun.domain.errors import IntegrityError, NotFoundError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Generation, PointerName, Target
from sealrun.services.index.pointers import Looked, Pointers

T = TypeVar("T")
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


class Counted(ModelStore):
    """A store that remembers what was read."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.reads: list[str] = []

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        self.reads.append(key)
        return super().read(key, offset, length)


def target(number: int) -> Target:
    return Target(
        experiment="train",
        run_id=RunId(f"2026010{number}T000000Z-r"),
        attempt=AttemptId(f"2026010{number}T000000Z-0123456789abcdef"),
        root_sha256=Digest("ab" * 32),
        finished_at=f"2026-01-0{number}T00:00:00Z",
    )


def test_a_mover_that_goes_on_does_not_read_its_own_last_move_again() -> None:
    clock = FakeClock()
    store = Counted(lambda: clock.now().timestamp())
    mover = Pointers(store, clock, FakeEntropy(7), by="ann")
    for number in (1, 2, 3):
        mover.advance(BEST, target(number), "on")
    assert store.reads == []
    assert [found.target for found in mover.history(BEST)] == [target(3), target(2), target(1)]


def test_a_mover_sees_what_others_moved_and_a_log_that_was_made_anew() -> None:
    clock = FakeClock()
    store = Counted(lambda: clock.now().timestamp())
    mover, other = (Pointers(store, clock, FakeEntropy(seed), by=str(seed)) for seed in (7, 8))
    mover.advance(BEST, target(1), "first")
    other.advance(BEST, target(3), "meanwhile")
    assert mover.advance(BEST, target(2), "too late") is None
    clock.sleep(10)
    anew = Counted(lambda: clock.now().timestamp())
    for number in (1, 2):
        Pointers(anew, clock, FakeEntropy(9), by="anew").advance(BEST, target(number), "anew")
    store.bodies, store.modified, store.history = anew.bodies, anew.modified, anew.history
    moved = mover.advance(BEST, target(4), "on")
    assert moved is not None
    assert moved.previous_sha256 == sha256(anew.bodies[generation_key(pointer_log("train", "best"), 2)])


def test_only_the_last_generation_is_the_newest() -> None:
    world = World()
    moved(world, 2)
    second, first = pointers(world).history(BEST)
    assert pointers(world).is_newest(BEST, second)
    assert not pointers(world).is_newest(BEST, first)


# ---------------------------------------------------------------- who looked before


def counted(gate: Noting) -> Counter[str]:
    return Counter(call.op for call in gate.calls)


def a_far_pointer_and_three_runs() -> tuple[World, list[Target]]:
    world = World(links=False)
    refs = moved(world, 3)
    return world, [world.target(ref) for ref in refs]


def test_who_has_looked_moves_without_another_look() -> None:
    world, (_, _, third) = a_far_pointer_and_three_runs()
    gate = Noting()
    mover = Pointers(GatedStore(world.store, gate), world.clock, FakeEntropy(3), by="ann")
    looked, later = mover.look(BEST), msgspec.structs.replace(third, finished_at="2026-02-01T00:00:00Z")
    assert (counted(gate)["list"], counted(gate)["read"]) == (1, 1)
    gate.calls.clear()
    assert mover.advance(BEST, later, "on", looked) is not None
    assert counted(gate) == {"create": 1, "replace": 1, "list": 1}


def test_a_move_by_somebody_else_since_the_look_counts() -> None:
    world, (first, _, third) = a_far_pointer_and_three_runs()
    ours, theirs = pointers(world), pointers(world)
    looked = ours.look(BEST)
    later = msgspec.structs.replace(third, finished_at="2026-03-01T00:00:00Z")
    theirs.advance(BEST, later, "theirs")
    assert (
        ours.advance(BEST, msgspec.structs.replace(third, finished_at="2026-02-01T00:00:00Z"), "late", looked) is None
    )
    assert ours.advance(BEST, first, "later still", looked) is None
    latest = ours.advance(BEST, msgspec.structs.replace(third, finished_at="2026-04-01T00:00:00Z"), "on", looked)
    assert latest is not None
    assert [found.why for found in ours.history(BEST)] == ["on", "theirs", "move 2", "move 1", "move 0"]
    shown = world.store.bodies[pointer_projection("train", "best")]
    assert Generation.decode(shown, "best.json") == latest


def test_nobody_looks_while_another_thread_moves() -> None:
    world, (_, _, third) = a_far_pointer_and_three_runs()
    looked: list[Looked | None] = []

    def beside(call: Call, act: Callable[[], T]) -> T:
        if call.op == "create":
            looked.append(mover.look(BEST))
        return act()

    mover = Pointers(GatedStore(world.store, beside), world.clock, FakeEntropy(3), by="ann")
    assert mover.advance(BEST, msgspec.structs.replace(third, finished_at="2026-02-01T00:00:00Z"), "on") is not None
    assert looked == [None]
    assert mover.look(BEST) is not None


def test_a_look_that_is_older_than_our_own_move_is_not_believed() -> None:
    world, (_, _, third) = a_far_pointer_and_three_runs()
    gate = Noting()
    mover = Pointers(GatedStore(world.store, gate), world.clock, FakeEntropy(3), by="ann")
    looked = mover.look(BEST)
    for month in (2, 3):
        gate.calls.clear()
        later = msgspec.structs.replace(third, finished_at=f"2026-0{month}-01T00:00:00Z")
        assert mover.advance(BEST, later, "on", looked) is not None
        assert counted(gate)["create"] == 1  # no race was lost
