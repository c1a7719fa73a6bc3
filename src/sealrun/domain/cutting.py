"""Going through a long record once, front to back, and taking it apart where it was put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec


class OtherwiseError(msgspec.MsgspecError):
    """The record is not written as it would be here: it has to be looked at as a whole."""


class Cutter:
    """The bytes of a record, some at a time. Belongs to one thread."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Begin in front of `pieces`."""
        self._pieces = iter(pieces)
        self._rest = b""

    def through(self, mark: bytes, most: int) -> bytes:
        """Return what comes next, up to the end of `mark`; `OtherwiseError` if that is not among the next `most`."""
        begin = 0
        while (at := self._rest.find(mark, begin)) < 0:
            begin = max(0, len(self._rest) - len(mark) + 1)
            if len(self._rest) > most or not self._more():
                raise OtherwiseError
        return self._take(at + len(mark))

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes, fewer at the end."""
        while len(self._rest) < count and self._more():
            pass
        return self._take(count)

    def parts(self, between: bytes, end: bytes, keep: int) -> Iterator[bytes]:
        """Yield what comes next, up to `end`, in parts that were cut at `between`; go on behind `end`.

        The first `keep` bytes of either belong to what they stand behind. Nothing but what is between two parts is
        left out, of which the last byte is a line feed.
        """
        while True:
            at = self._rest.find(end)
            if at >= 0:
                part = self._take(at + keep)
                self._take(len(end) - keep)
                yield part
                return
            cut = self._rest.rfind(between)
            if cut >= 0:
                part = self._take(cut + keep)
                self._take(len(between) - keep)
                yield part
            if not self._more():
                raise OtherwiseError

    def rest(self, most: int) -> bytes:
        """Return what is left, unless that is more than `most`."""
        while self._more():
            if len(self._rest) > most:
                raise OtherwiseError
        return self._take(len(self._rest))

    def _take(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._rest += piece
        return bool(piece)
