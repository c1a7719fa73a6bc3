"""Hints from inotify, through watchdog. Losing every one of them only costs time: the periodic rescan is the truth.

What is watched: each root without recursion, plus the unsettled runs: the first of them with recursion, of the others
only what happens directly in them (`inotify`). Sealed runs need no watch, so the cost does not grow with
history. Where inotify cannot work (network file systems, an exhausted watch limit, a root that is gone) `describe` says
so and the rescan does the work alone.

Measured traps that shape this module: with the default event mask watchdog answers its own directory reads with
events, for ever (so there is a filter); an exception in a handler kills the dispatching thread (handlers never
raise); a queue overflow is only logged (so we listen to it); a root that is deleted or renamed stays watched under
its old name (a check compares inodes).
"""

# ruff: noqa: PTH116 - names go to and from the kernel as they are

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from sealrun.adapters.run_folders.inotify import ShallowWatches, listen_to_overflow
from sealrun.adapters.run_folders.mounts import file_system_of, is_remote
from sealrun.domain.runs.recorder import HEARTBEAT_FILE

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver, ObservedWatch

_LOG = logging.getLogger(__name__)
_MAX_FOLLOWED = 64
"""Each run that is followed in depth is a thread of watchdog's: past this many the rest is watched at its top."""
_CALM_FACTOR = 10.0
_SIGN_OF_LIFE = f"/{HEARTBEAT_FILE}"

OnChange = Callable[[str | None], None]


class _Root(msgspec.Struct):
    """A watched root: who is told, which folder it was when it was armed (None: not armed), and why not."""

    listeners: list[OnChange]
    armed: tuple[int, int] | None = None
    watch: ObservedWatch | None = None
    reason: str = "not looked at yet"
    remote: bool = False

    def tell(self, path: str | None) -> None:
        """Report a hint. Whoever is told may fail; the thread that tells must live."""
        for on_change in list(self.listeners):
            try:
                on_change(path)
            except Exception:  # noqa: BLE001 - watchdog's thread has to live; the log says what failed
                _LOG.exception("whoever listens to changes failed on %r", path)


