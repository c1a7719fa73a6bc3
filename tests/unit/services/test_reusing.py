"""What may be referenced, and what is asked of the store to know it. Beside a collector: `tests/interleavings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
import pytest
from tests.builders.worlds import EVERYTHING_PACKED, World, published, retire
from tests.fakes.gated import Call, GatedStore, Noting

from sealrun.domain.address import (
    AttemptId,
    Digest,
    Key,
    attempt_id,
    object_key,
    parse_object_key,
    quarantine_key,
    quarantined_object,
    refs_key,
    retired_key,
)
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Hint, Refs, Stored
from sealrun.domain.runs.sealed import Published
from sealrun.services.publication.reusing import Reuse

T = TypeVar("T")
OURS = attempt_id("20260117T160000Z", "0" * 16)
FILES = {f"f{number}": b"body %d" % number for number in range(6)}


def refs_of(world: World, done: Published) -> Mapping[Digest, Stored]:
    key = refs_key(AttemptId(done.attempt))
    return Refs.decode(world.store.bodies[key], key).objects


def found(
    world: World,
    places: Mapping[Digest, Stored],
    sealed_by: str | None = None,
    pinned: set[Digest] | None = None,
    sizes: Mapping[Digest, int] | None = None,
) -> tuple[Mapping[Digest, Stored], list[Call]]:
    """Ask the rule about `places`; also what it asked of the store."""
    gate = Noting()
    by = None if sealed_by is None else AttemptId(sealed_by)
    hinted = {digest: Hint(stored, by) for digest, stored in places.items()}
    reuse = Reuse(GatedStore(world.store, gate), OURS, pinned)
    return reuse.find(hinted, sizes or {digest: stored.size for digest, stored in places.items()}), gate.calls


def stats(calls: list[Call]) -> list[str]:
    return [call.key for call in calls if call.op == "stat"]


def test_one_attempt_that_stands_is_asked_instead_of_its_many_keys() -> None:
    world = World()
    _, done = published(world, FILES)
    places = refs_of(world, done)
    reusable, calls = found(world, places, done.attempt)
    assert reusable == places
    assert stats(calls) == [retired_key(AttemptId(done.attempt))]


def test_few_keys_are_looked_at_themselves() -> None:
    world = World()
    _, done = published(world, {"a": b"1", "b": b"2"})
    places = refs_of(world, done)
    reusable, calls = found(world, places, done.attempt)
    assert reusable == places
    assert sorted(stats(calls)) == sorted(stored.key for stored in places.values())


def test_the_keys_of_a_retired_attempt_are_looked_at_themselves() -> None:
    world = World()
    _, done = published(world, FILES)
    retire(world, done.attempt)
    places = refs_of(world, done)
    lost = min(places)
    world.store.damage(places[lost].key, None)
    reusable, _ = found(world, places, done.attempt)
    assert reusable.keys() == places.keys() - {lost}


def test_a_hint_that_is_not_what_the_attempt_sealed_is_looked_at_itself() -> None:
    world = World()
    _, done = published(world, FILES)
    places = dict(refs_of(world, done))
    moved = min(places)
    places[moved] = Stored(object_key(moved, OURS), places[moved].size)
    reusable, calls = found(world, places, done.attempt)
    assert reusable.keys() == places.keys() - {moved}
    assert places[moved].key in stats(calls)


def test_an_attempt_whose_records_are_gone_proves_nothing() -> None:
    world = World()
    _, done = published(world, FILES)
    places = refs_of(world, done)
    world.store.damage(refs_key(AttemptId(done.attempt)), None)
    reusable, calls = found(world, places, done.attempt)
    assert reusable == places
    assert set(stats(calls)) == {stored.key for stored in places.values()} | {retired_key(AttemptId(done.attempt))}


def test_the_look_whether_an_attempt_stands_comes_after_the_condemned_batches_were_read() -> None:
    world = World()
    _, done = published(world, FILES)
    _, calls = found(world, refs_of(world, done), done.attempt)
    assert [call.key for call in calls[:2]] == ["gc/condemned/", "quarantine/"]
    assert calls[-1] == Call("stat", retired_key(AttemptId(done.attempt)))


# ---------------------------------------------------------------- packs


def a_packed_run() -> tuple[World, Mapping[Digest, Stored], str, Key]:
    world = World(packs=EVERYTHING_PACKED)
    _, done = published(world, FILES)
    places = refs_of(world, done)
    (pack,) = {stored.key for stored in places.values()}
    return world, places, done.attempt, pack


def test_every_member_of_a_pack_is_there_if_the_pack_is() -> None:
    world, places, attempt, pack = a_packed_run()
    reusable, calls = found(world, places, attempt, {parse_object_key(pack).digest})
    assert reusable == places
    assert stats(calls) == [pack]


def test_a_member_of_a_pack_that_the_intent_does_not_name_is_not_referenced() -> None:
    world, places, attempt, _ = a_packed_run()
    assert found(world, places, attempt, set(places))[0] == {}


def test_where_in_a_pack_a_file_lies_is_believed_of_refs_only() -> None:
    world, places, attempt, _ = a_packed_run()
    assert found(world, places)[0] == {}
    wrong = {
        digest: msgspec.structs.replace(stored, offset=(stored.offset or 0) + 1) for digest, stored in places.items()
    }
    assert found(world, wrong, attempt)[0] == {}
    retire(world, attempt)
    assert found(world, places, attempt)[0] == places
    world.store.damage(refs_key(AttemptId(attempt)), None)
    assert found(world, places, attempt)[0] == {}


@pytest.mark.parametrize("trouble", ["gone", "cut short", "quarantined"])
def test_a_pack_that_is_not_whole_is_not_referenced(trouble: str) -> None:
    world, places, attempt, pack = a_packed_run()
    if trouble == "gone":
        world.store.damage(pack, None)
    elif trouble == "cut short":
        world.store.damage(pack, world.store.bodies[pack][: min(stored.offset or 0 for stored in places.values())])
    else:
        quarantine = quarantine_key(pack)
        assert quarantined_object(quarantine) == pack
        world.store.bodies[quarantine], world.store.modified[quarantine] = b"{}", 0.0
    assert found(world, places, attempt)[0] == {}


def test_a_hint_of_two_kinds_is_not_believed() -> None:
    """A part of an object, or the whole of a pack, is nothing that anybody stores."""
    world, places, attempt, pack = a_packed_run()
    whole = {digest: msgspec.structs.replace(stored, offset=None) for digest, stored in places.items()}
    assert found(world, whole, attempt)[0] == {}
    plain = World()
    _, done = published(plain, FILES)
    parts = {digest: msgspec.structs.replace(stored, offset=0) for digest, stored in refs_of(plain, done).items()}
    assert found(plain, parts, done.attempt)[0] == {}
    own = {parse_object_key(pack).digest: Stored(pack, len(world.store.bodies[pack]))}
    assert found(world, own, attempt)[0] == {}


@pytest.mark.parametrize("key", ["store/objects/nonsense", "registry.json", "store/packs/sha256/x.zip"])
def test_a_key_of_another_kind_is_not_believed(key: str) -> None:
    world = World()
    digest = sha256(b"1")
    assert found(world, {digest: Stored(Key(key), 1)}, sizes={digest: 1})[0] == {}
