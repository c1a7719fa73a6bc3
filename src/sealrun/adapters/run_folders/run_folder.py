"""The files of a run on this machine: scanned, hashed and opened without ever leaving the folder or writing to it."""

# ruff: noqa: PTH118, PTH119, PTH120 - names go to and from the kernel as they are

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterable
from itertools import compress
from typing import BinaryIO, Literal

import msgspec

from sealrun.adapters.run_folders.beneath import (
    changed,
    facts_of,
    is_anchored,
    open_file,
    opened_folder,
    split,
    translate,
)
from sealrun.adapters.run_folders.hashing import Digests, Hashing
from sealrun.adapters.run_folders.scanning import is_unchanged, survey_file, survey_folder
from sealrun.adapters.run_folders.staging import Staging
from sealrun.adapters.run_folders.tables import FileTable
from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.patterns import Patterns
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Copying, FileFacts, HashCache, Hashed, Source, Survey, Tree

_RACY_NS = 2_000_000_000
"""A file changed less than this before it was hashed may change again without its times showing it (FAT counts in
steps of two seconds; git calls such entries "racily clean"): its digest is not remembered."""

_NO_ROW = (-1, None)

Moving = Callable[[], Callable[[], object] | None]
"""Asked in a thread: what to call, from any thread, when the work of that one gets on; None: nothing."""


def nobody_asks() -> None:
    """Nobody wants to know whether work gets on."""
    return


def default_workers() -> int:
    """How many threads hash: as many as there are processors, within reason; two where one would wait for the disk.

    More do not pay: for small files the threads wait for the interpreter, for large ones for the processors.
    """
    return max(2, min(8, os.cpu_count() or 1))


class LocalSource:
    """`ports.Source`: one file of a run, checked on opening."""

    def __init__(self, root: str, entry: Entry, facts: FileFacts | None) -> None:
        """Read `entry` below `root`; with `facts`, only while they are the file's."""
        self._root = root
        self._entry = entry
        self._facts = facts

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._entry.size

    @property
    def digest(self) -> Digest:
        """sha256 of the bytes."""
        return self._entry.sha256

    def open(self) -> BinaryIO:
        """Open for one sequential read; see the port."""
        folder, name = split(self._entry.path)
        path = os.path.join(self._root, self._entry.path)
        try:
            with opened_folder(self._root, folder) as descriptor:
                file = open_file(descriptor, name)
        except OSError as error:
            raise translate(error, path) from error
        status = os.fstat(file)
        if status.st_size != self._entry.size or self._facts not in {None, facts_of(status)}:
            os.close(file)
            raise changed(path)
        return os.fdopen(file, "rb")


