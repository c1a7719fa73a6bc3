"""Room of the journal: where digests were once stored, per registry."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.address import AttemptId, Digest, Key, object_key, parse_object_key
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.grouping import in_groups
from sealrun.domain.registry.hinting import gathered
from sealrun.domain.registry.places import PlaceRow, all_sizes, in_order, pack_keys
from sealrun.domain.registry.publication import Hint, Stored

_AT_ONCE = 500
"""So many values fit into one statement of every SQLite in use."""
_ROWS_AT_ONCE = 100
_LEARN = "INSERT OR REPLACE INTO hints (registry, digest, place, size, offset, pack, sealed_by) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_SIZES = "SELECT size FROM sizes WHERE registry = ?"
_PLACES = (
    "SELECT digest, coalesce(keys.name, place), size, offset, attempts.name FROM hints "
    "LEFT JOIN named AS keys ON keys.id = pack LEFT JOIN named AS attempts ON attempts.id = sealed_by "
    "WHERE registry = ?"
)


class HintRoom:
    """`ports.Hints`."""

    def __init__(self, file: JournalFile) -> None:
        """Keep hints in `file`."""
        self._file = file

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:
        """The most recent place of each digest that has one; see the port."""
        return gathered(self._places_of(registry_id, digests))

    def _places_of(self, registry_id: str, digests: Iterable[Digest]) -> Iterator[tuple[Digest, Hint]]:
        number = self._number(registry_id)
        for chunk in in_groups(digests, _AT_ONCE):
            marks = ",".join("?" * len(chunk))
            rows = self._file.rows(f"{_PLACES} AND digest IN ({marks})", (number, *map(bytes.fromhex, chunk)))
            for raw, place, size, offset, attempt in rows:
                digest = Digest(raw.hex())
                yield digest, Hint(Stored(_key(digest, place), size, offset), attempt)

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:
        """Which of `sizes` are known; see the port. A size whose hints were forgotten stays known."""
        number = self._number(registry_id)
        found: set[int] = set()
        for chunk in in_groups(set(sizes), _AT_ONCE):
            marks = ",".join("?" * len(chunk))
            rows = self._file.rows(f"{_SIZES} AND size IN ({marks})", (number, *chunk))
            found.update(size for (size,) in rows)
        return found

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        """Remember places and sizes; see the port."""
        with self._file.write(lasting=False) as connection:
            number = _register(connection, registry_id)
            attempt = None if sealed_by is None else _name(connection, sealed_by)
            packs = {key: _name(connection, key) for key in pack_keys(places)}
            # In the order of its key a table grows at its end, which costs less.
            for some in in_groups(in_order(places), _ROWS_AT_ONCE):
                _learn(connection, number, attempt, packs, some)
            connection.executemany(
                "INSERT OR IGNORE INTO sizes (registry, size) VALUES (?, ?)",
                [(number, size) for size in all_sizes(places)],
            )

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        """Drop hints that turned out to be wrong; see the port."""
        number = self._number(registry_id)
        with self._file.write(lasting=False) as connection:
            connection.executemany(
                "DELETE FROM hints WHERE registry = ? AND digest = ?",
                ((number, bytes.fromhex(digest)) for digest in digests),
            )

    def _number(self, registry_id: str) -> int:
        rows = self._file.rows("SELECT id FROM registries WHERE registry_id = ?", (registry_id,))
        return rows[0][0] if rows else -1


def _register(connection: sqlite3.Connection, registry_id: str) -> int:
    connection.execute("INSERT OR IGNORE INTO registries (registry_id) VALUES (?)", (registry_id,))
    row = connection.execute("SELECT id FROM registries WHERE registry_id = ?", (registry_id,)).fetchone()
    return int(row[0])


def _learn(
    connection: sqlite3.Connection, number: int, attempt: int | None, packs: Mapping[Key, int], rows: list[PlaceRow]
) -> None:
    values = [
        (number, digest, _place(digest, key) if offset is None else "", size, offset, packs.get(key), attempt)
        for digest, key, size, offset in rows
    ]
    if len(rows) == _ROWS_AT_ONCE:  # one statement for each row costs half as much again; others are prepared once, too
        connection.execute(_LEARN + ", ".join([_ROW] * _ROWS_AT_ONCE), list(chain.from_iterable(values)))
    else:
        connection.executemany(_LEARN + _ROW, values)


def _name(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO named (name) VALUES (?)", (name,))
    return int(connection.execute("SELECT id FROM named WHERE name = ?", (name,)).fetchone()[0])


def _place(digest: bytes, key: Key) -> str:
    """Shorten an object's key to its creator, which together with the digest makes the key."""
    try:
        name = parse_object_key(key)
    except UnsupportedFormatError:
        return key
    return name.creator if name.digest == digest.hex() else key


def _key(digest: Digest, place: str) -> Key:
    return Key(place) if "/" in place else object_key(digest, AttemptId(place))
