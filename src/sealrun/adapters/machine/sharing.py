"""Files that share their blocks until either is written to, where the file system can: Btrfs, XFS and others."""

from __future__ import annotations

import errno
import fcntl

FICLONE = 0x40049409
"""Linux's ioctl that gives a file another one's blocks; see ioctl_ficlone(2)."""
CANNOT = {
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EPERM,
    errno.EACCES,
    errno.EMLINK,
}
"""How a file system says that it does not share, not between these two files, or not with this user."""


def share_blocks(source: int, target: int) -> bool:
    """Give the open file `target`, which is empty, the bytes that the open file `source` has at this moment.

    False if that is not done here; then nothing has happened. What is written to one of them later, the other does not
    have. `OSError` as it comes.
    """
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        return False
    return True
