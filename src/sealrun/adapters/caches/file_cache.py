"""Files from afar, kept on this machine by their content: bounded, and shared by any number of processes."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from sealrun.domain.address import Digest

DEFAULT_LIMIT = 8 << 30
_SYNCED_FROM = 1 << 20
_LEFT_BEHIND_S = 24 * 3600.0
_ROOM_LEFT = 0.9
_LOOKED_AT_EVERY = 32
_log = logging.getLogger("sealrun.cache")


def user_cache_folder(environ: Mapping[str, str]) -> Path:
    """Where a user's programs keep what they can fetch again: ``$SEALRUN_CACHE``, or below ``$XDG_CACHE_HOME``."""
    if named := environ.get("SEALRUN_CACHE"):
        return Path(named).absolute()
    base = environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if base.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".cache"
    return home / "sealrun"


class LocalFileCache:
    """`ports.FileCache` in a folder. Every file is complete, since it gets its name by a rename, and never written to.

    What was used least lately goes first when there is more than `limit` bytes; a process looks when it has added a
    thirty-second of that, so the limit is kept roughly. A reader keeps what it has open. Where the folder cannot be
    written to nothing is kept, and nothing fails.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        """Keep files in `folder`, which is made when the first is kept."""
        self._folder = folder
        self._limit = limit
        self._unseen: int | None = None
        self._lock = Lock()

    def find(self, digest: Digest, size: int, offset: int, length: int) -> bytes | None:
        """Return bytes of a kept file; see the port."""
        path = self._place(digest)
        try:
            with path.open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != size:
                    return None
                os.utime(file.fileno())
                file.seek(offset)
                body = file.read(length)
        except OSError:  # not kept, or not readable: both mean that the registry is asked
            return None
        return body if len(body) == length else None

    def keep(self, digest: Digest, body: bytes) -> None:
        """Keep a file that was verified; see the port."""
        if len(body) > self._limit // 8:
            return
        try:
            self._write(digest, body)
        except OSError as error:
            _log.info("%s: nothing is kept there: %s", self._folder, error.strerror)

    def _place(self, digest: Digest) -> Path:
        return self._folder / "sha256" / digest[:2] / digest[2:]

    def _write(self, digest: Digest, body: bytes) -> None:
        final = self._place(digest)
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=final.parent)
        try:
            with open(handle, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
                ahead = memoryview(body)
                while ahead:
                    ahead = ahead[file.write(ahead) :]
                os.fchmod(handle, 0o444)
                if len(body) >= _SYNCED_FROM:  # smaller ones are verified whenever they are read
                    os.fdatasync(handle)
            Path(name).replace(final)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
        self._make_room(len(body))

    def _make_room(self, added: int) -> None:
        with self._lock:
            self._unseen = self._limit if self._unseen is None else self._unseen + added
            if self._unseen < self._limit // _LOOKED_AT_EVERY:
                return
            self._unseen = 0
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is making room
            self._evict()
        finally:
            os.close(lock)

    def _evict(self) -> None:
        now = time.time()
        kept: list[tuple[float, int, Path]] = []
        for path in (self._folder / "sha256").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if not path.name.startswith(".new-"):
                    kept.append((facts.st_mtime, facts.st_size, path))
                elif now - facts.st_mtime > _LEFT_BEHIND_S:
                    path.unlink()
        total = sum(size for _, size, _ in kept)
        if total <= self._limit:
            return
        for _, size, path in sorted(kept):
            if total <= self._limit * _ROOM_LEFT:
                return
            path.unlink(missing_ok=True)
            total -= size
