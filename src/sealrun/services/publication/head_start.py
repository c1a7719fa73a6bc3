"""A head start: bytes of a run go to a registry while the rest of it is hashed, under keys of the attempt to come.

The attempt has no intent yet, and needs none: whatever an undecided attempt uploaded is kept, and nobody references it.
Its delivery takes the ticket over, which is durable then, and uploads what did not go ahead. If none does, the attempt
is declared void. A crash before that leaves objects of an attempt that nobody knows; a collector declares it void once
it was silent for a day.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from queue import SimpleQueue

from sealrun.domain.address import Digest, Key, object_key, pack_key
from sealrun.domain.errors import SealrunError
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import FileFacts, Source, StagedPack, Store

SourceOf = Callable[[Entry, FileFacts], Source]
"""The bytes of a file, as long as it looks like that."""

WORTH_BYTES = 1 << 20
"""Smaller packs and files do not go ahead: to begin for their sake costs more than it brings."""
_MOST = 10_000
_log = logging.getLogger("sealrun.publication")


class _GivenUpError(Exception):
    """Ends what is on its way; it never leaves this module."""


class HeadStart:
    """`ports.Ahead`: the head start of one run to one registry. Any thread may call anything.

    What cannot go ahead, for whatever reason, is left to the delivery, which finds out for itself.
    """

    def __init__(
        self,
        store: Store,
        registry_id: str,
        ticket: AttemptTicket,
        sources: SourceOf,
        is_new: Callable[[Key], bool],
        declare_void: Callable[[], object],
    ) -> None:
        """Send to `store` as the attempt of `ticket`; nothing, if the first thing that is to be sent is not new there.

        `sources` has the files, ``is_new(key)`` looks for the bytes under anybody's key. `declare_void` ends the
        attempt if nobody takes it over.
        """
        self.registry_id = registry_id
        self.ticket = ticket
        self._store = store
        self._sources = sources
        self._is_new = is_new
        self._declare_void = declare_void
        self._known: Callable[[Mapping[Digest, int]], Collection[Digest]] = lambda _sizes: ()
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Key, Source] | None] = SimpleQueue()
        self._offered: set[Key] = set()
        self._begun: set[Key] = set()
        self._stored: set[Key] = set()
        self._thread: threading.Thread | None = None
        self._let_go = threading.Event()
        self._taken = False
        self._closed = False
        self._given_up = False
        self._passed_bytes = 0
        self._hear: Callable[[int], None] | None = None

    def knowing(self, known: Callable[[Mapping[Digest, int]], Collection[Digest]]) -> HeadStart:
        """Leave out what is `known` to be in the registry already, of digests given with their sizes."""
        self._known = known
        return self

    def pack(self, pack: StagedPack) -> None:
        """Send a pack that is worth it; see the port."""
        if pack.source.size >= WORTH_BYTES:
            self._offer(pack_key(pack.source.digest, self.ticket.attempt), pack.source)

    def file(self, path: str, facts: FileFacts, digest: Digest) -> None:
        """Send a file that is worth it, and not there already; see the port."""
        if facts.size < WORTH_BYTES or self._known({digest: facts.size}):
            return
        entry = Entry(path=path, size=facts.size, sha256=digest)
        self._offer(object_key(digest, self.ticket.attempt), self._sources(entry, facts))

    def take(self, registry_id: str) -> AttemptTicket | None:
        """Take the attempt over for a delivery to that registry; None if it is for another, taken, or given up.

        Whoever takes it makes it durable before anything else.
        """
        with self._lock:
            if self._taken or self._given_up or not self._offered or registry_id != self.registry_id:
                return None
            self._taken = True
            return self.ticket

    def tell(self, hear: Callable[[int], None]) -> None:
        """Have `hear` called with the bytes that have gone ahead by now, and with each piece that does from now on."""
        with self._lock:
            so_far, self._hear = self._passed_bytes, hear
        hear(so_far)

    def hand_over(self) -> Collection[Key]:
        """Begin nothing more; return the keys that are on their way or stored. Harmless to repeat."""
        with self._lock:
            self._close()
            return frozenset(self._begun)

    def wait(self) -> Collection[Key]:
        """Wait until nothing is on its way any more, after `hand_over`; return the keys that are stored, durably."""
        if self._thread is not None:
            self._thread.join()
        return frozenset(self._stored)

    def give_up(self) -> None:
        """Stop at once; unless a delivery took it over, the attempt is declared void. Does not wait. Harmless twice."""
        with self._lock:
            self._given_up = True
            self._close()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found that is worth it."""
        return not self._offered

    @property
    def is_over(self) -> bool:
        """Whether nothing is on its way, and nothing will be."""
        return self._closed and (self._thread is None or not self._thread.is_alive())

    def _close(self) -> None:
        """Take nothing more out of the queue; called with the lock held."""
        self._closed = True
        self._queue.put(None)
        self._let_go.set()

    def _offer(self, key: Key, source: Source) -> None:
        with self._lock:
            if self._closed or key in self._offered or len(self._offered) >= _MOST:
                return
            self._offered.add(key)
            self._queue.put((key, source))
            if self._thread is None:
                name = f"sealrun-ahead-{self.ticket.attempt}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            self._store.put_many(self._items(), self._ended)
        except Exception as error:  # noqa: BLE001 - whatever it is, the delivery meets it, too, and answers it
            self._closed = True
            if not self._given_up:
                _log.info("%s: not all was sent while the run was hashed: %s", self._store.url, _shown(error))
        self._let_go.wait()
        if self._given_up and self._begun and not self._taken:
            try:
                self._declare_void()
            except Exception as error:  # noqa: BLE001 - a collector does it, a day later
                why = _shown(error)
                _log.info("%s: attempt %s is left to a collector: %s", self._store.url, self.ticket.attempt, why)

    def _items(self) -> Iterator[tuple[Key, Source]]:
        while (item := self._queue.get()) is not None:
            key, source = item
            if not self._begun and not self._closed and not self._is_new(key):
                self._closed = True  # the run is there, too, probably: all would be sent in vain
            with self._lock:
                if self._closed:
                    break
                self._begun.add(key)
            yield key, HeardSource(source, self._passed)
        self._go_on()

    def _ended(self, key: Key, _size: int) -> None:
        with self._lock:
            self._stored.add(key)

    def _passed(self, size: int) -> None:
        self._go_on()
        with self._lock:
            self._passed_bytes += size
            hear = self._hear
        if hear is not None:
            hear(size)

    def _go_on(self) -> None:
        if self._given_up:
            raise _GivenUpError


def _shown(error: Exception) -> str:
    """The text of an unexpected error may hold anything, so only its class is told."""
    return str(error) if isinstance(error, SealrunError) else f"unexpected {type(error).__name__}"
