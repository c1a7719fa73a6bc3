"""Records that may be long, read back: a short one as it is, a long one some at a time, and never as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from sealrun.domain.address import Key
from sealrun.domain.pieces import Body, Pieces
from sealrun.domain.shelves import Pile
from sealrun.ports import Store

LONG = 4 << 20
"""From so many bytes on a record is long."""
_PIECE = 256 << 10


def read_body(store: Store, key: Key) -> Body:
    """Return a record that never changes; `NotFoundError` if there is none.

    A long one is read again each time it is gone through: from where it is, if that is near, else from a shelf of this
    process, once it was fetched.
    """
    begin = store.read(key, 0, LONG)
    if len(begin) < LONG:
        return begin
    if store.capabilities.links:
        return Pieces(lambda: _nearby(store, key))
    pile = Pile()
    while begin:
        for at in range(0, len(begin), _PIECE):
            pile.add(begin[at : at + _PIECE])
        begin = store.read(key, pile.size, LONG) if len(begin) == LONG else b""
    return Pieces(lambda: pile)


def _nearby(store: Store, key: Key) -> Iterator[bytes]:
    with store.open(key) as file:
        while piece := file.read(_PIECE):
            yield piece
