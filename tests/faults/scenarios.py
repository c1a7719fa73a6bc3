"""The work that is hurt: one class per kind of protocol step."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from tests.builders.runs import Sources, a_run
from tests.builders.worlds import REGISTRY_ID, World
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import CrashError, Mode, Wire
from tests.invariants import Expected

from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.upkeep.retention import Policy
from sealrun.ports import Store
from sealrun.services.keeping.retiring import RetiredRun, Retirer
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.storage.standing import find_standing

_SELF_NAMED = "20260117T143052Z-fit-abc123"


class Planned(msgspec.Struct, frozen=True):
    """A run of a scenario, and the id under which it must end up."""

    run: SealedRun
    sources: Sources
    expected: Expected


def planned(files: dict[str, bytes], *, ends_as: str | None = None, **facts: object) -> Planned:
    run, sources = a_run(files, **facts)  # type: ignore[arg-type] # the facts of `a_run`
    envelope = run.envelope()
    return Planned(run, sources, Expected(envelope.experiment, ends_as or envelope.run_id, files))


OLD = planned({"a.txt": b"alpha", "b.txt": b"beta"}, name="old", finished_at="2026-01-16T10:00:00Z")
NEW = planned(
    {"a.txt": b"alpha", "d/c.txt": b"gamma", "d/e.txt": b"gamma"}, name="new", finished_at="2026-01-17T10:00:00Z"
)


def _publish(world: World, machine: str, what: Planned, store: Store | None = None, *, ahead: bool = False) -> None:
    world.machine(machine).publish(what.run, what.sources, store, ahead=ahead)


class _Base:
    runs: ClassVar[list[Planned]] = []
    pointers: ClassVar[dict[str, str]] = {}

    def prepare(self, world: World) -> None:
        """Nothing happened before."""

    def finish(self, world: World) -> None:
        """Nothing happens afterwards."""

    def expect(self, _world: World, /) -> tuple[list[Expected], dict[str, str]]:
        return [planned.expected for planned in self.runs], dict(self.pointers)


class FirstPublish(_Base):
    """A registry's first run, with two files of the same bytes."""

    runs: ClassVar = [NEW]

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m1", NEW, store)


class SmallPublish(_Base):
    """The smallest run there is, for pairs of faults."""

    ONLY: ClassVar = planned({"a": b"1"}, publish_names={"a": "a"})
    runs: ClassVar = [ONLY]

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m1", self.ONLY, store)


class SharedBytes(_Base):
    """A second run of the same machine references bytes of the first."""

    runs: ClassVar = [OLD, NEW]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m1", NEW, store)


class LateOldRun(_Base):
    """A run that finished earlier is published later: ``latest`` stays."""

    runs: ClassVar = [OLD, NEW]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", NEW)

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m2", OLD, store)


class SameRunAgain(_Base):
    """Another machine publishes the same run once more."""

    runs: ClassVar = [OLD]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m2", OLD, store)


class TakenName(_Base):
    """A run names itself as another run did: it becomes a revision."""

    FIRST: ClassVar = planned({"a": b"one"}, run_id=_SELF_NAMED)
    SECOND: ClassVar = planned({"a": b"two"}, run_id=_SELF_NAMED, ends_as=f"{_SELF_NAMED}.r2")
    runs: ClassVar = [FIRST, SECOND]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", self.FIRST)

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m2", self.SECOND, store)


class PublishedNames(_Base):
    """A published name moves on to a newer run's file."""

    NAMES: ClassVar = {"m.json": "metrics.json", "absent": "never.bin"}
    FIRST: ClassVar = planned({"m.json": b"{}"}, name="one", finished_at="2026-01-16T10:00:00Z", publish_names=NAMES)
    SECOND: ClassVar = planned({"m.json": b"[]"}, name="two", finished_at="2026-01-17T10:00:00Z", publish_names=NAMES)
    runs: ClassVar = [FIRST, SECOND]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", self.FIRST)

    def act(self, world: World, store: Store) -> None:
        _publish(world, "m1", self.SECOND, store)

    def expect(self, world: World, /) -> tuple[list[Expected], dict[str, str]]:
        expected, _ = super().expect(world)
        return expected, {"metrics.json": f"train/{self.SECOND.expected.run_id}"}


class PointerSet(_Base):
    """A person moves a pointer."""

    runs: ClassVar = [OLD, NEW]
    pointers: ClassVar = {"train@best": f"train/{OLD.expected.run_id}"}

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)
        _publish(world, "m1", NEW)

    def act(self, world: World, store: Store) -> None:
        world.machine("m2").move(f"train/{OLD.expected.run_id}", "best", store)


