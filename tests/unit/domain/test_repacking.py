"""Which packs are worth being emptied: counted in a few bytes, and never too few of their members."""

from __future__ import annotations

import hashlib

import pytest

from sealrun.domain.address import AttemptId, Digest, Key, object_key, pack_key
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import Digesting, PackWriter
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.marking import part_of_key, prefix_of_part
from sealrun.domain.upkeep.repacking import LivePacks, PackUses, RepackLimits, SparsePacks

_ATTEMPT = AttemptId("20260117T150000Z-0123456789abcdef")
_AROUND = 204
_FREE = RepackLimits(worth=0)


def _pack(number: int, part: str | None = None) -> Key:
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return pack_key(Digest((part or digest[:2]) + digest[2:]), _ATTEMPT)


def _members(key: Key, *numbers: int, size: int = 1000) -> list[Stored]:
    return [Stored(key, size, 94 + number * (size + 94)) for number in numbers]


def test_a_member_that_many_runs_use_counts_once() -> None:
    packs, key = LivePacks(), _pack(1)
    for user in range(5):
        packs.note(PackUses(_members(key, 0, user)), user)
    assert packs.look(key) == (5 * (1000 + _AROUND), [0, 1, 2, 3, 4])


def test_members_are_told_apart_however_many_there_are() -> None:
    packs, key = LivePacks(), _pack(1)
    for user in range(30):
        packs.note(PackUses(_members(key, *range(1000))), user)
        packs.note(PackUses(_members(_pack(2, part=key.split("/")[3]), *range(user))), user)
    assert packs.look(key)[0] == 1000 * (1000 + _AROUND)


def test_objects_are_no_members() -> None:
    packs = LivePacks()
    packs.note(PackUses([Stored(object_key(sha256(b"x"), _ATTEMPT), 1)]), 0)
    assert packs.look(_pack(1)) == (0, [])


def test_a_pack_that_somebody_keeps_has_no_users_whoever_came_first() -> None:
    packs, first, second = LivePacks(), _pack(1), _pack(2)
    packs.block(PackUses(_members(first, 0)))
    packs.note(PackUses(_members(first, 1) + _members(second, 1)), 7)
    packs.block(PackUses(_members(second, 0)))
    assert packs.look(first)[1] == []
    assert packs.look(second)[1] == []


def test_what_is_noted_after_a_look_counts() -> None:
    packs, key = LivePacks(), _pack(1)
    assert packs.look(key) == (0, [])
    packs.note(PackUses(_members(key, 0)), 3)
    assert packs.look(key)[1] == [3]


@pytest.mark.parametrize("size", [0, 1, 200, 5000])
def test_a_pack_whose_members_are_all_alive_is_never_sparse(size: int) -> None:
    written: list[bytes] = []
    writer = PackWriter(Digesting(written.append))
    for number in range(50):
        writer.add(sha256(b"%d" % number), b"x" * size)
    facts = writer.finish()
    key = pack_key(facts.digest, _ATTEMPT)
    packs = LivePacks()
    packs.note(PackUses(Stored(key, member.size, member.offset) for member in facts.members), 0)
    assert packs.look(key)[0] == facts.size - 22, "all but the end of the directory"
    found = SparsePacks(packs, RepackLimits(worth=0, below=0.99))
    found.consider(key, facts.size)
    assert found.choose().packs == ()


def test_chosen_is_what_frees_most_within_the_limits_and_the_rest_waits() -> None:
    packs = LivePacks()
    for number in range(6):
        packs.note(PackUses(_members(_pack(number), 0)), number)
    for limits, count in (
        (RepackLimits(worth=0, most_packs=2), 2),
        (RepackLimits(worth=0, most_attempts=3), 3),
        (RepackLimits(worth=0, most_bytes=4 * (1000 + _AROUND)), 4),
        (RepackLimits(worth=0, most_bytes=1), 1),
        (_FREE, 6),
    ):
        found = SparsePacks(packs, limits)
        for key in sorted(_pack(number) for number in range(6)):
            found.consider(key, 100_000 * (1 + [_pack(number) for number in range(6)].index(key)))
        chosen = found.choose()
        assert [pack.size for pack in chosen.packs] == [100_000 * (6 - at) for at in range(count)]
        assert chosen.users == tuple(range(6 - count, 6))
        assert chosen.later == 6 - count
        assert chosen.freed == 2_100_000 - 6 * (1000 + _AROUND)


def test_what_must_be_freed_grows_with_the_number_of_users() -> None:
    packs, key = LivePacks(), _pack(1)
    for user in range(10):
        packs.note(PackUses(_members(key, 0)), user)
    for size, worth in ((10 * 5000 + 1204, False), (10 * 5000 + 1205, True)):
        found = SparsePacks(packs, RepackLimits(worth=5000))
        found.consider(key, size)
        assert bool(found.choose().packs) == worth


def test_objects_and_packs_of_one_part_are_listed_apart() -> None:
    digest = sha256(b"x")
    whole, pack = object_key(digest, _ATTEMPT), pack_key(digest, _ATTEMPT)
    assert part_of_key(whole) == part_of_key(pack) == int(digest[:2], 16)
    assert whole.startswith(prefix_of_part(whole))
    assert pack.startswith(prefix_of_part(pack))
    assert prefix_of_part(whole) != prefix_of_part(pack)
