"""Many small files read whole, each proven to be what the scan saw.

Of ten thousand small files the system calls and the interpreter are the cost, not the bytes. So a folder is opened once
for all of its files, each takes open, read, fstat and close, and nothing is called in between that need not be.
"""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from stat import S_ISREG

from sealrun.adapters.run_folders.beneath import FILE_FLAGS, changed, opened_folder, translate

Expected = tuple[str, int, int, int, int]
"""Path, inode, size, and when it was written and changed, in nanoseconds."""


def read_small_files(root: str, files: Iterable[Expected], stopped: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the bytes of `files` below `root`; those of one folder should be neighbours.

    `RunChangedError` if one is not what is expected after it was read, or as soon as the work is `stopped`.
    """
    at, here, descriptor = "", None, -1
    with ExitStack() as opened:
        try:
            for path, inode, size, written_ns, changed_ns in files:
                cut = path.rfind("/") + 1
                if path[:cut] != here:
                    opened.close()
                    here = path[:cut]
                    at = here[:-1]
                    descriptor = opened.enter_context(opened_folder(root, at))
                at = path
                file = os.open(path[cut:], FILE_FLAGS, dir_fd=descriptor)
                try:
                    body, status = os.read(file, size + 1), os.fstat(file)  # the one byte more shows that it grew
                finally:
                    os.close(file)
                if (
                    len(body) != size  # read(2) returns less only at the end of a regular file
                    or status.st_ctime_ns != changed_ns
                    or status.st_mtime_ns != written_ns
                    or status.st_size != size
                    or status.st_ino != inode
                    or not S_ISREG(status.st_mode)
                    or stopped()
                ):
                    raise changed(os.path.join(root, path))
                yield body
        except OSError as error:
            raise translate(error, os.path.join(root, at)) from error
