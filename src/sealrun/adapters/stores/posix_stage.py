"""Bytes that wait in a directory store, already on its file system, until their digest is known."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH108, PTH123

from __future__ import annotations

import contextlib
import os
import threading
from typing import BinaryIO

from sealrun.adapters.machine.sharing import share_blocks
from sealrun.adapters.stores.posix_durable import write_all
from sealrun.adapters.stores.posix_errors import translate, translated
from sealrun.adapters.stores.posix_room import Room
from sealrun.adapters.stores.posix_rounds import Together
from sealrun.domain.address import Digest
from sealrun.domain.errors import RunChangedError

OBJECT_MODE = 0o444
"""Objects are shared by hard links: whoever edits a projection in place must meet a refusal."""


class PosixStage:
    """`ports.Stage`: temporary files that `put_many` of the same store renames instead of copying."""

    def __init__(self, room: Room, together: Together) -> None:
        """Keep the files in `room`."""
        self.room = room
        self._together = together
        self.rounds = together.enter()
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self.closed = False
        self.clones = True
        """Until a file could not share its blocks: the next ones from there would not, either."""

    def receive(self) -> PosixIncoming:
        """Begin receiving one file; see the port."""
        with translated(f"{self.room}: bytes cannot be staged there"):
            fd, path = self.room.new_file(OBJECT_MODE)
        with self._lock:
            self._waiting.add(path)
        return PosixIncoming(self, fd, path)

    def forget(self, path: str) -> None:
        """Stop caring for a file that was dropped or given its final name."""
        with self._lock:
            self._waiting.discard(path)

    def close(self) -> None:
        """Discard what was not taken; see the port."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            waiting = tuple(self._waiting)
            self._waiting.clear()
        for path in waiting:
            with contextlib.suppress(OSError):  # what stays in the room goes when the room does
                os.unlink(path)
        self._together.leave(self.rounds)


class PosixIncoming:
    """`ports.Incoming`: one temporary file. Used by one thread at a time."""

    def __init__(self, stage: PosixStage, fd: int, path: str) -> None:
        """Receive into the open file `fd`, which lies at `path`."""
        self._stage = stage
        self._fd = fd
        self._path = path
        self._size = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Append."""
        with translated(f"{self._path}: staged bytes cannot be written"):
            write_all(self._fd, chunk)
        self._size += len(chunk)

    def clone(self, descriptor: int) -> int | None:
        """Share the blocks of a file, where the file system can; see the port."""
        if not self._stage.clones:
            return None
        with translated(f"{self._path}: staged bytes cannot be written"):
            if not share_blocks(descriptor, self._fd):
                self._stage.clones = False
                return None
            self._size = os.fstat(self._fd).st_size
        return self._fd

    def keep(self, digest: Digest) -> PosixStaged:
        """Close and keep the bytes; see the port."""
        fd, self._fd = self._fd, -1
        with translated(f"{self._path}: staged bytes cannot be written"):
            os.close(fd)  # a file server may report a failed write only now
        return PosixStaged(self._stage, self._path, self._size, digest)

    def drop(self) -> None:
        """Discard; see the port."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with contextlib.suppress(OSError):  # what stays in the room goes when the room does
            os.unlink(self._path)
        self._stage.forget(self._path)


class PosixStaged:
    """`ports.Source` of staged bytes, wherever they lie: waiting in the room, or stored under a key."""

    def __init__(self, stage: PosixStage, path: str, size: int, digest: Digest) -> None:
        """Stand for the `size` bytes with `digest` at `path`."""
        self.stage = stage
        self._path = path
        self._size = size
        self._digest = digest
        self._lock = threading.Lock()
        self._takeable = True
        self._stored = False

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
        try:
            return open(self._path, "rb")
        except FileNotFoundError as error:
            raise RunChangedError(
                f"{self._path}: the staged bytes are gone (their stage was closed, or they were stored and deleted); "
                "the folder has to be read again"
            ) from error
        except OSError as error:
            raise translate(error, f"{self._path}: staged bytes cannot be read") from error

    def take(self, room: Room) -> str | None:
        """Return the path to rename, to the first caller that works on the same room; None means: copy it.

        Once the disk lost bytes, nobody knows whether these were among them: they are read, checked and written anew.
        """
        with self._lock:
            stage = self.stage
            if stage.room is not room or stage.closed or not stage.rounds.fit or not self._takeable:
                return None
            self._takeable = False
            return self._path

    def give_back(self) -> None:
        """Undo `take`: nothing was renamed."""
        with self._lock:
            self._takeable = not self._stored

    def moved(self, path: str) -> None:
        """Remember under which name the bytes are stored: from now on they are only copied."""
        with self._lock:
            self.stage.forget(self._path)
            self._path = path
            self._stored = True
