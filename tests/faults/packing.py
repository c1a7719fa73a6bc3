"""Small files are packed while everything is hurt."""

from __future__ import annotations

from typing import ClassVar

from tests.builders.worlds import EVERYTHING_PACKED, World, staged_pack
from tests.fakes.gated import GatedStore
from tests.faults import scenarios
from tests.faults.collecting import Collecting
from tests.faults.lives import CrashError, Mode, Wire
from tests.faults.scenarios import Planned, planned
from tests.invariants import Expected

from sealrun.domain.registry.packing import PackOptions
from sealrun.ports import StagedPack, Store

_FEW_BYTES = PackOptions(below=100, size=500, least=2)
_MANY = planned(
    {
        "alone.bin": b"L" * 150,
        "d/a": b"A" * 90,
        "d/again": b"A" * 90,
        "d/b": b"B" * 80,
        "e/empty": b"",
        "named": b"N" * 10,
        "z": b"Z",
    },
    name="many",
    finished_at="2026-01-17T10:00:00Z",
    publish_names={"named": "the-name"},
)
_BASE = planned({"x": b"B" * 80, "y": b"Z", "w": b"not in the other"}, name="base", finished_at="2026-01-16T10:00:00Z")


class SmallPacked(scenarios.SmallPublish):
    """The smallest run there is, in a pack, for pairs of faults."""

    PACKS: ClassVar = EVERYTHING_PACKED
    ONLY: ClassVar = planned({"a": b"1"})
    runs: ClassVar = [ONLY]


class PackedFirst(scenarios.FirstPublish):
    """Two packs, and files that stay alone: a large one, and one that is published under a name."""

    PACKS: ClassVar = _FEW_BYTES
    runs: ClassVar = [_MANY]

    def act(self, world: World, store: Store) -> None:
        world.machine("m1").publish(_MANY.run, _MANY.sources, store)


class PackedShared(PackedFirst):
    """Some members are referenced in a pack of an earlier run, others packed anew."""

    runs: ClassVar = [_BASE, _MANY]

    def prepare(self, world: World) -> None:
        world.machine("m1").publish(_BASE.run, _BASE.sources)


class StagedPacks(PackedFirst):
    """The packs were made while the files were hashed, in the store's own stage; only the first life has them."""

    STAGES: ClassVar = True
    ASIDE: ClassVar = ("alone.bin", "named")

    def __init__(self) -> None:
        self._staged: list[StagedPack] | None = None

    def act(self, world: World, store: Store) -> None:
        staged: list[StagedPack] = []
        if self._staged is None:
            staged = self._staged = [staged_pack(world, _MANY.run, _MANY.sources, without=self.ASIDE)]
        world.machine("m1").publish(_MANY.run, _MANY.sources, store, staged)


class StagedAgain(StagedPacks):
    """The same with a process that lives on: what waits in its stage waits there for every try."""

    def act(self, world: World, store: Store) -> None:
        if self._staged is None:
            self._staged = [staged_pack(world, _MANY.run, _MANY.sources, without=self.ASIDE)]
        world.machine("m1").publish(_MANY.run, _MANY.sources, store, self._staged)


class StagedAndShared(StagedPacks):
    """Half of what is staged is there already."""

    runs: ClassVar = [_BASE, _MANY]

    def prepare(self, world: World) -> None:
        world.machine("m1").publish(_BASE.run, _BASE.sources)


class HintsSinceDeath(PackedFirst):
    """Between its lives the machine learns of packs that the intent of its first life does not name."""

    runs: ClassVar = [_BASE, _MANY]

    def prepare(self, world: World) -> None:
        world.machine("m2").publish(_BASE.run, _BASE.sources)

    def act(self, world: World, store: Store) -> None:
        try:
            super().act(world, store)
        finally:
            world.machine("m1").hints.known = {
                registry: dict(known) for registry, known in world.machine("m2").hints.known.items()
            }


class PackedStrangerVoids(scenarios.StrangerVoids):
    """An attempt died after it had stored its packs; a stranger voids it, and its owner comes back."""

    PACKS: ClassVar = EVERYTHING_PACKED

    def prepare(self, world: World) -> None:
        die_after_uploads(world, scenarios.NEW)


class PackedUndoing(scenarios.Undoing):
    """A retirement is undone by reference to members of a pack."""

    PACKS: ClassVar = EVERYTHING_PACKED


class PackedNames(scenarios.PublishedNames):
    """A published name moves on to a file that lies in a pack: it came from a run that did not publish it."""

    PACKS: ClassVar = EVERYTHING_PACKED

    def prepare(self, world: World) -> None:
        super().prepare(world)
        other = planned({"x": b"[]"}, name="other", finished_at="2026-01-16T11:00:00Z")
        world.machine("m1").publish(other.run, other.sources)
        self._other = other.expected

    def expect(self, world: World, /) -> tuple[list[Expected], dict[str, str]]:
        expected, pointers = super().expect(world)
        return [*expected, self._other], pointers


class PackedPointerSet(scenarios.PointerSet):
    """A person moves a pointer to a run that lies in a pack."""

    PACKS: ClassVar = EVERYTHING_PACKED


class PackedCollecting(Collecting):
    """What is collected, and what is kept, lies in packs."""

    PACKS: ClassVar = EVERYTHING_PACKED


def die_after_uploads(world: World, what: Planned) -> None:
    """Let a publisher die when its bytes are stored and nothing speaks of them."""
    calls = Wire({})
    trial = World(packs=world.packs)
    trial.machine("m1").publish(what.run, what.sources, GatedStore(trial.store, calls))
    last = max(number for number, call in enumerate(calls.calls) if call.op == "put_many")
    try:
        world.machine("m1").publish(what.run, what.sources, GatedStore(world.store, Wire({last: Mode.CRASH_AFTER})))
    except CrashError:
        return
    raise AssertionError("it did not die")


PACKED = [
    PackedFirst,
    PackedShared,
    StagedPacks,
    StagedAgain,
    StagedAndShared,
    HintsSinceDeath,
    PackedStrangerVoids,
    PackedUndoing,
    PackedNames,
    PackedPointerSet,
    PackedCollecting,
]
