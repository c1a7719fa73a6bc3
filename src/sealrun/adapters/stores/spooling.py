"""Bytes that wait on this machine for a store that has no place for them, in files without names."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from sealrun.adapters.stores.posix_durable import write_all
from sealrun.adapters.stores.unnamed import cannot_wait, open_unnamed
from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError

_WHAT = "bytes cannot wait there for their upload"


class SpoolStage:
    """`ports.Stage` in unnamed temporary files of one folder. Nothing of it outlives a crash."""

    def __init__(self, folder: str) -> None:
        """Keep the bytes on the disk of `folder`, which is there."""
        self._folder = folder
        self._lock = threading.Lock()
        self._open: list[int] = []
        self._closed = False

    def receive(self) -> SpoolIncoming:
        """Begin receiving one file; see the port."""
        try:
            descriptor = open_unnamed(self._folder)
        except OSError as error:
            raise cannot_wait(self._folder, _WHAT, error) from error
        return SpoolIncoming(self, self._folder, descriptor)

    def keep(self, descriptor: int) -> None:
        """Close `descriptor` when the stage is closed."""
        with self._lock:
            if self._closed:
                os.close(descriptor)
            else:
                self._open.append(descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the stage from being closed; `RunChangedError` if it is: its descriptors may be other files by now."""
        with self._lock:
            if self._closed:
                raise RunChangedError(
                    "bytes that waited for their upload are gone (their stage was closed); "
                    "the folder has to be read again"
                )
            yield

    def close(self) -> None:
        """Discard everything; see the port."""
        with self._lock:
            self._closed = True
            for descriptor in self._open:
                os.close(descriptor)
            self._open = []


class SpoolIncoming:
    """`ports.Incoming`: one unnamed file. Used by one thread at a time."""

    def __init__(self, stage: SpoolStage, folder: str, descriptor: int) -> None:
        """Receive into the open file `descriptor`."""
        self._stage = stage
        self._folder = folder
        self._descriptor = descriptor
        self._size = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        try:
            write_all(self._descriptor, chunk)
        except OSError as error:
            raise cannot_wait(self._folder, _WHAT, error) from error
        self._size += len(chunk)

    def clone(self, descriptor: int) -> None:
        """What is spooled are packs: no file has their bytes."""

    def keep(self, digest: Digest) -> Spooled:
        """Keep the bytes; see the port."""
        descriptor, self._descriptor = self._descriptor, -1
        self._stage.keep(descriptor)
        return Spooled(self._stage, descriptor, self._size, digest)

    def drop(self) -> None:
        """Discard; see the port."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Spooled:
    """`ports.Source` of bytes that wait; any number may read them at once."""

    def __init__(self, stage: SpoolStage, descriptor: int, size: int, digest: Digest) -> None:
        """Stand for the `size` bytes of the open file `descriptor`."""
        self._stage = stage
        self._descriptor = descriptor
        self._size = size
        self._digest = digest

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    @property
    def digest(self) -> Digest:
        """sha256 of the bytes."""
        return self._digest

    def open(self) -> BinaryIO:
        """Open for one sequential read; see the port."""
        with self._stage.held():
            # Opened anew, since duplicates of a descriptor share their position.
            return io.BufferedReader(io.FileIO(f"/proc/self/fd/{self._descriptor}"))

    def duplicate(self) -> int:
        """Return a descriptor for whoever reads at positions of its own, and closes it. `RunChangedError`: as above."""
        with self._stage.held():
            return os.dup(self._descriptor)
