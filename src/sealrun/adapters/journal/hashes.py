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


class _Cached(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known of a folder's files, one column for each fact: ten times quicker than one value for each file."""

    paths: list[str]
    inodes: list[int]
    sizes: list[int]
    mtimes_ns: list[int]
    ctimes_ns: list[int]
    executable: list[bool]
    digests: bytes


_DIGEST = 32
_decode = msgspec.msgpack.Decoder(_Cached).decode
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
        facts = map(FileFacts, cached.inodes, cached.sizes, cached.mtimes_ns, cached.ctimes_ns, cached.executable)
        digests = cached.digests.hex(" ", _DIGEST).split(" ") if cached.digests else []
        return dict(zip(cached.paths, zip(facts, map(Digest, digests), strict=True), strict=True))

    def remember(self, folder: str, digests: Mapping[str, tuple[FileFacts, Digest]]) -> None:
        """Replace what is cached for `folder`; see the port."""
        facts = [found for found, _ in digests.values()]
        cached = _Cached(
            paths=list(digests),
            inodes=[found.inode for found in facts],
            sizes=[found.size for found in facts],
            mtimes_ns=[found.mtime_ns for found in facts],
            ctimes_ns=[found.ctime_ns for found in facts],
            executable=[found.executable for found in facts],
            digests=bytes.fromhex("".join([digest for _, digest in digests.values()])),
        )
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
