"""The keeper that is hurt while it repacks: it collects, then seals runs again without packs that are mostly dead."""

from __future__ import annotations

from typing import ClassVar

from tests.builders.sparse import bodies, keep, packs, publish_packed
from tests.builders.worlds import World, retire
from tests.faults.scenarios import Planned, planned
from tests.invariants import Expected, unused_objects

from sealrun.domain.address import AttemptId, RunId
from sealrun.domain.registry.indexing import Dropped
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Store
from sealrun.services.index.indexing import Index

_TWO_DAYS_S = 2 * 24 * 3600.0


class Repacking:
    """A pack of a retired run of which two others use a part: one by ``latest``, a name and a pointer of its own."""

    GONE: ClassVar[Planned] = planned(bodies("abcdefghij"), name="gone", finished_at="2026-01-15T10:00:00Z")
    FIRST: ClassVar[Planned] = planned(bodies("abx"), name="first", finished_at="2026-01-16T10:00:00Z")
    SECOND: ClassVar[Planned] = planned(
        {**bodies("by"), "model.bin": b"m" * 99},
        name="second",
        finished_at="2026-01-17T10:00:00Z",
        publish_names={"model.bin": "model"},
    )

    def __init__(self) -> None:
        self._lives = 0
        self._sparse = ""

    def prepare(self, world: World) -> None:
        gone = _publish(world, self.GONE)
        (self._sparse,) = packs(world.store)
        first = _publish(world, self.FIRST)
        _publish(world, self.SECOND)
        world.machine("m2").move(f"train/{first.run_id}", "best")
        world.machine("m2").compact()
        retire(world, gone.attempt)
        dropped = Dropped(
            experiment="train", run_id=RunId(gone.run_id), attempt=AttemptId(gone.attempt), retired_at="", by="m2"
        )
        Index(world.store, world.clock, world.machine("m2").entropy, "train").drop(dropped)
        world.clock.advance(_TWO_DAYS_S)

    def act(self, world: World, store: Store) -> None:
        self._lives += 1
        keep(world, store, f"keeper {self._lives}")

    def finish(self, world: World) -> None:
        """Whatever was left: after the next rounds, in peace, nobody holds the pack, and nothing else is left of it."""
        for _ in range(3):
            world.clock.advance(_TWO_DAYS_S)
            world.machine("janitor").recover()
            done = keep(world, name="janitor")
            assert not [left for left in done.repacked.left if left.failed], f"stuck: {done.repacked.left}"
        assert self._sparse not in packs(world.store), "the sparse pack is still there"
        assert not list(unused_objects(world.store)), f"nobody needs {list(unused_objects(world.store))}"

    def expect(self, _world: World, /) -> tuple[list[Expected], dict[str, str]]:
        first, second = (f"train/{what.expected.run_id}" for what in (self.FIRST, self.SECOND))
        pointers = {"train@best": first, "train@latest": second, "model": second}
        return [self.FIRST.expected, self.SECOND.expected], pointers


def _publish(world: World, what: Planned) -> Published:
    envelope = what.run.envelope()
    _, published = publish_packed(
        world,
        dict(what.expected.files),
        name=envelope.name,
        finished_at=envelope.finished_at,
        publish_names=dict(envelope.publish_names),
    )
    return published
