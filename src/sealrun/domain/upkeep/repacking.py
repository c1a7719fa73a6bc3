"""Which packs are worth being written again: those of which little is alive. In twelve bytes per live member.

Everything is split by the first byte of a pack's digest, in the order in which packs are listed, as in
`domain.upkeep.marking`. Four bytes of a hash stand for a pack inside its part: two packs with one fingerprint count as
more alive than they are, and are left alone.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable
from hashlib import blake2b
from itertools import repeat

import msgspec

from sealrun.domain.address import AttemptId, Key, RunId, is_pack
from sealrun.domain.registry.packing import LOCAL_SIZE
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.marking import part_of_key

_PARTS = 256
_WORD = 4
_MEMBER = struct.Struct("<4sII")
_USER = struct.Struct("<4sI")
_LEAST_TIDY = 4096
_LARGEST = 0xFFFF_FFFF
_BLOCKED = _LARGEST
_AROUND = LOCAL_SIZE + 110
"""Bytes of a pack that stand around a member: its header, and its line of the directory."""


class RepackLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is repacked, and how much of it at once.

    `below`: packs of which a smaller share of the bytes is alive; 0 turns repacking off. `worth`: bytes that must be
    freed for each attempt that has to be sealed again: its records stay for ever, and take a block each in a
    directory. `most_bytes` are copied, `most_packs` emptied and `most_attempts` sealed again in one round; the next
    round takes the rest.
    """

    below: float = 0.5
    worth: int = 16 << 10
    most_bytes: int = 10 << 30
    most_packs: int = 10_000
    most_attempts: int = 10_000


