"""Bytes copied into a stage while they are hashed: files alone, and small ones into packs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from sealrun.adapters.behind import Behind
from sealrun.domain.address import Digest
from sealrun.domain.packing import PackWriter
from sealrun.ports import Copying, FileFacts, Source, StagedPack


class Digested(msgspec.Struct, frozen=True):
    """Digests by path, and what waits in the stage."""

    digests: Mapping[str, Digest]
    staged: Mapping[Digest, Source]
    packs: tuple[StagedPack, ...]


class Staging:
    """Copies into a stage while hashing; keeps one copy of each digest. Used from many threads."""

    def __init__(self, copying: Copying | None) -> None:
        """Copy what `copying` says, if anything."""
        self._copying = copying
        self._promised: dict[Digest, object] = {}
        self.staged: dict[Digest, Source] = {}
        self.packs: dict[int, StagedPack] = {}

    def digest(self, chunks: Iterable[memoryview | bytes], path: str, facts: FileFacts) -> Digest:
        """Digest the chunks of one file, and copy them on the way if they are wanted."""
        hasher = hashlib.sha256()
        copying = self._copying
        incoming = copying.stage.receive() if copying is not None and copying.alone(path, facts) else None
        if incoming is None:
            for chunk in chunks:
                hasher.update(chunk)
            return Digest(hasher.hexdigest())
        try:
            for chunk in chunks:
                hasher.update(chunk)
                incoming.write(chunk)
            digest = Digest(hasher.hexdigest())
            if self._promise(digest):
                self.staged[digest] = incoming.keep(digest)
        finally:
            incoming.drop()
        return digest

    def pack(self, number: int, files: Iterable[tuple[str, bytes]]) -> dict[str, Digest]:
        """Digest small files, given with their bytes, and copy the new ones into the pack of that number."""
        if self._copying is None:
            return {path: Digest(hashlib.sha256(body).hexdigest()) for path, body in files}
        digests: dict[str, Digest] = {}
        knows, promise = self._copying.knows, self._promise
        incoming = self._copying.stage.receive()
        output = Behind(incoming.write)
        try:
            writer = PackWriter(output)
            for path, body in files:
                digest = digests[path] = Digest(hashlib.sha256(body).hexdigest())
                if promise(digest) and not knows(digest, len(body)):
                    writer.add(digest, body)
            if writer.members:
                facts = writer.finish()
                self.packs[number] = StagedPack(incoming.keep(facts.digest), facts.members)
        finally:
            output.close()
            incoming.drop()
        return digests

    def _promise(self, digest: Digest) -> bool:
        """Tell whether nobody else copies these bytes. One operation on a dictionary needs no lock."""
        mine = object()
        return self._promised.setdefault(digest, mine) is mine
