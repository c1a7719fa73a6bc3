"""Room of the journal: digests of files whose facts were seen before. One value for each few thousand of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.address import Digest
from sealrun.domain.grouping import in_groups
from sealrun.domain.ready import ready
from sealrun.ports import Clock, FileFacts

Known = tuple[str, FileFacts, Digest]

_DAY_S = 24 * 3600.0
_KEEP_GONE_S = 7 * _DAY_S
"""A folder that is not there may be on a disk that is not mounted today."""
_KEEP_S = 365 * _DAY_S


class _Cached(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known of some files, one column for each fact: ten times quicker than one value for each file."""

    paths: list[str]
    inodes: list[int]
    sizes: list[int]
    mtimes_ns: list[int]
    ctimes_ns: list[int]
    executable: list[bool]
    digests: bytes


_AT_ONCE = 4096
_DIGEST = 32
_decode = msgspec.msgpack.Decoder(ready(_Cached)).decode
_encode = msgspec.msgpack.Encoder().encode


class HashRoom:
    """`ports.HashCache`."""

    def __init__(self, file: JournalFile, clock: Clock) -> None:
        """Keep the cache in `file`."""
        self._file = file
        self._clock = clock

    def known(self, folder: str) -> Iterator[Known]:
        """Everything cached for a folder; see the port. Some thousand files are read at a time."""
        name, number = os.fsencode(folder), 0
        while rows := self._file.rows("SELECT body FROM hash_blocks WHERE folder = ? AND number = ?", (name, number)):
            number += 1
            try:
                cached = _decode(rows[0][0])
            except msgspec.MsgspecError:
                return  # a cache that cannot be read is a cache that was lost
            facts = map(FileFacts, cached.inodes, cached.sizes, cached.mtimes_ns, cached.ctimes_ns, cached.executable)
            digests = cached.digests.hex(" ", _DIGEST).split(" ")
            yield from zip(cached.paths, facts, map(Digest, digests), strict=True)

    def remember(self, folder: str, digests: Iterable[Known]) -> None:
        """Replace what is cached for `folder`; see the port. Some thousand files are written at a time."""
        name = os.fsencode(folder)
        with self._file.write(lasting=False) as connection:
            connection.execute("DELETE FROM hash_blocks WHERE folder = ?", (name,))
            connection.execute(
                "INSERT OR REPLACE INTO hashes (folder, seen, digests) VALUES (?, ?, x'')",
                (name, self._clock.now().timestamp()),
            )
            connection.executemany(
                "INSERT INTO hash_blocks (folder, number, body) VALUES (?, ?, ?)",
                ((name, number, _block(some)) for number, some in enumerate(in_groups(digests, _AT_ONCE))),
            )

    def prune(self) -> int:
        """Drop what is cached for folders that have long been gone, or not been hashed for a year; return how many."""
        now = self._clock.now().timestamp()
        old = self._file.rows("SELECT folder, seen FROM hashes WHERE seen < ?", (now - _KEEP_GONE_S,))
        dropped = [(folder,) for folder, seen in old if seen < now - _KEEP_S or not os.path.lexists(folder)]
        if dropped:
            with self._file.write() as connection:
                connection.executemany("DELETE FROM hashes WHERE folder = ?", dropped)
                connection.executemany("DELETE FROM hash_blocks WHERE folder = ?", dropped)
        return len(dropped)


def _block(files: Sequence[Known]) -> bytes:
    facts = [found for _, found, _ in files]
    return _encode(
        _Cached(
            paths=[path for path, _, _ in files],
            inodes=[found.inode for found in facts],
            sizes=[found.size for found in facts],
            mtimes_ns=[found.mtime_ns for found in facts],
            ctimes_ns=[found.ctime_ns for found in facts],
            executable=[found.executable for found in facts],
            digests=bytes.fromhex("".join([digest for _, _, digest in files])),
        )
    )
