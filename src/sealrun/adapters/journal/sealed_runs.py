"""The records of sealed runs, as the journal keeps them while they are on their way."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator

import msgspec

from sealrun.domain.pieces import Body, Pieces, pieces_of
from sealrun.domain.ready import ready
from sealrun.domain.records import sha256
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.shelves import Pile

_FAST = 1
"""zlib's quickest level."""
_LONG_BYTES = 1 << 20
_UNPACKED_AT_ONCE = 256 << 10


def identity_of(run: SealedRun) -> bytes:
    """Return what tells a sealed run from every other: its folder and the bytes of its records."""
    parts = (run.folder.encode("utf-8", "surrogateescape"), run.run_json, run.manifest_json)
    return hashlib.sha256(b"".join(bytes.fromhex(sha256(part)) for part in parts)).digest()


class _Size(msgspec.Struct):
    """What of a run's record says how many bytes its files have."""

    size: int = 0


_decode_size = msgspec.json.Decoder(ready(_Size)).decode


def _size(run: SealedRun) -> int | None:
    try:
        return _decode_size(run.run_json).size
    except msgspec.MsgspecError:
        return None  # whoever delivers it meets the same error, and says so


def compressed(body: Body) -> Pile:
    """Return a record as it is kept, in pieces."""
    packer = zlib.compressobj(_FAST)
    pile = Pile()
    for piece in pieces_of(body):
        if packed := packer.compress(piece):
            pile.add(packed)
    pile.add(packer.flush())
    return pile


def store_run(
    connection: sqlite3.Connection,
    identity: bytes,
    run: SealedRun,
    now: float,
    run_json: Pile,
    manifest: Pile,
) -> int:
    """Keep a run's records inside a transaction that is somebody else's; return its id.

    A long manifest is kept in pieces: one value of that size would be in memory more than once.
    """
    is_long = manifest.size > _LONG_BYTES
    row = connection.execute(
        """INSERT INTO sealed_runs (identity, folder, accepted, run_json, manifest_json, size)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6)
           ON CONFLICT (identity) DO UPDATE SET accepted = excluded.accepted, run_json = excluded.run_json,
             manifest_json = excluded.manifest_json, size = excluded.size
           RETURNING id""",
        (
            identity,
            run.folder,
            now,
            b"".join(run_json),
            b"" if is_long else b"".join(manifest),
            _size(run),
        ),
    ).fetchone()
    sealed = int(row[0])
    connection.execute("DELETE FROM manifest_pieces WHERE sealed = ?", (sealed,))
    if is_long:
        connection.executemany(
            "INSERT INTO manifest_pieces (sealed, number, body) VALUES (?, ?, ?)",
            ((sealed, number, piece) for number, piece in enumerate(manifest)),
        )
    return sealed


def unpacked(kept: bytes, pieces: Iterator[bytes]) -> Body:
    """Return a manifest, as it was `kept` or, if that is empty, of its `pieces`, decompressed as they come."""
    if kept:
        return zlib.decompress(kept)
    unpacker = zlib.decompressobj()
    pile = Pile()
    for piece in pieces:
        while piece:
            pile.add(unpacker.decompress(piece, _UNPACKED_AT_ONCE))
            piece = unpacker.unconsumed_tail  # noqa: PLW2901 - the rest of it
    pile.add(unpacker.flush())
    return Pieces(lambda: pile)
