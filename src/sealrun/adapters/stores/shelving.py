"""Bytes that are too many for memory, in a file without a name: gone with the process, or with whoever holds it."""

from __future__ import annotations

import os
import threading
import weakref

from sealrun.adapters.stores.posix_durable import write_all
from sealrun.adapters.stores.unnamed import cannot_wait, open_unnamed

_WHAT = "lists of many files cannot wait there"


class FileShelf:
    """`domain.shelves.Shelf` in one unnamed temporary file."""

    def __init__(self, folder: str | None = None) -> None:
        """Keep the bytes on the disk of `folder`, which is there, or where temporary files go."""
        self._folder = folder or _usual_folder()
        try:
            self._descriptor = open_unnamed(self._folder)
        except OSError as error:
            raise cannot_wait(self._folder, _WHAT, error) from error
        weakref.finalize(self, os.close, self._descriptor)
        self._lock = threading.Lock()
        self._size = 0

    def append(self, body: bytes) -> int:
        """Keep bytes behind those that are there; return where they begin."""
        with self._lock:
            begin = self._size
            try:
                write_all(self._descriptor, body)
            except OSError as error:
                raise cannot_wait(self._folder, _WHAT, error) from error
            self._size += len(body)
        return begin

    def read(self, begin: int, size: int) -> bytes:
        """Return bytes that were kept."""
        return os.pread(self._descriptor, size, begin)


def _usual_folder() -> str:
    import tempfile  # noqa: PLC0415 - most commands have no list that is so long

    return tempfile.gettempdir()
