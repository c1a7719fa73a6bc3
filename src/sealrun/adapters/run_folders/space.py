"""How much room a file system has."""

from __future__ import annotations

import os

from sealrun.domain.space import Room


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
    return Room(
        mount=_mount_of(place, device),
        free=found.f_bavail * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
    )


def _mount_of(place: str, device: int) -> str:
    while (above := os.path.dirname(place)) != place:  # noqa: PTH120 - as above
        try:
            if os.stat(above).st_dev != device:  # noqa: PTH116 - as above
                break
        except OSError:
            break
        place = above
    return place
