"""The system calls that make bytes and names survive a power cut."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import sys
import threading
from functools import cache

# File systems whose syncfs is known to write back and commit everything. Others (FUSE, CIFS, ...) may write back
# without telling their server to keep it: there every file is synced by itself.
_SYNCED_WHOLE = {
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # xfs
    0x9123683E,  # btrfs
    0x01021994,  # tmpfs
    0x6969,  # nfs
    0x2FC12FC1,  # zfs
    0xF2F52010,  # f2fs
    0x794C7630,  # overlayfs
    0xCA451A4E,  # bcachefs
}
_REPORTS_ERRORS = (5, 8)
"""The first Linux whose syncfs reports that writing back failed; see syncfs(2)."""
_PIECE = 512 << 10
"""Whoever writes MiBs at once has the page cache look for as large pieces of memory: up to four times the time."""


def write_all(fd: int, body: bytes | memoryview) -> None:
    """Write all of `body`, in pieces: one call may write less, and is quicker for some hundred KiB than for MiBs."""
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view[:_PIECE]) :]


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Barrier:
    """Makes everything that was written to a file system durable, at once.

    Open one before the first byte is written: the kernel reports a failed write-back once to each descriptor that
    was open before it. After one failure every later `wait` fails too, since nobody knows which bytes were lost.
    `whole` is False where files have to be synced one by one, and then `wait` does nothing.
    """

    def __init__(self, folder: str) -> None:
        """Watch the file system that holds `folder`."""
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._broken = False
        self.whole = can_sync_whole(self._fd)

    def wait(self) -> None:
        """Return when everything written before is durable, or raise `OSError`."""
        if not self.whole:
            return
        with self._lock:
            if self._broken:
                raise OSError(errno.EIO, "earlier bytes were lost by the disk")
            try:
                syncfs(self._fd)
            except OSError:
                self._broken = True
                raise

    def close(self) -> None:
        """Release the descriptor. Harmless twice."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def syncfs(fd: int) -> None:
    """Write back and commit the whole file system of `fd`; Python itself does not offer this call."""
    if _libc().syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def can_sync_whole(fd: int) -> bool:
    """Tell whether syncfs exists here, reports errors, and is enough on the file system of `fd`."""
    if not _reports_errors():
        return False
    answer = (ctypes.c_long * 64)()  # struct statfs, which begins with the type as a machine word
    return bool(_libc().fstatfs(fd, answer) == 0 and answer[0] & 0xFFFFFFFF in _SYNCED_WHOLE)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _reports_errors() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return sys.platform == "linux" and release is not None and (int(release[1]), int(release[2])) >= _REPORTS_ERRORS
