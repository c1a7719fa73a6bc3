"""One file of a run, opened for reading: by ranges, and verified when it is read as a whole."""

from __future__ import annotations

import hashlib
import io
import os
import weakref
from collections.abc import Callable
from threading import RLock, get_ident
from typing import Any

Fetch = Callable[[int, int], bytes]
"""``fetch(offset, length)`` returns that many bytes, which are inside the file."""

FIRST_WINDOW = 64 << 10
_MOST_AHEAD = 8 << 20
_opened: weakref.WeakSet[OpenFile] = weakref.WeakSet()


class OpenFile(io.BufferedIOBase):
    """A binary file that is read by ranges, with bounded memory, like any other file.

    Reading here and there fetches little more than what is asked for; reading on fetches ever more ahead. Whoever
    reads it from its beginning to its end, without leaving anything out, has it verified: the last read raises what
    `damaged` returns if the bytes were not those with `sha256`.

    Threads may share it if each of them seeks before it reads, as DuckDB's do: a read begins where the same thread
    has sought last, whatever others did in between. Whoever reads on without seeking reads on from where the last
    read or seek of any thread left off.
    """

    def __init__(
        self,
        name: str,
        size: int,
        sha256: str,
        fetch: Fetch,
        damaged: Callable[[], Exception],
        window: int | None = None,
    ) -> None:
        """Read by `fetch`, at first `window` bytes at a time; `name` names the file in messages."""
        self.name = name
        self.size = size
        self.sha256 = sha256
        self.mode = "rb"
        self._fetch = fetch
        self._damaged = damaged
        self._first = self._window = min(window or FIRST_WINDOW, _MOST_AHEAD)
        self._at = 0
        self._sought: dict[int, int] = {}
        self._begin, self._held = 0, b""
        self._hasher, self._hashed = hashlib.sha256(), 0
        self._lock = RLock()
        _opened.add(self)

    def renew(self) -> None:
        """Begin anew in a forked child, if a thread that only the parent has was reading: it would never be done."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = RLock()
        self._sought = {}
        self._begin, self._held = 0, b""
        self._hasher, self._hashed = hashlib.sha256(), 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        self._check_open()
        with self._lock:
            self._sought.clear()  # who asks where the file stands counts on one position for all
            return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; costs nothing until the next read."""
        self._check_open()
        with self._lock:
            at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence] + offset
            if at < 0:
                msg = f"{self.name}: cannot seek to {at}"
                raise ValueError(msg)
            if whence == io.SEEK_SET:
                self._sought[get_ident()] = at
            else:
                self._sought.clear()
            self._at = at
            return at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; by default all that are left."""
        self._check_open()
        with self._lock:
            self._go_where_sought()
            return self._read_on(self.size if size is None or size < 0 else size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the bytes that come next, by at most one request."""
        self._check_open()
        with self._lock:
            self._go_where_sought()
            most = len(self._take(self.size)) or self._ahead()
            return self._read_on(most if size < 0 else min(size, most))

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        """Fill `buffer`, except at the end of the file."""
        view = memoryview(buffer).cast("B")
        body = self.read(len(view))
        view[: len(body)] = body
        return len(body)

    def peek(self, _size: int = 0, /) -> bytes:
        """Return some of the bytes that come next without moving; reading lines leans on it."""
        self._check_open()
        with self._lock:
            self._go_where_sought()
            if self._at >= self.size:
                return b""
            return self._take(self.size) or self._look(self._ahead())

    def _go_where_sought(self) -> None:
        """Begin where this thread has sought; without that at the position that all share, which settles it for all."""
        mine = self._sought.pop(get_ident(), None)
        if mine is None:
            self._sought.clear()
        else:
            self._at = mine

    def _read_on(self, size: int) -> bytes:
        wanted = min(size, max(0, self.size - self._at))
        held = self._take(wanted)
        if len(held) < wanted:
            missing = wanted - len(held)
            held += self._get(missing, max(missing, self._ahead()))
        self._hash(self._at, held)
        self._at += len(held)
        return held

    def _take(self, wanted: int) -> bytes:
        """What of the bytes that come next is in memory."""
        begin = self._at - self._begin
        return self._held[begin : begin + wanted] if 0 <= begin < len(self._held) else b""

    def _ahead(self) -> int:
        """How much to fetch: ever more while the file is read on, little after a jump."""
        reads_on = self._at <= self._begin + len(self._held) and self._at >= self._begin and bool(self._held)
        self._window = min(self._window * 2, _MOST_AHEAD) if reads_on else self._first
        return self._window

    def _get(self, missing: int, length: int) -> bytes:
        """Fetch what follows the bytes in memory, or the position, and keep what is beyond it."""
        begin = self._at + len(self._take(self.size))
        length = min(length, self.size - begin)
        body = self._fetch(begin, length)
        if length <= _MOST_AHEAD:
            self._begin, self._held = begin, body
        else:  # a large read: nobody wants it twice in memory
            self._begin, self._held = begin + length, b""
        return body[:missing] if missing < length else body

    def _look(self, length: int) -> bytes:
        self._get(0, length)
        return self._held

    def _hash(self, begin: int, body: bytes) -> None:
        """Digest what was read on from the beginning, so that the whole is verified when the end is reached."""
        if begin > self._hashed or not body:
            return
        fresh = memoryview(body)[self._hashed - begin :]
        if not fresh:
            return
        self._hasher.update(fresh)
        self._hashed += len(fresh)
        if self._hashed == self.size and self._hasher.hexdigest() != self.sha256:
            raise self._damaged()

    def _check_open(self) -> None:
        if self.closed:
            msg = f"{self.name}: the file is closed"
            raise ValueError(msg)


def _renew_all() -> None:
    for file in [*_opened]:
        file.renew()


os.register_at_fork(after_in_child=_renew_all)
