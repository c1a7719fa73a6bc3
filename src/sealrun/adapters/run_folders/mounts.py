"""What file system a path lies on, and whether its changes can be watched from here."""

# ruff: noqa: PTH123 - names go to and from the kernel as they are

from __future__ import annotations

import os

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"}


def file_system_of(path: str, mounts: str = "/proc/self/mountinfo") -> str:
    """Type of the file system that holds `path`, as the kernel's mount table names it; "unknown" without a table."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                left, _, right = line.partition(" - ")
                place = left.split(" ")[4].replace("\\040", " ")
                if (real == place or real.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
                    best, kind = place, right.split(" ")[0]
    except OSError:
        return "unknown"
    return kind


def is_remote(kind: str) -> bool:
    """Tell whether writes by other machines to a file system of this type cause no events here."""
    return kind in _NETWORK or kind.startswith("fuse.")
