"""Room of the journal: where digests were once stored, per registry."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.address import AttemptId, Digest, Key, object_key, parse_object_key
from sealrun.domain.errors import UnsupportedFormatError

_AT_ONCE = 500
"""So many values fit into one statement of every SQLite in use."""
_BITS = 8_388_593
"""A prime: sizes are remembered by their remainder, in one MiB however many there are."""


class KnownSizes:
    """A set of sizes in constant memory. It may take an unknown size for a known one, never the reverse."""

    def __init__(self, sizes: Iterable[int]) -> None:
        """Remember `sizes`."""
        self._bits = bytearray(_BITS // 8 + 1)
        self.add(sizes)

    def add(self, sizes: Iterable[int]) -> None:
        """Remember more."""
        for size in sizes:
            place = size % _BITS
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, size: int) -> bool:
        place = size % _BITS
        return bool(self._bits[place >> 3] & (1 << (place & 7)))


class HintRoom:
    """`ports.Hints`."""

    def __init__(self, file: JournalFile) -> None:
        """Keep hints in `file`."""
        self._file = file
        self._lock = threading.Lock()
        self._sizes: dict[str, KnownSizes] = {}

    def keys_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Key]:
        """The most recent key of each digest that has one; see the port."""
        number = self._number(registry_id)
        found: dict[Digest, Key] = {}
        for chunk in _chunks(digests):
            marks = ",".join("?" * len(chunk))
            rows = self._file.rows(
                f"SELECT digest, place FROM hints WHERE registry = ? AND digest IN ({marks})",  # noqa: S608 - only marks
                (number, *(bytes.fromhex(digest) for digest in chunk)),
            )
            for digest, place in rows:
                found[Digest(digest.hex())] = _key(Digest(digest.hex()), place)
        return found

    def sizes_known(self, registry_id: str) -> Callable[[int], bool]:
        """Return a quick test of sizes; see the port. What other processes learn meanwhile is not noticed."""
        with self._lock:
            sizes = self._sizes.get(registry_id)
            if sizes is None:
                rows = self._file.rows(
                    "SELECT DISTINCT size FROM hints WHERE registry = ?", (self._number(registry_id),)
                )
                sizes = self._sizes[registry_id] = KnownSizes(row[0] for row in rows)
        return sizes.__contains__

    def learn(self, registry_id: str, keys: Mapping[Digest, tuple[Key, int]]) -> None:
        """Remember keys and sizes; see the port."""
        rows = [(bytes.fromhex(digest), _place(digest, key), size) for digest, (key, size) in keys.items()]
        with self._file.write() as connection:
            number = _register(connection, registry_id)
            connection.executemany(
                f"INSERT OR REPLACE INTO hints (registry, digest, place, size) VALUES ({number}, ?, ?, ?)",  # noqa: S608 - a row number of our own
                rows,
            )
        with self._lock:
            sizes = self._sizes.get(registry_id)
            if sizes is not None:
                sizes.add(size for _, size in keys.values())

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        """Drop hints that turned out to be wrong; see the port."""
        number = self._number(registry_id)
        with self._file.write() as connection:
            connection.executemany(
                "DELETE FROM hints WHERE registry = ? AND digest = ?",
                [(number, bytes.fromhex(digest)) for digest in digests],
            )

    def _number(self, registry_id: str) -> int:
        rows = self._file.rows("SELECT id FROM registries WHERE registry_id = ?", (registry_id,))
        return rows[0][0] if rows else -1


def _register(connection: sqlite3.Connection, registry_id: str) -> int:
    connection.execute("INSERT OR IGNORE INTO registries (registry_id) VALUES (?)", (registry_id,))
    row = connection.execute("SELECT id FROM registries WHERE registry_id = ?", (registry_id,)).fetchone()
    return int(row[0])


def _place(digest: Digest, key: Key) -> str:
    """Shorten an object's key to its creator, which together with the digest makes the key."""
    try:
        name = parse_object_key(key)
    except UnsupportedFormatError:
        return key
    return name.creator if name.digest == digest else key


def _key(digest: Digest, place: str) -> Key:
    return Key(place) if "/" in place else object_key(digest, AttemptId(place))


def _chunks(digests: Iterable[Digest]) -> Iterable[list[Digest]]:
    waiting: list[Digest] = []
    for digest in digests:
        waiting.append(digest)
        if len(waiting) == _AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