class LocalFolder:
    """`ports.RunFolder` for a folder or file on this machine."""

    def __init__(
        self,
        path: str,
        *,
        unit: Literal["folder", "file"] = "folder",
        patterns: Patterns | None = None,
        hashes: HashCache,
        workers: int | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        moving: Moving = nobody_asks,
        hashed: Callable[[int], object] = lambda _size: None,
    ) -> None:
        """Show what `patterns` leave of the run at the absolute `path`; `hashes` remembers digests.

        `hashed` is told how many bytes were read to digest them, each time that is done.
        """
        self._moving = moving
        self._hashed = hashed
        self.path = path
        self.name = os.path.basename(path)
        self.unit: Literal["folder", "file"] = unit
        self._patterns = patterns or Patterns()
        self._hashes = hashes
        self._workers = workers or default_workers()
        self._wall_ns = wall_ns
        above = os.path.dirname(path)
        self._root = path if unit == "folder" else above if is_anchored(above) else os.path.realpath(above)

    def survey(self) -> Survey:
        """List everything; see the port."""
        return survey_file(self._root, self.name) if self.unit == "file" else survey_folder(self.path, self._patterns)

    def scan(self) -> Tree:
        """List everything, or raise `RunRejectedError`; see the port."""
        survey = self.survey()
        if survey.problem is not None:
            raise RunRejectedError(survey.problem)
        return survey.tree

    def hash(self, tree: Tree, copying: Copying | None = None) -> Hashed:
        """Digest every file; see the port. The last thing done is to list everything again and compare."""
        started_ns = self._wall_ns()
        files = FileTable.of(tree.files)
        digests = Digests(files)
        forgotten = self._find_known(files, digests)
        known, packs = digests.known, copying.packs if copying is not None else ()
        unknown = _unknown_bytes(files, known)
        if any(known):
            left = (array("I", [number for number in pack if not known[number]]) for pack in packs)
            packs = [pack for pack in left if pack]
        moved = self._moving() or nobody_asks
        found = Hashing(self._root, self._workers, Staging(copying), moved).run(files, digests, packs)
        self._hashed(unknown)
        self._check_unchanged(tree)
        self._remember(files, digests, started_ns, forgotten=forgotten)
        return Hashed(digests.entries(), found.staged, found.packs)

    def source(self, entry: Entry, facts: FileFacts | None = None) -> Source:
        """Return the bytes of `entry`; see the port."""
        return LocalSource(self._root, entry, facts)

    def read_small(self, path: str, limit: int) -> bytes | None:
        """Return a small regular file's bytes; see the port. A link, or a path through one, counts as absent."""
        file = self._open_small(path)
        if file is None:
            return None
        with os.fdopen(file, "rb") as opened:
            body = opened.read(limit + 1)
        return body if len(body) <= limit else None

    def read_part(self, path: str, offset: int, length: int) -> bytes | None:
        """Return a part of a regular file; see the port. A link, or a path through one, counts as absent."""
        file = self._open_small(path)
        if file is None:
            return None
        with os.fdopen(file, "rb") as opened:
            opened.seek(offset)
            return opened.read(length)

    def _open_small(self, path: str) -> int | None:
        folder, name = split(path)
        try:
            with opened_folder(self._root, folder) as descriptor:
                return open_file(descriptor, name)
        except OSError as error:
            problem = translate(error, os.path.join(self._root, path))
            if isinstance(problem, RunChangedError):
                return None
            raise problem from error

    def _check_unchanged(self, tree: Tree) -> None:
        if self.unit == "folder" and is_unchanged(self._root, self._patterns, tree):
            return
        after = self.scan()  # to say what changed, or since a single file is looked at as quickly
        if after == tree:
            return
        for path in sorted(tree.files.keys() | after.files.keys()):
            if tree.files.get(path) != after.files.get(path):
                raise changed(os.path.join(self._root, path))
        raise changed(self.path)

    def _find_known(self, files: FileTable, digests: Digests) -> bool:
        """Set the digests of files that are what they were when they were hashed; tell whether there were others."""
        forgotten = False
        rows = enumerate(files.rows())
        number, row = next(rows, _NO_ROW)
        for path, facts, digest in self._hashes.known(self.path):
            while row is not None and row[0] < path:
                number, row = next(rows, _NO_ROW)
            if row is not None and row == (path, facts):
                digests.set(number, bytes.fromhex(digest))
                digests.known[number] = 1
            else:
                forgotten = True
        return forgotten

    def _remember(self, files: FileTable, digests: Digests, started_ns: int, *, forgotten: bool) -> None:
        known, racy_ns = digests.known, started_ns - _RACY_NS
        settled = bytearray(max(facts.mtime_ns, facts.ctime_ns) < racy_ns for facts in files.facts())
        if not forgotten and not any(old < now for old, now in zip(known, settled, strict=True)):
            return
        rows = zip(known, settled, files.rows(), digests, strict=True)
        self._hashes.remember(
            self.path, ((path, facts, Digest(digest)) for old, now, (path, facts), digest in rows if old or now)
        )


def _unknown_bytes(files: FileTable, known: bytearray) -> int:
    """How many bytes the files have whose digests are not known."""
    total = begin = 0
    for block in files.blocks:
        total += sum(block.sizes) - sum(compress(block.sizes, known[begin : begin + len(block.sizes)]))
        begin += len(block.sizes)
    return total


class NoHashes(msgspec.Struct, frozen=True):
    """`ports.HashCache` that remembers nothing, for commands that have no journal."""

    def known(self, folder: str) -> Iterable[tuple[str, FileFacts, Digest]]:  # noqa: ARG002 - the port's signature
        """Know nothing."""
        return ()

    def remember(self, folder: str, digests: Iterable[tuple[str, FileFacts, Digest]]) -> None:
        """Forget at once."""
