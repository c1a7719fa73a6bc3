"""Many small files read whole, each proven to be what the scan saw.

Of ten thousand small files the system calls and the interpreter are the cost, not the bytes. So a folder is opened once
for all of its files, each takes open, read, fstat and close, and nothing is called in between that need not be.
"""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from sealrun.adapters.beneath import FILE_FLAGS, changed, opened_folder, split, translate
from sealrun.ports import FileFacts


def read_small_files(
    root: str, files: Iterable[tuple[str, FileFacts]], stopped: Callable[[], bool]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of `files` below `root`; those of one folder should be neighbours.

    `RunChangedError` if one is not what its facts say after it was read, or as soon as the work is `stopped`.
    """
    for folder, group in groupby(files, key=lambda item: split(item[0])[0]):
        path = folder
        try:
            with opened_folder(root, folder) as descriptor:
                for path, facts in group:
                    body, status = _read(descriptor, path[len(folder) + 1 :] if folder else path, facts.size)
                    # read(2) returns less only at the end of a regular file
                    if len(body) != facts.size or not _unchanged(status, facts) or stopped():
                        raise changed(os.path.join(root, path))
                    yield path, body
        except OSError as error:
            raise translate(error, os.path.join(root, path)) from error


def _read(folder: int, name: str, size: int) -> tuple[bytes, os.stat_result]:
    """Read at most one byte more than `size`; say what the file was afterwards."""
    descriptor = os.open(name, FILE_FLAGS, dir_fd=folder)
    try:
        return os.read(descriptor, size + 1), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _unchanged(status: os.stat_result, facts: FileFacts) -> bool:
    return (
        status.st_ctime_ns == facts.ctime_ns
        and status.st_mtime_ns == facts.mtime_ns
        and status.st_size == facts.size
        and status.st_ino == facts.inode
        and stat.S_ISREG(status.st_mode)
    )
