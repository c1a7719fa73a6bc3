"""The records of sealed runs, as the journal keeps them while they are on their way."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib

import msgspec

from sealrun.domain.pieces import Body, pieces_of
from sealrun.domain.ready import ready
from sealrun.domain.records import sha256
from sealrun.domain.sealed import SealedRun

_FAST = 1
"""zlib's quickest level."""
_LONG_BYTES = 1 << 20


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


def compressed(body: Body) -> list[bytes]:
    """Return a record as it is kept, in pieces."""
    packer = zlib.compressobj(_FAST)
    pieces = [packer.compress(piece) for piece in pieces_of(body)]
    return [piece for piece in (*pieces, packer.flush()) if piece]


def store_run(
    connection: sqlite3.Connection,
    identity: bytes,
    run: SealedRun,
    now: float,
    run_json: list[bytes],
    manifest: list[bytes],
) -> int:
    """Keep a run's records inside a transaction that is somebody else's; return its id.

    What is long is written into the place made for it: as a value it would be copied twice.
    """
    size = sum(map(len, manifest))
    row = connection.execute(
        """INSERT INTO sealed_runs (identity, folder, accepted, run_json, manifest_json, size)
           VALUES (?1, ?2, ?3, ?4, CASE WHEN ?5 IS NULL THEN zeroblob(?6) ELSE ?5 END, ?7)
           ON CONFLICT (identity) DO UPDATE SET accepted = excluded.accepted, run_json = excluded.run_json,
             manifest_json = excluded.manifest_json, size = excluded.size
           RETURNING id""",
        (
            identity,
            run.folder,
            now,
            b"".join(run_json),
            b"".join(manifest) if size <= _LONG_BYTES else None,
            size,
            _size(run),
        ),
    ).fetchone()
    if size > _LONG_BYTES:
        with connection.blobopen("sealed_runs", "manifest_json", row[0]) as blob:
            for piece in manifest:
                blob.write(piece)
    return int(row[0])
