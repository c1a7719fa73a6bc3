"""What watchdog lacks: watches of thousands of single folders, and word of lost events. See inotify(7).

watchdog takes a thread for each watch. A shallow watch costs an entry in two dicts and what the kernel keeps of it, but
sees only what happens directly in the folder: names that come, go and move, and files that are closed after writing.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_ONLY_FOLDERS, _NO_LINKS, _NOT_UNLINKED = 0x01000000, 0x02000000, 0x04000000
_MASK = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLY_FOLDERS | _NO_LINKS | _NOT_UNLINKED
_HEAD = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16


class ShallowWatches:
    """Reports what happens directly in the folders that are added, from a thread of its own.

    `on_change` is told a path, or None when events were lost. It may call `add` and `remove`, and must not raise.
    """

    def __init__(self, on_change: Callable[[str | None], None]) -> None:
        """Start. `OSError` if the user has no inotify instance left, or the system has none."""
        self._on_change = on_change
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._called(self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="sealrun-shallow", daemon=True)
        self._thread.start()

    def __contains__(self, folder: str) -> bool:
        """Tell whether `folder` is watched."""
        return folder in self._watches

    def add(self, folder: str) -> None:
        """Watch `folder`. `OSError`: it is gone, or (ENOSPC) the user has no watch left. Harmless twice."""
        with self._lock:
            watch = self._called(
                self._library.inotify_add_watch(self._descriptor, os.fsencode(folder), ctypes.c_uint32(_MASK))
            )
            before = self._paths.get(watch)
            if before is not None:
                self._watches.pop(before, None)  # the same folder under another name
            self._paths[watch] = folder
            self._watches[folder] = watch

    def remove(self, folder: str) -> None:
        """Watch `folder` no more. Harmless twice, and if it is gone."""
        with self._lock:
            watch = self._watches.pop(folder, None)
            if watch is not None:
                self._paths.pop(watch, None)
                self._library.inotify_rm_watch(self._descriptor, watch)  # EINVAL: the kernel was faster

    def folders(self) -> list[str]:
        """Everything that is watched."""
        with self._lock:
            return list(self._watches)

    def close(self) -> None:
        """End the thread and every watch. Once only, and not from the thread."""
        os.eventfd_write(self._ended, 1)
        self._thread.join()
        os.close(self._descriptor)
        os.close(self._ended)

    def _called(self, answer: int) -> int:
        if answer < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return answer

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while all(descriptor != self._ended for descriptor, _ in poll.poll()):
            try:
                body = os.read(self._descriptor, _BUFFER_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            for path in self._changes(body):
                self._on_change(path)

    def _changes(self, body: bytes) -> list[str | None]:
        found: dict[str | None, None] = {}  # what a burst says of one name is told once
        at = 0
        with self._lock:
            while at < len(body):
                watch, mask, _, length = _HEAD.unpack_from(body, at)
                name = body[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
                at += _HEAD.size + length
                if mask & _OVERFLOW:
                    found[None] = None
                    continue
                folder = self._paths.get(watch)
                if folder is None:
                    continue
                if mask & _IGNORED:  # it is gone
                    del self._paths[watch]
                    self._watches.pop(folder, None)
                    found[folder] = None
                else:
                    found[os.path.join(folder, os.fsdecode(name))] = None  # noqa: PTH118 - names as the kernel has them
        return list(found)


def listen_to_overflow(on_overflow: Callable[[], None]) -> None:
    """Have `on_overflow` called when inotify's queue overflows. Process-wide; the newest watcher listens.

    watchdog only logs an overflow. Its watch groups have a method for it since 7.0; older versions drop silently, and
    then the periodic rescan finds what was missed.
    """
    from watchdog.observers import inotify  # noqa: PLC0415 - heavy; only a daemon watches

    group = getattr(inotify, "InotifyWatchGroup", None)
    original = getattr(group, "on_queue_overflow", None)
    if group is None or original is None:
        return
    inner = getattr(original, "__wrapped__", original)

    def on_queue_overflow(self: object) -> None:
        inner(self)
        on_overflow()

    on_queue_overflow.__wrapped__ = inner  # type: ignore[attr-defined] # how functools.wraps marks a wrapper
    group.on_queue_overflow = on_queue_overflow
