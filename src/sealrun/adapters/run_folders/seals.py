"""Writing a seal into a run's own folder: whole or not at all, durable, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator

from sealrun.adapters.run_folders.beneath import opened_folder, printable
from sealrun.adapters.stores.posix_durable import can_sync_whole, syncfs, write_all
from sealrun.domain.errors import AccessDeniedError, RunChangedError, StorageError, UnavailableError
from sealrun.domain.patterns import OWN_FOLDER
from sealrun.domain.watches.settling import SUMS_MARKER

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE}


class LocalSeals:
    """`ports.FolderSeals` for folders on this machine."""

    def write(self, run: str, body: bytes, mtime_ns: int) -> None:
        """Write the seal; see the port."""
        try:
            with opened_folder(run) as folder:
                _write(folder, body, mtime_ns)
        except OSError as error:
            raise _translated(error, run) from error


def _write(folder: int, body: bytes, mtime_ns: int) -> None:
    # The temporary file lies where nothing is part of the run: one that a crash leaves there keeps nobody waiting.
    with _room(OWN_FOLDER, folder) as own, _room("tmp", own) as room:
        name = f"{secrets.token_hex(6)}.tmp"
        try:
            _place(folder, room, name, body, mtime_ns)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=room)
            raise
    os.fsync(folder)


@contextlib.contextmanager
def _room(name: str, folder: int) -> Iterator[int]:
    """Open a folder in `folder`, which is no link; one that was made for this goes again."""
    made = True
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        made = False
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                os.rmdir(name, dir_fd=folder)


def _place(folder: int, room: int, name: str, body: bytes, mtime_ns: int) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=room)
    try:
        write_all(file, body)
        os.utime(file, ns=(mtime_ns, mtime_ns))
        os.fsync(file)
    finally:
        os.close(file)
    # What the seal names is durable before the seal is there: a power cut leaves no seal of bytes that are lost.
    if can_sync_whole(folder):
        syncfs(folder)
    else:
        os.sync()
    # A crash before this line leaves a folder without this seal; after it, with it.
    os.rename(name, SUMS_MARKER, src_dir_fd=room, dst_dir_fd=folder)


def _translated(error: OSError, run: str) -> StorageError | RunChangedError:
    reason = os.strerror(error.errno or 0)
    if error.errno in _DENIED:
        advice = 'let the user that sealrun runs as write there, or set seal = "outside" for its watch'
        return AccessDeniedError(f"{printable(run)}: cannot be sealed in place ({reason}); {advice}")
    if error.errno in _GONE:
        return RunChangedError(f"{printable(run)}: is not there any more, or a part of it is a link; settle again")
    return UnavailableError(f"{printable(run)}: cannot be sealed in place now ({reason}); it is tried again")
