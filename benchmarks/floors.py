"""The floors: the least Python work that hashes and stores every byte once, and reads it back. A yardstick, no product.

::

    python -m benchmarks.floors FORM ACTION STORE INDEX [SOURCE|DESTINATION] [--name NAME]

FORM is ``cas`` (one object for each content) or ``pack`` (files up to 1 MiB in packs of 32 MiB); STORE a folder or
``s3://bucket`` (endpoint and keys from ``FLOOR_ENDPOINT`` and the usual AWS variables; needs obstore); INDEX a file
that remembers what is stored where, and NAME's manifest. ACTION is

* ``publish``: sha256 of every file, bytes that are new to STORE, one ``syncfs`` of a folder, a manifest;
* ``restore``: every file of the manifest written and hashed again;
* ``verify``: sha256 of everything in STORE, which is the machine's limit for a full verification;
* ``hash``: sha256 of every file of SOURCE, and nothing else.

What they leave out is what sealrun is for: no journal, no intent, no locking, no resume, no proof that a file stood
still, no seal, no findable name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MIB = 1 << 20
SMALL = MIB
PACK = 32 * MIB
CHUNK = 4 * MIB
THREADS = os.cpu_count() or 1
Entry = tuple[str, int, str]


@dataclass
class Index:
    """Where each digest's bytes are: key and offset. One JSON file, read and written whole."""

    path: Path
    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    manifests: dict[str, list[Entry]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read it, or begin."""
        if not path.exists():
            return cls(path)
        known = json.loads(path.read_bytes())
        return cls(path, known["places"], known["manifests"])

    def save(self) -> None:
        """Write it; durable on return."""
        _write_durably(self.path, json.dumps({"places": self.places, "manifests": self.manifests}).encode())


class Target(Protocol):
    """A store's data side. Writers are called from many threads."""

    packed_by: int

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Write small content."""
        ...

    def copy(self, path: str) -> str:
        """Write a large file under its digest, which is returned; what the store has already may be skipped."""
        ...

    def read(self, key: str, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Yield a range of an object."""
        ...

    def objects(self) -> Iterator[tuple[str, int]]:
        """Yield every object and its size."""
        ...

    def finish(self, manifest: bytes) -> None:
        """Make everything durable, and the manifest last."""
        ...


def walk(source: str) -> list[tuple[str, int]]:
    """Return every file's path and size, in order."""
    found: list[tuple[str, int]] = []
    folders = [source]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found.append((entry.path, entry.stat().st_size))
    return sorted(found)


def _read_whole(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - ten thousand times
        return file.read()


def _chunks(path: str, offset: int = 0, size: int = -1) -> Iterator[memoryview]:
    view = memoryview(bytearray(CHUNK if size < 0 else min(CHUNK, size or 1)))
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - ten thousand times
        if offset:
            file.seek(offset)
        while size and (count := file.readinto(view if size < 0 else view[:size])):
            yield view[:count]
            size -= count if size > 0 else 0


def _write_durably(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


class Publishing:
    """One run: what is known, and what this run adds."""

    def __init__(self, target: Target, index: Index, *, packed: bool) -> None:
        self.target, self.index, self.packed = target, index, packed
        self.rows: list[Entry] = []

    def publish(self, source: str, name: str) -> None:
        """Store a folder: large files side by side, small ones in one thread that feeds as many writers."""
        files = walk(source)
        large = sorted((each for each in files if each[1] > SMALL), key=lambda each: -each[1])
        small = [each for each in files if each[1] <= SMALL]
        with ThreadPoolExecutor(THREADS) as pool:
            copies = [pool.submit(self.copy, source, path, size) for path, size in large]
            if self.packed:
                copies.append(pool.submit(self.fill_packs, source, small))
            else:
                with ThreadPoolExecutor(self.target.packed_by) as writers:
                    list(writers.map(lambda each: self.keep(source, *each), small))
            for each in copies:
                each.result()
        self.index.manifests[name] = self.rows
        self.target.finish(json.dumps(self.rows, separators=(",", ":")).encode())
        self.index.save()

    def copy(self, source: str, path: str, size: int) -> None:
        """Store one large file."""
        digest = self.target.copy(path)
        self.index.places[digest] = (f"objects/{digest[:2]}/{digest[2:]}", 0)
        self.rows.append((path[len(source) + 1 :], size, digest))

    def keep(self, source: str, path: str, size: int) -> None:
        """Store one small file as an object of its own."""
        body = _read_whole(path)
        digest = hashlib.sha256(body).hexdigest()
        self.rows.append((path[len(source) + 1 :], size, digest))
        if digest not in self.index.places:
            key = f"objects/{digest[:2]}/{digest[2:]}"
            self.index.places[digest] = (key, 0)
            self.target.put(key, body)

    def fill_packs(self, source: str, files: Sequence[tuple[str, int]]) -> None:
        """Read and hash small files one after the other; full packs are written meanwhile."""
        places, rows, written, waiting = self.index.places, self.rows, bytearray(), list[Future[None]]()
        tag, number = time.time_ns(), 0
        with ThreadPoolExecutor(4) as writers:
            for path, size in files:
                body = _read_whole(path)
                digest = hashlib.sha256(body).hexdigest()
                rows.append((path[len(source) + 1 :], size, digest))
                if digest in places:
                    continue
                places[digest] = (f"packs/{tag}-{number}", len(written))
                written += body
                if len(written) >= PACK:
                    waiting.append(writers.submit(self.target.put, f"packs/{tag}-{number}", written))
                    written, number = bytearray(), number + 1
            if written:
                waiting.append(writers.submit(self.target.put, f"packs/{tag}-{number}", written))
            for each in waiting:
                each.result()


def restore(target: Target, index: Index, name: str, destination: str) -> None:
    """Write every file of a manifest, hashed on the way, neighbours in a pack with one read of the pack."""
    places = index.places
    groups: dict[str, list[tuple[int, int, str, str]]] = {}
    for path, size, digest in index.manifests[name]:
        key, offset = places[digest]
        groups.setdefault(key, []).append((offset, size, path, digest))
    for folder in sorted({os.path.dirname(path) for path, _, _ in index.manifests[name]}):  # noqa: PTH120 - many
        os.makedirs(f"{destination}/{folder}", exist_ok=True)  # noqa: PTH103 - the same

    def one(key: str, members: list[tuple[int, int, str, str]]) -> None:
        members.sort()
        if len(members) == 1:
            offset, size, path, digest = members[0]
            _write_checked(f"{destination}/{path}", target.read(key, offset, size), digest)
            return
        start = members[0][0]
        end = members[-1][0] + members[-1][1]
        body = memoryview(b"".join(map(bytes, target.read(key, start, end - start))))
        for offset, size, path, digest in members:
            _write_checked(f"{destination}/{path}", iter((body[offset - start : offset - start + size],)), digest)

    many = max(len(groups) > 2 * THREADS, 1) * target.packed_by
    with ThreadPoolExecutor(max(THREADS, many)) as pool:
        order = sorted(groups.items(), key=lambda each: -sum(size for _, size, _, _ in each[1]))
        for future in [pool.submit(one, *each) for each in order]:
            future.result()


def _write_checked(path: str, chunks: Iterator[bytes | memoryview], digest: str) -> None:
    hasher = hashlib.sha256()
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - ten thousand times
        for chunk in chunks:
            hasher.update(chunk)
            file.write(chunk)
    if hasher.hexdigest() != digest:
        raise ValueError(path)


def verify(target: Target) -> None:
    """Hash every object, the largest first, on every processor."""

    def one(key: str, size: int) -> str:
        hasher = hashlib.sha256()
        for chunk in target.read(key, 0, size):
            hasher.update(chunk)
        return hasher.hexdigest()

    with ThreadPoolExecutor(max(THREADS, target.packed_by)) as pool:
        for future in [pool.submit(one, *each) for each in sorted(target.objects(), key=lambda each: -each[1])]:
            future.result()


def hash_files(source: str) -> None:
    """Hash every file on every processor: nobody who reads all bytes is quicker."""

    def one(path: str, size: int) -> str:
        if size <= SMALL:
            return hashlib.sha256(_read_whole(path)).hexdigest()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - ten thousand times
            return hashlib.file_digest(file, "sha256", _bufsize=CHUNK).hexdigest()

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(one, *each) for each in sorted(walk(source), key=lambda each: -each[1])]:
            future.result()


def main(argv: Sequence[str]) -> int:
    """Do one action."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors", description=__doc__)
    parser.add_argument("form", choices=("cas", "pack"))
    parser.add_argument("action", choices=("publish", "restore", "verify", "hash"))
    parser.add_argument("store")
    parser.add_argument("index", type=Path)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--name", default="run")
    options = parser.parse_args(argv)
    if options.action == "hash":
        hash_files(options.folder)
        return 0
    from benchmarks.floor_targets import S3, Folder  # noqa: PLC0415 - S3 brings obstore

    index = Index.load(options.index)
    known = index.places
    target: Target = S3(options.store, known) if options.store.startswith("s3://") else Folder(options.store, known)
    if options.action == "publish":
        Publishing(target, index, packed=options.form == "pack").publish(options.folder, options.name)
    elif options.action == "restore":
        restore(target, index, options.name, options.folder)
    else:
        verify(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
