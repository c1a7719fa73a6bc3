"""How much room a file system has."""

from __future__ import annotations

import os

import msgspec


class Room(msgspec.Struct, frozen=True):
    """A file system by where it is mounted: bytes that this process may still use, and all there are."""

    mount: str
    free: int
    size: int


def room_at(path: str) -> Room | None:
    """Say what room there is at `path`, or where it would be made; None where nobody can tell."""
    place = os.path.realpath(path)
    while not os.path.lexists(place) and place != os.path.dirname(place):  # noqa: PTH120 - paths of any bytes
        place = os.path.dirname(place)  # noqa: PTH120 - as above
    try:
        found = os.statvfs(place)
        device = os.stat(place).st_dev  # noqa: PTH116 - as above
    except OSError:
        return None
    if found.f_blocks == 0:  # file systems that do not count, such as some network ones
        return None
    return Room(_mount_of(place, device), found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _mount_of(place: str, device: int) -> str:
    while (above := os.path.dirname(place)) != place:  # noqa: PTH120 - as above
        try:
            if os.stat(above).st_dev != device:  # noqa: PTH116 - as above
                break
        except OSError:
            break
        place = above
    return place
