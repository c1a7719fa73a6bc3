"""The newest base of an index: found, and read some at a time. It may be cleared away once a newer one stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from sealrun.domain.address import base_log, generation_of
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.indexing import Rows, lines_of
from sealrun.ports import Glimpse, ObjectStat

_PIECE = 8 << 20
_IN_LINES = 256 << 10


class Base(msgspec.Struct, frozen=True):
    """A base as it was read: its number, and its rows, which are decoded when they are asked for."""

    number: int
    rows: Rows


def newest_of(store: Glimpse, experiment: str) -> ObjectStat | None:
    """Find the newest base; None where there is none."""
    return next(iter(store.list(base_log(experiment), limit=1)), None)


def read_base(newest: Callable[[], ObjectStat | None], store: Glimpse) -> Base:
    """Read the base that `newest` finds, and look again if it was cleared away meanwhile; number 0 if there is none."""
    while (found := newest()) is not None:
        try:
            return Base(generation_of(found.key), Rows(base_lines(store, found), found.key))
        except NotFoundError:
            if newest() == found:
                raise
    return Base(0, Rows())


def base_lines(store: Glimpse, found: ObjectStat) -> Iterator[bytes]:
    """Yield the lines of a base that was listed; `NotFoundError` if it is cleared away before the last one."""
    return lines_of(base_pieces(store, found))


def base_pieces(store: Glimpse, found: ObjectStat) -> Iterator[bytes]:
    """Yield its bytes in the same way."""
    if found.size <= _PIECE:
        yield store.read(found.key)
        return
    begin = 0
    while piece := store.read(found.key, begin, _PIECE):
        for at in range(0, len(piece), _IN_LINES):
            yield piece[at : at + _IN_LINES]
        if len(piece) < _PIECE:
            return
        begin += len(piece)
