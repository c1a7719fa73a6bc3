"""What is kept on a user's machine and can be fetched again: what of it goes, and what stays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

CachedKind = Literal["bytes", "file", "folder"]


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is kept: whole bytes that are only read through us, or a file or folder that was given a path.

    `place` is below the cache's folder, `size` in bytes, `used` in seconds since 1970. A `held` one was asked for by a
    process that still runs, which may have its path.
    """

    kind: CachedKind
    place: str
    name: str
    size: int
    used: float
    held: bool = False


class Cleaning(msgspec.Struct, frozen=True):
    """What goes, in that order, and what stays; of the latter, how much because it is held."""

    remove: tuple[Cached, ...]
    stay: tuple[Cached, ...]

    @property
    def freed(self) -> int:
        """Bytes that go."""
        return sum(each.size for each in self.remove)

    @property
    def held(self) -> int:
        """How many stay only because a process that still runs asked for them."""
        return sum(each.held for each in self.stay)


def plan_cleaning(kept: Iterable[Cached], *, keep: int, unused_since: float | None = None) -> Cleaning:
    """Let go of what was used least lately until no more than `keep` bytes are there.

    Nothing goes that is held, or that was used after `unused_since`.
    """
    ordered = sorted(kept, key=lambda each: (each.used, each.place))
    left, remove, stay = sum(each.size for each in ordered), list[Cached](), list[Cached]()
    for each in ordered:
        if left <= keep or each.held or (unused_since is not None and each.used > unused_since):
            stay.append(each)
        else:
            remove.append(each)
            left -= each.size
    return Cleaning(tuple(remove), tuple(stay))
