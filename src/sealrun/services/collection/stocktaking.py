"""What a plan looks at beside its mark: standing batches, quarantine, unfinished uploads, and all that is stored.

None of it depends on the mark, nor the mark on it, so that where a look takes long they are made at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice

import msgspec

from sealrun.domain.address import BATCHES, OBJECTS, PACKS, QUARANTINE, Key, quarantined_object
from sealrun.ports import ObjectStat, Remover, Store, Unfinished
from sealrun.services.collection.batches import Batches
from sealrun.services.threads.fanning import fan_out

_BEGUN = 1000


class Stock(msgspec.Struct, frozen=True):
    """What was found. `condemned` are keys that standing batches name, `batches` all that there is of any batch.

    `stored` yields objects by key, then packs, and goes on listing as it is read.
    """

    condemned: frozenset[Key]
    batches: tuple[ObjectStat, ...]
    quarantined: frozenset[Key]
    unfinished: tuple[Unfinished, ...]
    stored: Iterator[ObjectStat]


class _Listing:
    """A listing whose first answer is asked for early."""

    def __init__(self, found: Iterator[ObjectStat]) -> None:
        self._found = found
        self._first: list[ObjectStat] = []

    def begin(self) -> None:
        """Ask for the first answer."""
        self._first = list(islice(self._found, _BEGUN))

    def __iter__(self) -> Iterator[ObjectStat]:
        yield from self._first
        self._first = []
        yield from self._found


def take_stock(store: Store, remover: Remover, batches: Batches, width: int) -> Stock:
    """Look at everything, `width` at a time."""
    listings = [_Listing(store.list(prefix)) for prefix in (OBJECTS, PACKS)]
    condemned: set[Key] = set()
    gathered: list[ObjectStat] = []
    quarantined: set[Key] = set()
    unfinished: list[Unfinished] = []

    def look_at_batches() -> None:
        gathered.extend(store.list(BATCHES))
        condemned.update(batches.keys(gathered))

    looks: list[Callable[[], None]] = [
        look_at_batches,
        lambda: quarantined.update(quarantine(store)),
        lambda: unfinished.extend(remover.unfinished()),
        *(listing.begin for listing in listings),
    ]
    fan_out(lambda look: look(), looks, width)
    stored = chain.from_iterable(listings)
    return Stock(frozenset(condemned), tuple(gathered), frozenset(quarantined), tuple(unfinished), stored)


def quarantine(store: Store) -> Iterator[Key]:
    """Keys of damaged objects."""
    return (quarantined_object(found.key) for found in store.list(QUARANTINE))