class SparsePack(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A pack of which `live` of `size` bytes belong to members that a live run uses, headers included."""

    freed: int
    key: Key
    size: int
    live: int


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Packs to be emptied in one round, those that free most first, and who uses them, by number.

    `later` packs wait for another round. `freed` is what all of them would free, now and later.
    """

    packs: tuple[SparsePack, ...] = ()
    users: tuple[int, ...] = ()
    later: int = 0
    freed: int = 0


class Sparse(msgspec.Struct, frozen=True, kw_only=True):
    """Packs of which too little is alive, and the attempts that would have to be sealed again without them.

    `later` packs wait for another round. `refused` says why none of them is emptied.
    """

    packs: tuple[SparsePack, ...] = ()
    attempts: tuple[AttemptId, ...] = ()
    later: int = 0
    refused: str | None = None


class RunRepack(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to leave packs: how much of it lies there, each content counted once."""

    experiment: str
    run_id: RunId
    members: int
    size: int

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"


class RepackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a repacking would do: `runs` leave `packs`. `later` packs wait for another round.

    `refused` says why nothing would be done.
    """

    packs: tuple[SparsePack, ...] = ()
    runs: tuple[RunRepack, ...] = ()
    later: int = 0
    refused: str | None = None

    @property
    def written(self) -> int:
        """Bytes that are read and written again."""
        return sum(pack.live for pack in self.packs)

    @property
    def freed(self) -> int:
        """Bytes that are free once the packs are collected, those written again not counted."""
        return sum(pack.freed for pack in self.packs)


class RepackedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that left packs: which attempt holds it now, instead of which, and what was moved and copied."""

    ref: str
    attempt: AttemptId
    replaced: tuple[AttemptId, ...]
    pointers: tuple[str, ...] = ()
    copied_objects: int = 0
    copied_bytes: int = 0


class LeftAlone(msgspec.Struct, frozen=True, kw_only=True):
    """A run that stays where it is for now; `failed` is not by intention."""

    ref: str
    why: str
    failed: bool = False


class RepackReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a repacking did. What is freed is free after the grace time, by a collection."""

    packs: int = 0
    runs: tuple[RepackedRun, ...] = ()
    left: tuple[LeftAlone, ...] = ()
    later: int = 0
    refused: str | None = None

    @property
    def copied_bytes(self) -> int:
        """Bytes that were read and written again."""
        return sum(run.copied_bytes for run in self.runs)


class PackUses:
    """What one attempt uses of packs: its refs, once they were read, may be forgotten."""

    def __init__(self, places: Iterable[Stored]) -> None:
        """Take what lies in packs from `places`."""
        packs: dict[Key, tuple[list[int], list[int]]] = {}
        for stored in places:
            if stored.offset is None:
                continue
            known = packs.get(stored.key)
            if known is None:
                known = packs[stored.key] = ([], [])
            known[0].append(stored.offset)
            known[1].append(stored.size)
        self.packs = [
            (part_of_key(key), (word := _word(key)), _members(word, offsets, sizes))
            for key, (offsets, sizes) in packs.items()
            if is_pack(key)
        ]


class LivePacks:
    """Which members of which packs are alive, and who uses the packs; it only grows."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._members = [bytearray() for _ in range(_PARTS)]
        self._tidy_at = [_LEAST_TIDY * _MEMBER.size] * _PARTS
        self._users = [bytearray() for _ in range(_PARTS)]
        self._unpacked: tuple[int, dict[bytes, int], dict[bytes, list[int]]] | None = None

    def note(self, uses: PackUses, user: int) -> None:
        """The attempt with the number `user` can be sealed again without these packs."""
        self._unpacked = None
        for part, word, members in uses.packs:
            self._users[part] += _USER.pack(word, user)
            packed = self._members[part]
            packed += members
            if len(packed) > self._tidy_at[part]:
                distinct = _distinct(packed)
                self._members[part] = bytearray(b"".join(distinct))
                self._tidy_at[part] = max(_LEAST_TIDY, 2 * len(distinct)) * _MEMBER.size

    def block(self, uses: PackUses) -> None:
        """Somebody keeps these packs who cannot be sealed again: emptying them would free nothing."""
        self._unpacked = None
        for part, word, _ in uses.packs:
            self._users[part] += _USER.pack(word, _BLOCKED)

    def look(self, key: Key) -> tuple[int, list[int]]:
        """Return the live bytes of a pack and its users, none if nothing is gained by emptying it.

        Quick as long as the part is the same as last time.
        """
        part, word = part_of_key(key), _word(key)
        if self._unpacked is None or self._unpacked[0] != part:
            live: dict[bytes, int] = {}
            for record in _distinct(self._members[part]):
                pack, _, size = _MEMBER.unpack(record)
                live[pack] = live.get(pack, 0) + size + _AROUND
            users: dict[bytes, list[int]] = {}
            for pack, user in _USER.iter_unpack(self._users[part]):
                users.setdefault(pack, []).append(user)
            self._unpacked = part, live, users
        _, live, users = self._unpacked
        using = users.get(word, [])
        return live.get(word, 0), [] if _BLOCKED in using else using


class SparsePacks:
    """Finds the packs that are worth being emptied, and remembers no more of them than one round takes."""

    def __init__(self, packs: LivePacks, limits: RepackLimits) -> None:
        """Judge by what `packs` holds."""
        self._packs = packs
        self._limits = limits
        self._heap: list[SparsePack] = []
        self._found = 0
        self._freed = 0

    def consider(self, key: Key, size: int) -> None:
        """Look at a pack of `size` bytes that is old enough and may be emptied."""
        live, users = self._packs.look(key)
        freed = size - live
        if not users or live >= self._limits.below * size or freed <= len(users) * self._limits.worth:
            return
        self._found += 1
        self._freed += freed
        pack = SparsePack(freed=freed, key=key, size=size, live=live)
        if len(self._heap) < self._limits.most_packs:
            heapq.heappush(self._heap, pack)
        else:
            heapq.heappushpop(self._heap, pack)

    def choose(self) -> Chosen:
        """Return what one round takes: at least one pack, if there is any."""
        users: dict[Key, list[int]] = {pack.key: [] for pack in self._heap}
        for key in sorted(users):  # by parts, each of which is unpacked once
            users[key] = self._packs.look(key)[1]
        chosen: list[SparsePack] = []
        numbers: set[int] = set()
        copied = 0
        for pack in sorted(self._heap, reverse=True):
            also = set(users[pack.key]) - numbers
            copied += pack.live
            if chosen and (copied > self._limits.most_bytes or len(numbers) + len(also) > self._limits.most_attempts):
                break
            chosen.append(pack)
            numbers |= also
        return Chosen(
            packs=tuple(chosen), users=tuple(sorted(numbers)), later=self._found - len(chosen), freed=self._freed
        )


def _word(key: Key) -> bytes:
    return blake2b(key.encode(), digest_size=_WORD).digest()


def _members(word: bytes, offsets: list[int], sizes: list[int]) -> bytes:
    if max(offsets) > _LARGEST or max(sizes) > _LARGEST:
        offsets, sizes = [offset & _LARGEST for offset in offsets], [min(size, _LARGEST) for size in sizes]
    return b"".join(map(_MEMBER.pack, repeat(word), offsets, sizes))


def _distinct(packed: bytearray) -> set[bytes]:
    body = bytes(packed)
    return {body[at : at + _MEMBER.size] for at in range(0, len(body), _MEMBER.size)}
