"""Digests of many files with a pool of threads: big files first, each read once, each proven unchanged meanwhile.

Cost matters here: of ten thousand small files the system calls dominate, so one task takes many files of one folder
and a small file costs open, fstat, one read, fstat, close. (hashlib releases the interpreter while it digests.)
"""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby

import msgspec

from sealrun.adapters.beneath import facts_of, open_file, opened_folder, printable, read_file, split, translate
from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError
from sealrun.domain.packing import PackWriter
from sealrun.ports import Copying, FileFacts, Source, StagedPack

_CHUNK = 4 << 20
_SMALL = 256 << 10
_BATCH = 64
_INLINE = 16


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
        self._lock = threading.Lock()
        self._promised: set[Digest] = set()
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
        incoming = self._copying.stage.receive()
        try:
            writer = PackWriter(incoming.write)
            for path, body in files:
                digest = digests[path] = Digest(hashlib.sha256(body).hexdigest())
                if self._promise(digest) and not self._copying.knows(digest, len(body)):
                    writer.add(digest, body)
            if writer.members:
                facts = writer.finish()
                self.packs[number] = StagedPack(incoming.keep(facts.digest), facts.members)
        finally:
            incoming.drop()
        return digests

    def _promise(self, digest: Digest) -> bool:
        with self._lock:
            new = digest not in self._promised
            self._promised.add(digest)
            return new


class Hashing:
    """One pass over the files of one folder."""

    def __init__(self, root: str, workers: int, staging: Staging) -> None:
        """Read below `root` with `workers` threads."""
        self._root = root
        self._workers = workers
        self._staging = staging
        self._stop = threading.Event()
        self._local = threading.local()
        self._digests: dict[str, Digest] = {}

    def run(self, files: Mapping[str, FileFacts], packs: Sequence[Sequence[str]] = ()) -> Digested:
        """Digest `files`, those that `packs` name pack by pack.

        `RunChangedError` if one is not, before and after reading, what its facts say.
        On any error the others are stopped first, so nothing reads or writes after the return.
        """
        packed = {path for pack in packs for path in pack}
        batches = list(_batches({path: facts for path, facts in files.items() if path not in packed}))
        work = [partial(self._batch, batch) for batch in batches]
        work += [
            partial(self._pack, number, [(path, files[path]) for path in pack]) for number, pack in enumerate(packs)
        ]
        if len(files) <= _INLINE and sum(facts.size for facts in files.values()) <= _CHUNK:
            for one in work:
                one()
            return self._digested()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="sealrun-hash") as pool:
            futures = [pool.submit(one) for one in work]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            for future in done:
                future.result()
        return self._digested()

    def _digested(self) -> Digested:
        packs = (pack for _, pack in sorted(self._staging.packs.items()))
        return Digested(self._digests, self._staging.staged, tuple(packs))

    def _batch(self, batch: list[tuple[str, FileFacts]]) -> None:
        folder, _ = split(batch[0][0])
        path = batch[0][0]
        try:
            with opened_folder(self._root, folder) as descriptor:
                for path, facts in batch:
                    self._digests[path] = self._file(descriptor, path, facts)
        except OSError as error:
            raise translate(error, os.path.join(self._root, path)) from error

    def _pack(self, number: int, files: list[tuple[str, FileFacts]]) -> None:
        self._digests.update(self._staging.pack(number, self._bodies(files)))

    def _bodies(self, files: list[tuple[str, FileFacts]]) -> Iterator[tuple[str, bytes]]:
        """Yield small files whole, each proven unchanged while it was read."""
        for folder, group in groupby(files, key=lambda item: split(item[0])[0]):
            path = folder
            try:
                with opened_folder(self._root, folder) as descriptor:
                    for path, facts in group:
                        yield path, self._body(descriptor, path, facts)
            except OSError as error:
                raise translate(error, os.path.join(self._root, path)) from error

    def _body(self, folder: int, path: str, facts: FileFacts) -> bytes:
        if self._stop.is_set():
            raise changed(os.path.join(self._root, path))
        body, status = read_file(folder, split(path)[1], facts.size)
        # read(2) returns less only at the end of a regular file
        if len(body) != facts.size or facts_of(status) != facts or not stat.S_ISREG(status.st_mode):
            raise changed(os.path.join(self._root, path))
        return body

    def _file(self, folder: int, path: str, facts: FileFacts) -> Digest:
        descriptor = open_file(folder, split(path)[1])
        try:
            self._check(descriptor, path, facts)
            digest = self._staging.digest(self._chunks(descriptor, path, facts), path, facts)
            self._check(descriptor, path, facts)
        finally:
            os.close(descriptor)
        return digest

    def _check(self, descriptor: int, path: str, facts: FileFacts) -> None:
        if facts_of(os.fstat(descriptor)) != facts:
            raise changed(os.path.join(self._root, path))

    def _chunks(self, descriptor: int, path: str, facts: FileFacts) -> Iterator[memoryview | bytes]:
        if facts.size <= _SMALL:
            body = os.read(descriptor, facts.size + 1)
            if len(body) != facts.size:  # read(2) returns less only at the end of a regular file
                raise changed(os.path.join(self._root, path))
            yield body
            return
        view = memoryview(self._buffer())
        done = 0
        while count := os.readv(descriptor, [view]):
            done += count
            if done > facts.size or self._stop.is_set():
                raise changed(os.path.join(self._root, path))
            yield view[:count]
        if done != facts.size:
            raise changed(os.path.join(self._root, path))

    def _buffer(self) -> bytearray:
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(_CHUNK)
        return buffer


def changed(path: str) -> RunChangedError:
    """Return the error for a file that changed while it was read."""
    return RunChangedError(f"{printable(path)}: changed while it was read; settle again")


def _batches(files: Mapping[str, FileFacts]) -> Iterator[list[tuple[str, FileFacts]]]:
    """Big files one by one, biggest first, so that none is left alone at the end; then small ones by folder."""
    big = sorted((item for item in files.items() if item[1].size > _SMALL), key=lambda item: -item[1].size)
    yield from ([item] for item in big)
    small = sorted((split(path)[0], path) for path, facts in files.items() if facts.size <= _SMALL)
    for _, group in groupby(small, key=lambda pair: pair[0]):
        paths = [path for _, path in group]
        for start in range(0, len(paths), _BATCH):
            yield [(path, files[path]) for path in paths[start : start + _BATCH]]
