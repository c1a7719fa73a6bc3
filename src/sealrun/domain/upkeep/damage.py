"""What verifying finds, and which part of a registry is looked at: the digest space as a circle from 0 to 1."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Iterable
from math import ceil
from typing import Literal

import msgspec

from sealrun.domain.address import AttemptId, Digest, Key
from sealrun.domain.errors import UsageError

Kind = Literal["seal", "refs", "missing", "size", "bytes", "pointer", "index", "projection", "signature"]
OF_BYTES: tuple[Kind, ...] = ("missing", "size", "bytes")
"""Damage to an object: it is healed by putting its bytes under another key."""

_DIGITS = 12
SPACE = 1 << 4 * _DIGITS
_LEAST_SLOTS = 1024
_WORD = (1 << 64) - 1


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was sealed.

    `path` is the file inside the run, `key` its object and `attempt` whoever sealed it so, where those are concerned.
    """

    ref: str
    kind: Kind
    detail: str
    path: str | None = None
    key: Key | None = None
    attempt: AttemptId | None = None

    @property
    def place(self) -> str:
        """What is damaged, as a reference."""
        return self.ref if self.path is None else f"{self.ref}:{self.path}"


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at and what was wrong."""

    runs: int
    objects: int
    bytes_read: int
    damages: tuple[Damage, ...]


def place_of(digest: str) -> int:
    """Where a digest lies in the digest space: its first 48 bits."""
    return int(digest[:_DIGITS], 16)


class Window(msgspec.Struct, frozen=True):
    """A part of the digest space: `share` of it from `start` on, and past the end from the beginning again.

    Both are between 0 and 1; inside, places and distances are whole numbers below `SPACE`, so that windows that follow
    one another leave nothing out.
    """

    start: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no part of the space."""
        if not (0 <= self.start < 1 and 0 <= self.share <= 1):
            msg = f"not a window of the digest space: {self.share} from {self.start} (0 ≤ start < 1, 0 ≤ share ≤ 1)"
            raise UsageError(msg)

    @property
    def first(self) -> int:
        """The first place inside."""
        return int(self.start * SPACE)

    @property
    def length(self) -> int:
        """How many places are inside."""
        return ceil(self.share * SPACE)

    def distance(self, place: int) -> int:
        """How far a place lies behind the first one, going round."""
        return (place - self.first) % SPACE

    def holds(self, digest: Digest) -> bool:
        """Tell whether a digest lies inside."""
        return self.share >= 1 or self.distance(place_of(digest)) < self.length

    @property
    def end(self) -> float:
        """Where the next window begins."""
        return ((self.first + self.length) % SPACE) / SPACE


class SeenKeys:
    """Keys that were looked at: about twenty bytes for each of a million.

    Hashes of 64 bits stand for keys, other ones in each process. That two of a million keys have the same one, so that
    the second is taken for seen and is not looked at, happens once in thirty million times, and not to the same keys.
    """

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._slots = array("Q", (0,)) * _LEAST_SLOTS
        self._count = 0

    def __len__(self) -> int:
        """How many distinct keys were seen."""
        return self._count

    def add(self, key: Hashable) -> bool:
        """Remember a key; tell whether it is new."""
        return bool(self.add_all((key,)))

    def add_all(self, keys: Collection[Hashable]) -> list[int]:
        """Remember keys; return the positions of those that are new."""
        while 3 * (self._count + len(keys)) > 2 * len(self._slots):
            words = self._slots
            self._slots = array("Q", (0,)) * (2 * len(words))
            self._put(filter(None, words))
        new = self._put(map(hash, keys))
        self._count += len(new)
        return new

    def _put(self, words: Iterable[int]) -> list[int]:
        slots, last, new = self._slots, len(self._slots) - 1, list[int]()
        for position, signed in enumerate(words):  # in one loop: a call for each costs more than the rest
            word = signed & _WORD or 1
            at = word & last
            while (slot := slots[at]) and slot != word:
                at = (at + 1) & last
            if not slot:
                slots[at] = word
                new.append(position)
        return new
