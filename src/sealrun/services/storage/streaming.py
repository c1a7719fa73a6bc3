"""Whole objects, front to back, with bounded memory: what is far away is fetched ahead of whoever reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Semaphore

from sealrun.domain.address import Key
from sealrun.ports import Store
from sealrun.services.threads.fanning import fan_through

PIECE = 4 << 20
"""What is fetched at once, and up to which size an object is one read."""
_NEAR_PIECE = 1 << 20


class Spare:
    """Room in memory that somebody has no use for any more: whoever still streams may fetch further ahead.

    Who reads the last long file of many then has all of the line to himself.
    """

    def __init__(self) -> None:
        """There is none yet."""
        self._pieces = Semaphore(0)

    def give(self, pieces: int) -> None:
        """Leave room for so many `pieces`, at least one, to others."""
        self._pieces.release(pieces)

    @contextmanager
    def lent(self) -> Iterator[Callable[[], bool]]:
        """Yield what takes room for one more piece, if there is some. At the end all of it is given back."""
        taken = 0

        def take() -> bool:
            nonlocal taken
            there = self._pieces.acquire(blocking=False)
            taken += there
            return there

        try:
            yield take
        finally:
            if taken:
                self._pieces.release(taken)


def stream(
    store: Store, key: Key, size: int, ahead: int = 2, begin: int = 0, spare: Spare | None = None
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an object whose `size` is known, each piece valid until the next is taken.

    At most one byte more than `size` is read: enough to tell that it is longer. A shorter one ends early. Up to
    `ahead` pieces wait in memory beside the one that is yielded, and as many more as there is `spare` room for.
    `NotFoundError` if there is none. The bytes before `begin`, a multiple of `PIECE` inside the object, are left out.
    """
    if size <= PIECE:
        yield store.read(key, 0, size + 1)
    elif store.capabilities.links:  # on this machine: the kernel reads ahead, into one buffer that stays in the cache
        yield from _nearby(store, key, begin, size + 1 - begin)
    else:
        last = (size - 1) // PIECE

        def piece(number: int) -> bytes:
            return store.read(key, number * PIECE, PIECE if number < last else size + 1 - last * PIECE)

        numbers, parallel = range(begin // PIECE, last + 1), store.capabilities.parallel
        own = min(ahead, parallel)
        if spare is None:
            yield from fan_through(piece, numbers, own, waiting_at_most=own)
            return
        with spare.lent() as one_more:
            yield from fan_through(piece, numbers, parallel, waiting_at_most=own, one_more=one_more)


def _nearby(store: Store, key: Key, begin: int, most: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_NEAR_PIECE))
    with store.open(key) as file:
        file.seek(begin)
        while most > 0:
            got = file.readinto(buffer[: min(most, _NEAR_PIECE)])  # type: ignore[attr-defined] # every binary file has it
            if not got:
                return
            most -= got
            yield buffer[:got]
