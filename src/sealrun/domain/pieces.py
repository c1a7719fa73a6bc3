"""Long records as pieces that are made when they are gone through: of a run with a million files hundreds of MiB."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property


class Pieces:
    """The bytes of a record that are made anew, and always the same, each time they are gone through.

    Equal to the bytes they are. A copy that leaves the process is those bytes.
    """

    def __init__(self, make: Callable[[], Iterable[bytes]]) -> None:
        """Go through what `make` returns, which is a function of values that never change."""
        self._make = make

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._make())

    def __bytes__(self) -> bytes:
        whole = io.BytesIO()
        for piece in self:
            whole.write(piece)
        return whole.getvalue()

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes."""
        hasher = hashlib.sha256()
        for piece in self:
            hasher.update(piece)
        return hasher.hexdigest()

    def __eq__(self, other: object) -> bool:
        """Compare the bytes, also with some that are there as a whole."""
        if isinstance(other, Pieces):
            return self is other or self.sha256 == other.sha256
        return isinstance(other, bytes) and self._are(other)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)

    def _are(self, whole: bytes) -> bool:
        begin, view = 0, memoryview(whole)
        for piece in self:
            if view[begin : begin + len(piece)] != piece:
                return False
            begin += len(piece)
        return begin == len(whole)


Body = bytes | Pieces
"""A record to be written: as it is, or to be made."""


def pieces_of(body: Body) -> Iterable[bytes]:
    """Return the bytes of a record, some at a time."""
    return (body,) if isinstance(body, bytes) else body
