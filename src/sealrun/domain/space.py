"""How much room a file system has, and when its inodes run out."""

from __future__ import annotations

import msgspec

_FEW_INODES = 100
"""One run of a hundred files takes as many."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A file system by where it is mounted: bytes and inodes that this process may still use, and all there are.

    `inodes` is 0 where the file system does not count them.
    """

    mount: str
    free: int
    size: int
    inodes: int = 0
    inodes_free: int = 0


def share_of_inodes(room: Room) -> float:
    """Return the share of the inodes that is free: 1.0 where nobody counts them."""
    return room.inodes_free / room.inodes if room.inodes else 1.0


def has_few_inodes(room: Room) -> bool:
    """Tell whether less than one inode in a hundred is free."""
    return share_of_inodes(room) < 0.01  # noqa: PLR2004 - as said


def has_next_to_no_inodes(room: Room) -> bool:
    """Tell whether hardly a run could still be written, for want of inodes."""
    return room.inodes > 0 and room.inodes_free < _FEW_INODES