class LocalWatcher:
    """`ports.Watcher` on watchdog. `check_s`: how soon a root that comes is noticed, in seconds.

    A root that is watched is looked after ten times as seldom: that it is deleted is an event.
    """

    def __init__(self, *, check_s: float = 2.0, file_system: Callable[[str], str] = file_system_of) -> None:
        """Start nothing yet; the first `watch` does."""
        self._file_system = file_system
        self._lock = threading.RLock()
        self._roots: dict[str, _Root] = {}
        self._followed: dict[str, ObservedWatch | None] = {}
        self._shallow: ShallowWatches | None = None
        self._observer: BaseObserver | None = None
        self._closed = threading.Event()
        self._check_s = check_s
        self._checker: threading.Thread | None = None

    def watch(self, root: str, on_change: OnChange) -> None:
        """Report what changes below `root`; see the port. A root that is not there yet is armed when it comes."""
        with self._lock:
            if root in self._roots:
                self._roots[root].listeners.append(on_change)
                return
            self._roots[root] = _Root([on_change])
            self._arm(root)
            if self._checker is None:
                self._checker = threading.Thread(target=self._look_after, name="sealrun-watch", daemon=True)
                self._checker.start()

    def follow(self, folder: str) -> None:
        """Report deep changes of an unsettled run; see the port."""
        with self._lock:
            root = self._root_of(folder)
            if folder in self._followed or root is None or root.armed is None:
                return
            if len(self._followed) < _MAX_FOLLOWED:
                self._followed[folder] = self._schedule(folder, root, recursive=True)
            elif not root.remote and not (self._shallow is not None and folder in self._shallow):
                root.reason = f"more than {_MAX_FOLLOWED} unsettled runs: what changes deep in the rest waits its turn"
                self._follow_shallowly(folder, root)

    def unfollow(self, folder: str) -> None:
        """Stop following; see the port."""
        with self._lock:
            watch = self._followed.pop(folder, None)
            self._unschedule(watch)
            if self._shallow is not None:
                self._shallow.remove(folder)

    def describe(self) -> Mapping[str, str]:
        """Say how each root is watched; see the port."""
        with self._lock:
            return {path: _description(root) for path, root in self._roots.items()}

    def check(self) -> None:
        """Look after roots and threads once: re-arm what came back, report what may have been missed."""
        with self._lock:
            if self._observer is not None and not self._is_healthy():
                _LOG.warning("the watching threads died; they are started again and everything is looked at")
                self._start_again()
            told = [root for path, root in self._roots.items() if self._tend(path, root)]
        for root in told:
            root.tell(None)

    def close(self) -> None:
        """Stop; see the port."""
        self._closed.set()
        with self._lock:
            observer, self._observer = self._observer, None
            shallow, self._shallow = self._shallow, None
            self._followed.clear()
            self._roots.clear()
            checker = self._checker
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()
        if shallow is not None:
            shallow.close()
        if checker is not None and checker is not threading.current_thread():
            checker.join()

    def overflowed(self) -> None:
        """Events were lost: anything may have changed."""
        with self._lock:
            told = list(self._roots.values())
        for root in told:
            root.tell(None)

    def _tell_of(self, path: str | None) -> None:
        """Pass on what a shallow watch saw."""
        if path is None:
            self.overflowed()
            return
        with self._lock:
            root = self._root_of(path)
        if root is not None:
            root.tell(path)

    # -- with the lock held

    def _follow_shallowly(self, folder: str, root: _Root) -> None:
        try:
            self._shallow = self._shallow or ShallowWatches(self._tell_of)
            self._shallow.add(folder)
        except OSError as error:
            root.reason = _reason(error)

    def _root_of(self, folder: str) -> _Root | None:
        homes = (path for path in self._roots if folder == path or folder.startswith(path.rstrip("/") + "/"))
        best = max(homes, key=len, default=None)
        return None if best is None else self._roots[best]

    def _arm(self, path: str) -> None:
        root = self._roots[path]
        root.armed, root.watch = None, None
        identity = _identity(path)
        if identity is None:
            root.reason = "the root is not there"
            return
        kind = self._file_system(path)
        root.remote = is_remote(kind)
        if root.remote:
            root.armed = identity
            root.reason = f"{kind} reports no changes made by other machines"
            return
        root.reason = ""
        root.watch = self._schedule(path, root, recursive=False)
        root.armed = identity

    def _tend(self, path: str, root: _Root) -> bool:
        """Re-arm a root that is not the folder any more that it was; tell whether it has to be looked at."""
        if _identity(path) == root.armed and (root.remote or root.armed is None or root.watch is not None):
            return False
        was_there = root.armed is not None
        self._unschedule(root.watch)
        deep, shallow = list(self._followed), self._shallow.folders() if self._shallow is not None else []
        for folder in [folder for folder in (*deep, *shallow) if self._root_of(folder) is root]:
            self.unfollow(folder)
        self._arm(path)
        return was_there or root.armed is not None

    def _schedule(self, path: str, root: _Root, *, recursive: bool) -> ObservedWatch | None:
        if root.remote:
            return None
        try:
            observer = self._observer or self._start()
            real = os.path.realpath(path)  # inotify is told not to follow links: a root that is one is looked through
            return observer.schedule(_handler(root, real, path), real, recursive=recursive, event_filter=_events())
        except OSError as error:
            root.reason = _reason(error)
            return None

    def _unschedule(self, watch: ObservedWatch | None) -> None:
        if watch is None or self._observer is None:
            return
        try:
            self._observer.unschedule(watch)
        except (KeyError, OSError) as error:
            _LOG.debug("a watch was gone already: %s", error)

    def _start(self) -> BaseObserver:
        from watchdog.observers import Observer  # noqa: PLC0415 - heavy; only a daemon watches

        listen_to_overflow(self.overflowed)
        self._observer = observer = Observer()
        observer.start()
        return observer

    def _is_healthy(self) -> bool:
        observer = self._observer
        return observer is not None and observer.is_alive() and all(e.is_alive() for e in list(observer.emitters))

    def _start_again(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
        self._observer = None
        self._followed.clear()
        for root in self._roots.values():
            root.armed, root.watch = (-1, -1), None  # no folder has this identity: `_tend` arms it and tells

    def _pause_s(self) -> float:
        with self._lock:
            awaited = any(root.watch is None and not (root.remote and root.armed) for root in self._roots.values())
        return self._check_s if awaited else _CALM_FACTOR * self._check_s

    def _look_after(self) -> None:
        while not self._closed.wait(self._pause_s()):
            try:
                self.check()
            except Exception:  # noqa: BLE001 - this thread has to live; the log says what failed
                _LOG.exception("looking after the watches failed; the rescan goes on without them")


def _reason(error: OSError) -> str:
    exhausted = error.errno in {errno.ENOSPC, errno.EMFILE}
    advice = "; raise fs.inotify.max_user_watches and max_user_instances" if exhausted else ""
    return f"inotify: {error.strerror or error}{advice}"


def _description(root: _Root) -> str:
    if root.remote or root.watch is None:
        return f"rescan: {root.reason}"
    return f"inotify: {root.reason}" if root.reason else "inotify"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # gone or unreachable: either way there is nothing to watch now
    return (status.st_dev, status.st_ino)


def _events() -> list[type[FileSystemEvent]]:
    from watchdog import events  # noqa: PLC0415 - heavy; only a daemon watches

    return [
        events.FileCreatedEvent,
        events.FileMovedEvent,
        events.FileDeletedEvent,
        events.FileClosedEvent,
        events.DirCreatedEvent,
        events.DirMovedEvent,
        events.DirDeletedEvent,
    ]


def _handler(root: _Root, real: str, shown: str) -> FileSystemEventHandler:
    from watchdog.events import FileSystemEventHandler  # noqa: PLC0415 - heavy; only a daemon watches

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            for path in (event.src_path, event.dest_path):
                name = os.fsdecode(path)
                if name and not name.endswith(_SIGN_OF_LIFE):  # it changes nothing, and comes as long as a run lives
                    root.tell(shown + name.removeprefix(real) if name.startswith(real) else name)

    return Handler()
