"""Renaming that never replaces anything: ``renameat2`` with RENAME_NOREPLACE, and what comes near it elsewhere."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

_AT_FDCWD = -100
_NOREPLACE = 1
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def rename_new(source: str, target: str) -> None:
    """Rename `source` to `target`, which must not exist: `FileExistsError` otherwise. Any other `OSError` as it comes.

    Where the kernel or the file system has no such call (NFS), a file is linked, which never replaces either. A folder
    is renamed after a look; what may then be replaced is an empty folder that appeared at that very moment.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), source, None, target)
    _rename_unsupported(source, target)


def _rename_unsupported(source: str, target: str) -> None:
    if stat.S_ISDIR(os.lstat(source).st_mode):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)  # noqa: PTH104 - names go to the kernel as they are
        return
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)  # noqa: PTH108 - as above
