"""Digests of many files with a pool of threads: big files first, each read once, each proven unchanged meanwhile.

Cost matters here: of ten thousand small files the system calls dominate, so one task takes many files of one folder
and a small file costs open, fstat, one read, fstat, close. (hashlib releases the interpreter while it digests.)
"""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby

from sealrun.adapters.beneath import changed, facts_of, open_file, opened_folder, split, translate
from sealrun.adapters.small_files import read_small_files
from sealrun.adapters.staging import Digested, Staging
from sealrun.domain.address import Digest
from sealrun.ports import FileFacts

_CHUNK = 4 << 20
_SMALL = 256 << 10
_BATCH = 64
_INLINE = 16


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
        alone = [partial(self._batch, batch) for batch in _batches(_but_for(files, packs))]
        packed = [partial(self._pack, number, pack, files) for number, pack in enumerate(packs)]
        if len(files) <= _INLINE and sum(facts.size for facts in files.values()) <= _CHUNK:
            for one in (*alone, *packed):
                one()
            return self._digested()
        # A pack is read by one thread and written by another: half as many of them keep the machine as busy.
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="sealrun-hash") as pool,
            ThreadPoolExecutor(max(1, self._workers // 2), thread_name_prefix="sealrun-read") as readers,
        ):
            futures = [pool.submit(one) for one in alone] + [readers.submit(one) for one in packed]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            self._stop.set()
            pool.shutdown(cancel_futures=True)
            readers.shutdown(cancel_futures=True)
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

    def _pack(self, number: int, paths: Sequence[str], files: Mapping[str, FileFacts]) -> None:
        bodies = read_small_files(self._root, ((path, files[path]) for path in paths), self._stop.is_set)
        self._digests.update(self._staging.pack(number, bodies))

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


def _but_for(files: Mapping[str, FileFacts], packs: Sequence[Sequence[str]]) -> Mapping[str, FileFacts]:
    if not packs:
        return files
    in_packs = {path for pack in packs for path in pack}
    return {path: facts for path, facts in files.items() if path not in in_packs}


def _batches(files: Mapping[str, FileFacts]) -> Iterator[list[tuple[str, FileFacts]]]:
    """Big files one by one, biggest first, so that none is left alone at the end; then small ones by folder."""
    big = sorted((item for item in files.items() if item[1].size > _SMALL), key=lambda item: -item[1].size)
    yield from ([item] for item in big)
    small = sorted((split(path)[0], path) for path, facts in files.items() if facts.size <= _SMALL)
    for _, group in groupby(small, key=lambda pair: pair[0]):
        paths = [path for _, path in group]
        for start in range(0, len(paths), _BATCH):
            yield [(path, files[path]) for path in paths[start : start + _BATCH]]
