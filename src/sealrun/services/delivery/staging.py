"""Sealing with a stage: a run's bytes are read once, hashed while they are copied to a registry on this machine.

Where a registry lies elsewhere, packs wait in a spool, and they and large files are sent while others are hashed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Container
from typing import NamedTuple, Protocol

from sealrun.domain.errors import StorageError
from sealrun.ports import Copying, RunFolder, Stage, Tree
from sealrun.services.delivery.parts import AtHand
from sealrun.services.publication.head_start import HeadStart, SourceOf
from sealrun.services.watching.sealing import Sealing, SealRequest, seal

_log = logging.getLogger("sealrun.sealing")

MOST_KEPT = 128
"""Of so many runs at most, since each may hold a file open: while a registry is away, any number may wait for it."""
MOST_FILES = 30_000
"""Of runs that have so many files together, some 400 bytes for each: this many, and those of the run that came last."""
_NEAR_FILES = 20_000
"""What is known of more files of one run waits out of memory (`domain.shelves`)."""


class Stages(Protocol):
    """A registry that is open and may take bytes before they have a name, or ahead of their delivery."""

    def plan_copying(self, tree: Tree, named: Collection[str], ahead: HeadStart | None = None) -> Copying | None:
        """Say what of a folder is copied while it is hashed, and where to; None if nothing is."""
        ...

    def begin_ahead(self, sources: SourceOf) -> HeadStart | None:
        """Begin a head start for a run whose files `sources` has; None where there is none to be had now."""
        ...


class _Waiting(NamedTuple):
    """What waits for the deliveries of a run, or goes ahead of them."""

    stage: Stage | None
    ahead: HeadStart | None

    def discard(self) -> None:
        if self.ahead is not None:
            self.ahead.give_up()
        if self.stage is not None:
            self.stage.close()


_NOTHING = _Waiting(None, None)


class Room:
    """How much is kept, by several `StagedSealings` together. Any thread may call anything."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._lock = threading.Lock()
        self._runs = self._files = 0

    @property
    def is_full(self) -> bool:
        """Whether no more fits in."""
        return self._runs >= MOST_KEPT or self._files >= MOST_FILES

    def enter(self, files: int) -> bool:
        """Make room for a run of so many files; False if there is none."""
        with self._lock:
            if self.is_full:
                return False
            self._runs, self._files = self._runs + 1, self._files + min(files, _NEAR_FILES)
            return True

    def leave(self, files: int) -> None:
        """The room of such a run is free."""
        with self._lock:
            self._runs, self._files = self._runs - 1, self._files - min(files, _NEAR_FILES)


def _always() -> bool:
    return True


class StagedSealings:
    """Keeps what was staged until the run's deliveries are done. In memory: a crash costs reading the files again.

    Of more than `MOST_KEPT` runs, or `MOST_FILES`, nothing is kept: their deliveries read the folder, as after a crash.
    `seal`, `keep` and `sweep` belong together in one thread; any number of threads may do so at once.
    """

    def __init__(
        self, choose: Callable[[], Stages | None], may_send: Callable[[], bool] = _always, room: Room | None = None
    ) -> None:
        """`choose` returns the opened registry that gets the copies now, or None if there is none.

        Bytes go there ahead of the run's delivery only where ``may_send()``. Others may share its `room`.
        """
        self._room = room or Room()
        self._choose = choose
        self._may_send = may_send
        self._lock = threading.Lock()
        self._kept: dict[int, tuple[Sealing, _Waiting]] = {}
        self._fresh = threading.local()

    def choosing(self, choose: Callable[[], Stages | None], may_send: Callable[[], bool]) -> None:
        """Choose otherwise from now on: settings were reloaded. What is kept stays until its deliveries are done."""
        self._choose = choose
        self._may_send = may_send

    def seal(self, folder: RunFolder, request: SealRequest) -> Sealing:
        """Seal `folder`, staging what is probably new; `keep` the answer, or `sweep` discards what was staged."""
        self.sweep()
        registry = None if self.full else self._choose()
        if registry is None:
            return seal(folder, request)

        ahead = registry.begin_ahead(folder.source) if self._may_send() else None
        self._fresh.waiting = _Waiting(None, ahead)

        def plan(tree: Tree) -> Copying | None:
            named = tree.files.keys() if folder.unit == "file" else request.names.keys()
            copying = registry.plan_copying(tree, named, ahead)
            self._fresh.waiting = _Waiting(None if copying is None else copying.stage, ahead)
            return copying

        try:
            sealing = seal(folder, request, plan)
        except StorageError as error:
            # A registry that is gone or full must not keep a run from being sealed, nor from reaching the others.
            _log.info("%s: sealed without copying on the way: %s", folder.path, error)
            self.sweep()
            return seal(folder, request)
        if ahead is not None and ahead.is_empty:  # the next run may have one
            ahead.give_up()
        return sealing

    @property
    def full(self) -> bool:
        """Whether nothing more is kept until deliveries are done."""
        return self._room.is_full

    def keep(self, sealed: int, sealing: Sealing) -> None:
        """Keep the sources of what this thread sealed last, which the journal knows as `sealed`."""
        waiting = self._take()
        self.release(sealed)
        if not self._room.enter(sealing.envelope.files):
            waiting.discard()
            return
        with self._lock:
            self._kept[sealed] = (sealing, waiting)

    def sweep(self) -> None:
        """Discard what this thread staged last and nobody kept. Harmless when there is nothing."""
        self._take().discard()

    def _take(self) -> _Waiting:
        """What this thread staged last."""
        waiting: _Waiting = getattr(self._fresh, "waiting", _NOTHING)
        self._fresh.waiting = _NOTHING
        return waiting

    def at_hand(self, sealed: int) -> AtHand | None:
        """Return a run that was sealed in this process, or None."""
        with self._lock:
            known = self._kept.get(sealed)
        return None if known is None else AtHand(known[0].run, known[0].source, known[0].packs, known[1].ahead)

    def release(self, sealed: int) -> int:
        """Forget a run and discard what nobody took; return how many files it had. Harmless twice, 0 then."""
        with self._lock:
            known = self._kept.pop(sealed, None)
        if known is None:
            return 0
        files = known[0].envelope.files
        self._room.leave(files)
        known[1].discard()
        return files

    def release_all_but(self, waiting: Callable[[Collection[int]], Container[int]]) -> int:
        """Forget every run that is not in ``waiting(kept)``: their deliveries are over. Return how many files they had.

        What is kept while that is asked stays: it was queued too late to be in the answer.
        """
        with self._lock:
            kept = list(self._kept)
        still = waiting(kept) if kept else ()
        return sum(self.release(sealed) for sealed in kept if sealed not in still)
