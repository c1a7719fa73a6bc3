"""Bytes copied into a stage while they are hashed: files alone, and small ones into packs."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping

import msgspec

from sealrun.adapters.run_folders.behind import Behind
from sealrun.domain.address import Digest
from sealrun.domain.grouping import in_portions
from sealrun.domain.registry.columns import Cupboard
from sealrun.domain.registry.packing import PackWriter
from sealrun.ports import Copying, FileFacts, Source, StagedPack

FEW = 8192
_WORTH_SHARING = 1 << 20
"""Below, writing a file once more is quicker than having the system write out what it has not written of it yet."""
_MANY_ALONE = 20_000
"""Beyond so many, files below that are only digested, and read again to be stored: what waits in the stage takes half
a KiB of memory, and reading it again some microseconds of the hundred that it takes to store it."""
_ASKED_FILES, _ASKED_BYTES = 64, 1 << 20
"""So many files are asked about at a time, or so many bytes of them: each question is a statement of the journal's."""
Read = Callable[[int], Iterable[memoryview | bytes]]


class Digested(msgspec.Struct, frozen=True):
    """What waits in the stage."""

    staged: Mapping[Digest, Source]
    packs: tuple[StagedPack, ...]


class Staging:
    """Copies into a stage while hashing; keeps one copy of each digest. Used from many threads."""

    def __init__(self, copying: Copying | None) -> None:
        """Copy what `copying` says, if anything."""
        self._copying = copying
        self._stage = None if copying is None else copying.stage
        self._promised = Promises()
        self.staged: dict[Digest, Source] = {}
        self.packs: dict[int, StagedPack] = {}
        self._cupboard = Cupboard()

    def digest(self, descriptor: int, read: Read, path: str, facts: FileFacts) -> Digest:
        """Digest what ``read(descriptor)`` yields of one open file, and copy it on the way if it is wanted.

        Where a copy can share the file's blocks nothing is copied. What is digested then is the copy, which stays as it
        is: the file may change at any moment, and in the same tick of the clock.
        """
        hasher = hashlib.sha256()
        copying, stage = self._copying, self._stage
        incoming = None
        if copying is not None and stage is not None and self._is_staged(facts) and copying.alone(path, facts):
            incoming = stage.receive()
        if incoming is None:
            for chunk in read(descriptor):
                hasher.update(chunk)
            return Digest(hasher.hexdigest())
        try:
            shared = incoming.clone(descriptor) if facts.size >= _WORTH_SHARING else None
            for chunk in read(descriptor if shared is None else shared):
                hasher.update(chunk)
                if shared is None:
                    incoming.write(chunk)
            digest = Digest(hasher.hexdigest())
            if self._promised.add(bytes.fromhex(digest)):
                self.staged[digest] = incoming.keep(digest)
        finally:
            incoming.drop()
        return digest

    def _is_staged(self, facts: FileFacts) -> bool:
        return facts.size >= _WORTH_SHARING or len(self.staged) < _MANY_ALONE

    def digested(self, path: str, facts: FileFacts, digest: Digest) -> None:
        """A file that is in no pack was the same before and after its digest was made."""
        if self._copying is not None and self._copying.ahead is not None:
            self._copying.ahead.file(path, facts, digest)

    def pack(self, number: int, bodies: Iterable[bytes]) -> bytearray:
        """Digest small files, given by their bytes, and copy the new ones into the pack of that number.

        Return the digests one behind the other, as bytes.
        """
        digests = bytearray()
        if self._copying is None or self._stage is None:
            for body in bodies:
                digests += hashlib.sha256(body).digest()
            return digests
        known, promise = self._copying.known, self._promised.add
        incoming = self._stage.receive()
        output = Behind(incoming.write)
        try:
            writer = PackWriter(output)
            for some in in_portions(bodies, len, _ASKED_BYTES, _ASKED_FILES):
                fresh: dict[Digest, bytes] = {}
                for body in some:
                    raw = hashlib.sha256(body).digest()
                    digests += raw
                    if promise(raw):
                        fresh[Digest(raw.hex())] = body
                there = known({digest: len(body) for digest, body in fresh.items()})
                for digest, body in fresh.items():
                    if digest not in there:
                        writer.add(digest, body)
            if writer.members:
                facts = writer.finish()
                self._cupboard.keep(facts.members.columns)
                self.packs[number] = pack = StagedPack(incoming.keep(facts.digest), facts.members)
                if self._copying.ahead is not None:
                    self._copying.ahead.pack(pack)
        finally:
            output.close()
            incoming.drop()
        return digests


class Promises:
    """Which bytes somebody copies already. Used from many threads.

    Some thousand digests are kept as they are, which is quicker; of more, eight bytes each in a table with open
    addressing: of a million, 16 MiB instead of 200. Two digests that share those bytes count as one: the second is not
    copied, and read again when it is to be stored.
    """

    def __init__(self) -> None:
        """Nobody copies anything."""
        self._lock = threading.Lock()
        self._few: set[bytes] = set()
        self._table = array("Q")
        self._count = 0

    def add(self, digest: bytes) -> bool:
        """Tell whether nobody else copies these bytes; from now on somebody does."""
        with self._lock:
            if self._table:
                return self._add_to_table(_mark(digest))
            if digest in self._few:
                return False
            self._few.add(digest)
            if len(self._few) > FEW:
                self._table = array("Q", (0,)) * (4 * FEW)
                for known in self._few:
                    self._add_to_table(_mark(known))
                self._few = set()
        return True

    def _add_to_table(self, mark: int) -> bool:
        if self._count * 3 >= len(self._table) * 2:
            self._grow()
        if not self._put(self._table, mark):
            return False
        self._count += 1
        return True

    def _grow(self) -> None:
        table = array("Q", (0,)) * (2 * len(self._table))
        for mark in self._table:
            if mark:
                self._put(table, mark)
        self._table = table

    def _put(self, table: array[int], mark: int) -> bool:
        last = len(table) - 1
        at = mark & last
        while found := table[at]:
            if found == mark:
                return False
            at = (at + 1) & last
        table[at] = mark
        return True


def _mark(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") or 1
