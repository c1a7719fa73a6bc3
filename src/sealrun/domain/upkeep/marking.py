"""What a collector remembers of a registry, in a few bytes per object: a million objects fit into ten megabytes.

Everything is split by the first byte of the digest, in the order in which objects are listed, and then packs, so that
one part at a time is unpacked. Fingerprints stand for keys: 64 bits of a hash. Two keys with one fingerprint make the
collector keep an object too many, never one too few, since a fingerprint only ever says that something is needed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from io import BytesIO

from sealrun.domain.address import OBJECTS, PACKS, Digest, Key, is_pack
from sealrun.domain.upkeep.collection import CondemnedObject

_PARTS = 256
_WORD = 8
_PAIR = struct.Struct("<8sI")
_USE = struct.Struct("<B8s")
_LEAST_TIDY = 4096
_CHUNK = 4096


def part_of_key(key: Key) -> int:
    """In which part the key of an object or a pack lies."""
    begin = len(PACKS if is_pack(key) else OBJECTS)
    return int(key[begin : begin + 2], 16)


def prefix_of_part(key: Key) -> str:
    """What the keys of one kind in one part begin with: those of objects and of packs are listed apart."""
    return f"{PACKS if is_pack(key) else OBJECTS}{part_of_key(key):02x}/"


def part_of_digest(digest: Digest) -> int:
    """In which part a digest lies: that of every object with these bytes."""
    return int(digest[:2], 16)


def fingerprint(text: str) -> bytes:
    """Eight bytes that stand for `text`."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=_WORD).digest()


class Uses:
    """The objects and packs that one attempt uses, in nine bytes each: its refs, once read, may be forgotten."""

    def __init__(self, keys: Iterable[Key]) -> None:
        """Hold `keys`; one that comes twice takes room twice."""
        packed = BytesIO()
        for key in keys:
            packed.write(_USE.pack(part_of_key(key), fingerprint(key)))
        self._packed = packed.getvalue()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the part and the fingerprint of each."""
        return _USE.iter_unpack(self._packed)


class Fingerprints:
    """A set of keys or digests that only grows."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._tidy_at = [_LEAST_TIDY * _WORD] * _PARTS
        self._unpacked: tuple[int, set[bytes]] | None = None

    def add(self, part: int, text: str) -> None:
        """Add `text`, which lies in `part`."""
        self.put(part, fingerprint(text))

    def put(self, part: int, word: bytes) -> None:
        """Add what has the fingerprint `word` and lies in `part`."""
        packed = self._parts[part]
        packed += word
        if len(packed) > self._tidy_at[part]:
            distinct = set(_words(packed))
            self._parts[part] = bytearray(b"".join(distinct))
            self._tidy_at[part] = max(_LEAST_TIDY * _WORD, 2 * len(distinct) * _WORD)
        if self._unpacked is not None and self._unpacked[0] == part:
            self._unpacked[1].add(word)

    def holds(self, part: int, text: str) -> bool:
        """Tell whether `text` was added. Quick as long as the part is the same as last time."""
        if self._unpacked is None or self._unpacked[0] != part:
            self._unpacked = (part, set(_words(self._parts[part])))
        return fingerprint(text) in self._unpacked[1]


class LastUses:
    """Which run used a key last: a map from keys to numbers, where a later entry wins."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._tidy_at = [_LEAST_TIDY * _PAIR.size] * _PARTS
        self._unpacked: tuple[int, dict[bytes, int]] | None = None

    def put(self, part: int, word: bytes, number: int) -> None:
        """Say that `number` used the key with the fingerprint `word`, which lies in `part`."""
        packed = self._parts[part]
        packed += _PAIR.pack(word, number)
        if len(packed) > self._tidy_at[part]:
            distinct = dict(_PAIR.iter_unpack(packed))
            self._parts[part] = bytearray(b"".join(_PAIR.pack(word, n) for word, n in distinct.items()))
            self._tidy_at[part] = max(_LEAST_TIDY, 2 * len(distinct)) * _PAIR.size
        self._unpacked = None

    def of(self, part: int, key: str) -> int | None:
        """Return who used `key` last, or None. Quick as long as the part is the same as last time."""
        if self._unpacked is None or self._unpacked[0] != part:
            self._unpacked = (part, dict(_PAIR.iter_unpack(self._parts[part])))
        return self._unpacked[1].get(fingerprint(key))


def _words(packed: bytearray) -> Iterator[bytes]:
    body = bytes(packed)
    return (body[at : at + _WORD] for at in range(0, len(body), _WORD))


class Doomed:
    """A long list of objects to be deleted, compressed; it is read in the order in which it was written."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._chunks: list[bytes] = []
        self._open: list[str] = []
        self.objects = 0
        self.size = 0

    def add(self, found: CondemnedObject) -> None:
        """Append one."""
        self._open.append(f"{found.key}\t{found.size}\t{found.used_by or ''}")
        self.objects += 1
        self.size += found.size
        if len(self._open) == _CHUNK:
            self._chunks.append(_pack(self._open))
            self._open = []

    def __iter__(self) -> Iterator[CondemnedObject]:
        """Yield all, in order."""
        for chunk in self._chunks:
            yield from _unpack(zlib.decompress(chunk).decode())
        if self._open:
            yield from _unpack("\n".join(self._open))

    def batches(self, most: int) -> Iterator[tuple[CondemnedObject, ...]]:
        """Yield all in batches of at most `most`."""
        batch: list[CondemnedObject] = []
        for found in self:
            batch.append(found)
            if len(batch) == most:
                yield tuple(batch)
                batch = []
        if batch:
            yield tuple(batch)


def _pack(lines: Iterable[str]) -> bytes:
    return zlib.compress("\n".join(lines).encode(), level=1)


def _unpack(text: str) -> Iterator[CondemnedObject]:
    for line in text.split("\n"):
        key, size, used_by = line.split("\t")
        yield CondemnedObject(key=Key(key), size=int(size), used_by=used_by or None)
