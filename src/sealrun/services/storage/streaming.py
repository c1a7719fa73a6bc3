"""Whole objects, front to back, with bounded memory: what is far away is fetched ahead of whoever reads."""

from __future__ import annotations

from collections.abc import Iterator

from sealrun.domain.address import Key
from sealrun.ports import Store
from sealrun.services.threads.fanning import fan_through

PIECE = 4 << 20
"""What is fetched at once, and up to which size an object is one read."""
_NEAR_PIECE = 1 << 20


def stream(store: Store, key: Key, size: int, ahead: int = 2, begin: int = 0) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an object whose `size` is known, each piece valid until the next is taken.

    At most one byte more than `size` is read: enough to tell that it is longer. A shorter one ends early. Up to
    `ahead` pieces wait in memory beside the one that is yielded. `NotFoundError` if there is none. The bytes before
    `begin`, a multiple of `PIECE` inside the object, are left out.
    """
    if size <= PIECE:
        yield store.read(key, 0, size + 1)
    elif store.capabilities.links:  # on this machine: the kernel reads ahead, into one buffer that stays in the cache
        yield from _nearby(store, key, begin, size + 1 - begin)
    else:
        last = (size - 1) // PIECE

        def piece(number: int) -> bytes:
            return store.read(key, number * PIECE, PIECE if number < last else size + 1 - last * PIECE)

        width = min(ahead, store.capabilities.parallel)
        yield from fan_through(piece, range(begin // PIECE, last + 1), width, waiting_at_most=width)


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
