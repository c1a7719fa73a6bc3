"""Room of the journal: digests of files whose facts were seen before. One row and one value per folder."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.address import Digest
from sealrun.ports import Clock, FileFacts

_DAY_S = 24 * 3600.0
_KEEP_GONE_S = 7 * _DAY_S
"""A folder that is not there may be on a disk that is not mounted today."""
_KEEP_S = 365 * _DAY_S


class _Cached(msgspec.Struct, frozen=True, array_like=True):
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    executable: bool
    digest: bytes


_decode = msgspec.msgpack.Decoder(dict[str, _Cached]).decode
_encode = msgspec.msgpack.Encoder().encode


class HashRoom:
    """`ports.HashCache`."""

    def __init__(self, file: JournalFile, clock: Clock) -> None:
        """Keep the cache in `file`."""
        self._file = file
        self._clock = clock

    def known(self, folder: str) -> Mapping[str, tuple[FileFacts, Digest]]:
        """Everything cached for a folder; see the port."""
        rows = self._file.rows("SELECT digests FROM hashes WHERE folder = ?", (os.fsencode(folder),))
        if not rows:
            return {}
        try:
            cached = _decode(rows[0][0])
        except msgspec.MsgspecError:
            return {}  # a cache that cannot be read is a cache that was lost
        return {
            path: (FileFacts(c.inode, c.size, c.mtime_ns, c.ctime_ns, c.executable), Digest(c.digest.hex()))
            for path, c in cached.items()
        }

    def remember(self, folder: str, digests: Mapping[str, tuple[FileFacts, Digest]]) -> None:
        """Replace what is cached for `folder`; see the port."""
        cached = {
            path: _Cached(f.inode, f.size, f.mtime_ns, f.ctime_ns, f.executable, bytes.fromhex(digest))
            for path, (f, digest) in digests.items()
        }
        body = _encode(cached)
        with self._file.write(lasting=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO hashes (folder, seen, digests) VALUES (?, ?, ?)",
                (os.fsencode(folder), self._clock.now().timestamp(), body),
            )

    def prune(self) -> int:
        """Drop what is cached for folders that have long been gone, or not been hashed for a year; return how many."""
        now = self._clock.now().timestamp()
        old = self._file.rows("SELECT folder, seen FROM hashes WHERE seen < ?", (now - _KEEP_GONE_S,))
        dropped = [(folder,) for folder, seen in old if seen < now - _KEEP_S or not os.path.lexists(folder)]
        if dropped:
            with self._file.write() as connection:
                connection.executemany("DELETE FROM hashes WHERE folder = ?", dropped)
        return len(dropped)
