"""Barriers that the calls in flight share: one syncfs for many records instead of two fsyncs for each.

Whoever is alone syncs its own file and its folder, as ever. Whoever is not joins a round: the first to arrive leads,
waits a moment for half of those who were in a round lately, and calls syncfs once for all who came; the others are in
the next one meanwhile. So a round begins after everything that its members wrote.

syncfs writes back what everybody has written to the file system. Where somebody else writes a lot, that takes longer
than the few bytes of a record are worth: after a round that was dear, records are synced one by one for a while.
"""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH116

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from sealrun.adapters.stores import posix_durable
from sealrun.adapters.stores.posix_folders import Folders
from sealrun.adapters.stores.posix_room import Room

_GATHER_S = 0.005
"""The longest a leader waits for the others."""
_COMPANY_S = 0.05
"""Who was in a round so long ago is on the way to the next, by the look of it."""
_DEAR_S = 0.5
"""A round that took longer than this was dear."""
_DEAR_FOR_S = 5.0

_now: Callable[[], float] = time.monotonic


class Rounds:
    """One descriptor, open before its users' first bytes, on which one syncfs at a time serves all who wait.

    After one failure every member of that round and every later wait fails, since nobody knows which bytes were lost;
    who begins after that begins with other rounds. `whole` is False where files have to be synced one by one.
    """

    def __init__(self, folder: str) -> None:
        """Watch the file system that holds `folder`."""
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        facts = os.fstat(self._fd)
        self.place = facts.st_dev, facts.st_ino
        self.whole = posix_durable.can_sync_whole(self._fd)
        self._dear_until = -inf
        self.users = 0
        lock = threading.Lock()
        self._changed, self._gathered = threading.Condition(lock), threading.Condition(lock)
        self._calls = 0
        self._broken = False
        self._leading = False
        self._arrived = 0
        self._seen: dict[threading.Thread, float] = {}
        self._wanted = 1
        self._next = 1
        self._done = 0

    @property
    def fit(self) -> bool:
        """Whether somebody may begin with these."""
        return not self._broken

    @property
    def dear(self) -> bool:
        """Whether syncfs is taking its time just now: somebody writes a lot."""
        return _now() < self._dear_until

    def in_company(self) -> bool:
        """Tell whether a record's call should join a round: it is not alone, and rounds are not dear just now."""
        if not self.whole or self.dear:
            return False
        with self._changed:
            return self._calls > 1 or self._leading or bool(self._company() - {threading.current_thread()})

    def _company(self) -> set[threading.Thread]:
        """Threads that were in a round not long ago, and are probably on their way to the next."""
        since = _now() - _COMPANY_S
        self._seen = {thread: at for thread, at in self._seen.items() if at > since and thread.is_alive()}
        return set(self._seen)

    @contextmanager
    def record(self) -> Iterator[None]:
        """Count as one of the calls in flight that write one record."""
        with self._changed:
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1

    def wait(self) -> None:
        """Return when everything written before is durable, or raise `OSError`. Does nothing unless `whole`."""
        if not self.whole:
            return
        with self._changed:
            self._join()

    def _join(self) -> None:
        """Be in the next round; called with the lock held."""
        mine = self._next
        self._arrived += 1
        self._seen[threading.current_thread()] = _now()
        if self._arrived >= self._wanted:
            self._gathered.notify()
        while self._done < mine:
            if self._broken:
                raise OSError(errno.EIO, "earlier bytes were lost by the disk")
            if self._leading:
                self._changed.wait()
            else:
                self._lead()

    def _lead(self) -> None:
        """Hold one round; called and left with the lock held."""
        self._leading = True
        try:
            self._wanted = (len(self._company()) + 1) // 2
            self._gathered.wait_for(lambda: self._arrived >= self._wanted, timeout=_GATHER_S)
            self._arrived = 0
            self._next += 1
            self._sync()
            self._done += 1
        finally:
            self._leading = False
            self._changed.notify_all()

    def _sync(self) -> None:
        """Call syncfs without the lock; whatever else comes of it, the next member must not take it for done."""
        self._changed.release()
        failed, started = True, _now()
        try:
            posix_durable.syncfs(self._fd)
            failed = False
        finally:
            self._changed.acquire()
            self._broken = self._broken or failed
            if _now() - started > _DEAR_S:
                self._dear_until = _now() + _DEAR_FOR_S

    def close(self) -> None:
        """Release the descriptor; nobody waits any more. Harmless twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Together:
    """The rounds of one store, begun anew where the old ones are no good any more."""

    def __init__(self, room: Room) -> None:
        """Watch the file system of `room`, once something is written."""
        self._room = room
        self._lock = threading.Lock()
        self._rounds: Rounds | None = None

    def enter(self) -> Rounds:
        """Return rounds whose descriptor is open now, for bytes that will be written; `leave` them afterwards."""
        folder = self._room.folder()
        facts = os.stat(folder)
        with self._lock:
            rounds = self._rounds
            # Another folder, or another mount of the same: what is synced there proves nothing here.
            if rounds is None or not rounds.fit or rounds.place != (facts.st_dev, facts.st_ino):
                self._retire()
                rounds = self._rounds = Rounds(folder)
            rounds.users += 1
            return rounds

    def leave(self, rounds: Rounds) -> None:
        """End what `enter` began."""
        with self._lock:
            rounds.users -= 1
            if not rounds.users and rounds is not self._rounds:
                rounds.close()

    def close(self) -> None:
        """Release the descriptor when its last user leaves. The next use opens another one."""
        with self._lock:
            self._retire()

    def _retire(self) -> None:
        rounds, self._rounds = self._rounds, None
        if rounds is not None and not rounds.users:
            rounds.close()


class Flight:
    """One record on its way: its bytes, then its name."""

    def __init__(self, rounds: Rounds, folders: Folders) -> None:
        """Use `rounds`, which were entered before the first byte."""
        self._rounds = rounds
        self._folders = folders

    def keep_bytes(self, fd: int) -> None:
        """Make the bytes of `fd` durable, or raise `OSError`: then they are lost, and a second sync would lie."""
        if self._rounds.in_company():
            self._rounds.wait()
        else:
            os.fsync(fd)

    def keep_name(self, final: str) -> None:
        """Make the name `final` durable, with every folder above it, or raise `OSError`."""
        if self._rounds.in_company():
            made = self._folders.unsettled(final)
            self._rounds.wait()
            self._folders.settled(made)
        else:
            self._folders.settle(final)