class PointerRollback(PointerSet):
    """A person takes a pointer back to its first generation."""

    def prepare(self, world: World) -> None:
        super().prepare(world)
        for what in (OLD, NEW):
            world.machine("m1").move(f"train/{what.expected.run_id}", "best")

    def act(self, world: World, store: Store) -> None:
        mover = world.machine("m2").mover(store)
        mover.execute(mover.plan_rollback("train", "best", 1, "the new one is worse"))


class Compaction(_Base):
    """Pending rows are folded into a base that is there already."""

    runs: ClassVar = [OLD, NEW]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)
        world.machine("m1").compact()
        _publish(world, "m1", NEW)

    def act(self, world: World, store: Store) -> None:
        world.machine("m2").compact(store=store)


class StrangerVoids(_Base):
    """An attempt fell silent while it uploaded; a stranger voids it, and its owner comes back."""

    runs: ClassVar = [NEW]

    def prepare(self, world: World) -> None:
        world.machine("m1").begin_attempt(NEW.run, NEW.sources)

    def act(self, world: World, store: Store) -> None:
        world.machine("m2").recover(store, dead_after_s=-1)

    def finish(self, world: World) -> None:
        _publish(world, "m1", NEW)


class StrangerReplays(_Base):
    """An attempt was sealed and its process died; a stranger announces it."""

    runs: ClassVar = [SmallPublish.ONLY]

    def prepare(self, world: World) -> None:
        kill_before(world, "m1", SmallPublish.ONLY, lambda call: "/seals/" in call.key and call.writes)

    def act(self, world: World, store: Store) -> None:
        world.machine("m2").recover(store)


class Retiring(_Base):
    """A policy retires a run whose row is in the base, and another whose row is pending; the index is compacted."""

    BETWEEN: ClassVar = planned({"a.txt": b"alpha", "z": b"zeta"}, name="between", finished_at="2026-01-16T11:00:00Z")
    runs: ClassVar = [NEW]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)
        world.machine("m1").compact()
        _publish(world, "m1", self.BETWEEN)
        _publish(world, "m1", NEW)

    def act(self, world: World, store: Store) -> None:
        retire_by(world, Policy(keep_last=1), store)
        world.machine("m2").compact(store=store)

    def finish(self, world: World) -> None:
        world.machine("m2").compact()
        for what in (OLD, self.BETWEEN):
            assert find_standing(world.store, "train", what.expected.run_id) is None
        left = [row.run_id for row in world.reader().rows("train")]
        assert left == [NEW.expected.run_id], f"listed after the retirement: {left}"


class Undoing(_Base):
    """A retirement is undone: the same run is sealed again, by reference."""

    runs: ClassVar = [OLD, NEW]

    def prepare(self, world: World) -> None:
        _publish(world, "m1", OLD)
        _publish(world, "m1", NEW)
        retire_by(world, Policy(keep_last=1))
        assert find_standing(world.store, "train", OLD.expected.run_id) is None

    def act(self, world: World, store: Store) -> None:
        undoer = Undoer(store, REGISTRY_ID, None, world.clock, world.machine("m2").entropy, "m2")
        undoer.execute(undoer.plan("train", OLD.expected.run_id))


def retire_by(world: World, policy: Policy, store: Store | None = None) -> tuple[RetiredRun, ...]:
    """Let a machine apply a policy, in a new process."""
    retirer = Retirer(store or world.store, world.clock, world.machine("m2").entropy, "m2", "ann@m2")
    return retirer.execute(retirer.plan_policy("train", policy))


def kill_before(world: World, machine: str, what: Planned, moment: object, *, ahead: bool = False) -> None:
    """Let a publisher die before the first call that `moment` tells; it sends everything `ahead`."""
    assert callable(moment)
    trial = World(packs=world.packs)
    wire = Wire({})
    _publish(trial, machine, what, GatedStore(trial.store, wire), ahead=ahead)
    at = next(number for number, call in enumerate(wire.calls) if moment(call))
    try:
        _publish(world, machine, what, GatedStore(world.store, Wire({at: Mode.CRASH})), ahead=ahead)
    except CrashError:
        return
    raise AssertionError("it did not die")


ALL = [
    FirstPublish,
    SharedBytes,
    LateOldRun,
    SameRunAgain,
    TakenName,
    PublishedNames,
    PointerSet,
    PointerRollback,
    Compaction,
    StrangerVoids,
    StrangerReplays,
    Retiring,
    Undoing,
]

__all__ = ["ALL", "Call", "SmallPublish"]
