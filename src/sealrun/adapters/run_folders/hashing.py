"""Digests of many files with a pool of threads: big files first, each read once, each proven unchanged meanwhile.

Cost matters here: of ten thousand small files the system calls dominate, so one task takes many files of one folder
and a small file costs open, fstat, one read, fstat, close. (hashlib releases the interpreter while it digests.)
"""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby

from sealrun.adapters.run_folders.beneath import changed, facts_of, open_file, opened_folder, split, translate
from sealrun.adapters.run_folders.small_files import read_small_files
from sealrun.adapters.run_folders.staging import Digested, Staging
from sealrun.adapters.run_folders.tables import FileTable
from sealrun.domain.address import Digest
from sealrun.domain.runs.entries import DIGEST_BYTES, ROWS, Entries, EntryBlock, hex_digests
from sealrun.domain.shelves import Blocks
from sealrun.domain.turns import Turns
from sealrun.ports import FileFacts

_CHUNK = 4 << 20
_SMALL = 256 << 10
_BATCH = 64
_MOST_BATCHES = 1000
_INLINE = 16


class Digests:
    """Digests of the files in a table, by their positions. Threads may set them at once, each its own."""

    def __init__(self, files: FileTable) -> None:
        """None is known yet."""
        self._files = files
        self._blocks = [bytearray(DIGEST_BYTES * len(block.sizes)) for block in files.blocks]
        self.known = bytearray(len(files))
        """A one for each file whose digest is known, until all are."""

    def set(self, number: int, digest: bytes | bytearray) -> None:
        """Keep the digest of one file."""
        block, row = divmod(number, ROWS)
        self._blocks[block][row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] = digest

    def set_all(self, numbers: Sequence[int], digests: bytearray) -> None:
        """Keep the digests of some files, which stand one behind the other. The numbers ascend: mostly neighbours."""
        if not numbers:  # each is remembered
            return
        if numbers[-1] - numbers[0] + 1 != len(numbers):
            for at, number in enumerate(numbers):
                self.set(number, digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES])
            return
        begin, block = 0, numbers[0] // ROWS
        while begin < len(digests):
            kept = self._blocks[block]
            first = (numbers[0] + begin // DIGEST_BYTES) % ROWS * DIGEST_BYTES
            count = min(len(kept) - first, len(digests) - begin)
            kept[first : first + count] = digests[begin : begin + count]
            begin, block = begin + count, block + 1

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks:
            yield from hex_digests(block)

    def entries(self) -> Entries:
        """Return the files with their digests, once all are known. What the table has of them is not copied."""
        return Entries(
            Blocks(
                EntryBlock(block.paths, block.sizes, digests, block.executable if any(block.executable) else b"")
                for block, digests in zip(self._files.blocks, self._blocks, strict=True)
            )
        )


class Hashing:
    """One pass over the files of one folder."""

    def __init__(self, root: str, workers: int, staging: Staging, moved: Callable[[], object] = lambda: None) -> None:
        """Read below `root` with `workers` threads; `moved` is called, from any of them, whenever they get on."""
        self._moved = moved
        self._root = root
        self._workers = workers
        self._staging = staging
        self._stop = threading.Event()
        self._local = threading.local()
        self._turns = Turns()

    def run(self, files: FileTable, digests: Digests, packs: Sequence[Sequence[int]] = ()) -> Digested:
        """Digest those of `files` whose digests are not known, those that `packs` name pack by pack.

        `RunChangedError` if one is not, before and after reading, what its facts say.
        On any error the others are stopped first, so nothing reads or writes after the return.
        """
        batches = _batches(files, digests.known, packs)
        alone = [partial(self._batch, files, digests, batch) for batch in batches]
        packed = [partial(self._pack, number, files, digests, pack) for number, pack in enumerate(packs)]
        if len(files) <= _INLINE and sum(facts.size for facts in files.facts()) <= _CHUNK:
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
        return Digested(self._staging.staged, tuple(packs))

    def _batch(self, files: FileTable, digests: Digests, batch: Sequence[int]) -> None:
        picked = list(files.pick(batch))
        with self._turns.turn(len(batch), sum(facts.size for _, facts in picked)):
            self._take(zip(batch, picked, strict=True), digests)

    def _take(self, rows: Iterable[tuple[int, tuple[str, FileFacts]]], digests: Digests) -> None:
        for folder, group in groupby(rows, key=lambda row: split(row[1][0])[0]):
            path = folder
            try:
                with opened_folder(self._root, folder) as descriptor:
                    for number, (path, facts) in group:
                        digests.set(number, bytes.fromhex(self._file(descriptor, path, facts)))
                        self._moved()
            except OSError as error:
                raise translate(error, os.path.join(self._root, path)) from error

    def _pack(self, number: int, files: FileTable, digests: Digests, pack: Sequence[int]) -> None:
        bodies = read_small_files(self._root, files.pick_columns(pack), self._is_stopped)
        digests.set_all(pack, self._staging.pack(number, bodies))

    def _is_stopped(self) -> bool:
        self._moved()
        return self._stop.is_set()

    def _file(self, folder: int, path: str, facts: FileFacts) -> Digest:
        descriptor = open_file(folder, split(path)[1])
        try:
            self._check(descriptor, path, facts)
            digest = self._staging.digest(descriptor, lambda opened: self._chunks(opened, path, facts), path, facts)
            self._check(descriptor, path, facts)
        finally:
            os.close(descriptor)
        self._staging.digested(path, facts, digest)
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
            self._moved()
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


def _batches(files: FileTable, known: bytearray, packs: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Positions of the files that no pack takes and whose digests are not known, in batches.

    Big files one by one, biggest first, so that none is left alone at the end; then small ones, neighbours together.
    """
    taken = bytearray(known)
    for pack in packs:
        for number in pack:
            taken[number] = 1
    big: list[tuple[int, int]] = []
    small = array("I")
    number = taken.find(0)
    while number >= 0:
        size = files.blocks[number // ROWS].sizes[number % ROWS]
        if size > _SMALL:
            big.append((-size, number))
        else:
            small.append(number)
        number = taken.find(0, number + 1)
    at_once = max(_BATCH, len(small) // _MOST_BATCHES)
    return [
        *([number] for _, number in sorted(big)),
        *(small[start : start + at_once] for start in range(0, len(small), at_once)),
    ]
