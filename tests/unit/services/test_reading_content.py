"""Content that was put is found without any index; other runs are found by their URN as before."""

from __future__ import annotations

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, published
from tests.fakes.gated import GatedStore
from tests.faults.lives import Wire

from sealrun.domain.curation.artifacts import CONTENT_EXPERIMENT, as_content
from sealrun.domain.errors import NotFoundError


def put(world: World, files: dict[str, bytes], kind: str, *, urn: str | None = None) -> str:
    run, sources = a_run(files, experiment=CONTENT_EXPERIMENT)
    envelope = as_content(run.envelope(), kind, {}, kind)
    if urn is not None:
        envelope = msgspec.structs.replace(envelope, urn=urn)
    world.machine("m1").publish(msgspec.structs.replace(run, run_json=envelope.encode()), sources)
    return as_content(run.envelope(), kind, {}, kind).urn


def test_no_index_is_read_for_what_was_put() -> None:
    world, wire = World(), Wire({})
    for number in range(5):
        published(world, {"a": b"%d" % number}, name=f"r{number}", experiment=f"e{number}")
    urn = put(world, {"a": b"content"}, "table")
    target = world.reader(GatedStore(world.store, wire)).resolve(f"{urn}:a")
    assert (target.experiment, target.path) == (CONTENT_EXPERIMENT, "a")
    assert not [call for call in wire.calls if "/index/" in call.key]
    assert len(wire.calls) <= 5


def test_a_run_is_still_found_by_its_urn() -> None:
    world = World()
    run, done = published(world)
    put(world, {"a": b"content"}, "table")
    assert world.target(run.envelope().urn).run_id == done.run_id


def test_a_run_that_only_has_the_id_of_content_is_not_taken_for_it() -> None:
    world = World()
    urn = put(world, {"a": b"content"}, "table", urn="urn:sealrun:run:sha256:" + "0" * 64)
    with pytest.raises(NotFoundError, match="no artifact"):
        world.target(urn)
