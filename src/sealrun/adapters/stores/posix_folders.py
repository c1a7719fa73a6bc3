"""The root of a directory store: whether it is still the one that was opened, and the folders below it."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH102, PTH112, PTH116, PTH120

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from sealrun.adapters.stores.posix_durable import sync_folder
from sealrun.adapters.stores.posix_errors import translate
from sealrun.domain.errors import UnavailableError, UsageError

PRIVATE = ".sealrun"
"""Top folder for bytes without a name; no key begins with it and no listing shows it."""
_REFUSED = {"", ".", ".."}
_RIVAL_REMOVALS = 32
_REMEMBERED = 4096
"""Folders that are known to be durable, the last ones asked about: a daemon that lives for years meets millions."""

T = TypeVar("T")


class Root:
    """The top folder. Once seen it must stay the same: an unmounted disk is an outage, not an empty store."""

    def __init__(self, path: str, *, make: bool) -> None:
        """Work below `path`; with `make` it is created, durably, if it is absent."""
        self.path = path
        if make:
            self._create()
        self._seen: os.stat_result | None = None
        if os.path.isdir(path):
            self.confirm()

    def _create(self) -> None:
        missing = []
        above = self.path
        while not os.path.lexists(above):
            missing.append(above)
            above = os.path.dirname(above)
        try:
            for folder in reversed(missing):
                try:
                    os.mkdir(folder)
                except FileExistsError:
                    continue
                sync_folder(os.path.dirname(folder))
        except OSError as error:
            raise translate(error, f"{self.path}: cannot be created") from error

    def confirm(self) -> None:
        """Raise `UnavailableError` unless the root is there and is the one that was seen first."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError as error:
            raise UnavailableError(
                f"{self.path}: this folder is not there; is its disk mounted? A new one is made by: sealrun init FOLDER"
            ) from error
        except OSError as error:
            raise translate(error, f"{self.path}: cannot be looked at") from error
        before = self._seen
        if before is None:
            self._seen = now
        elif before.st_ino != now.st_ino or (os.major(before.st_dev) and before.st_dev != now.st_dev):
            # Devices without a number of their own (NFS, btrfs) may come back from a remount with another one.
            raise UnavailableError(
                f"{self.path}: is not the folder that was opened; is its disk unmounted, or another one mounted there? "
                "If that is on purpose, restart sealrun"
            )

    def place(self, key: str) -> str:
        """Return the path of `key`, or raise `UsageError` for a key that would leave the root."""
        parts = key.split("/")
        if parts[0] == PRIVATE or "\0" in key or not _REFUSED.isdisjoint(parts):
            raise UsageError(f"{self.path}: not a key: {key!r}")
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{self.path}: not a key (not UTF-8): {key!r}") from error
        return f"{self.path}/{key}"

    def below(self, prefix: str) -> str:
        """Return the folder of a prefix, without a slash at the end, or raise `UsageError`."""
        if not prefix:
            return self.path
        if not prefix.endswith("/"):
            raise UsageError(f"{self.path}: a prefix ends in '/': {prefix!r}")
        return self.place(prefix[:-1])


class Folders:
    """Creates the folders that keys need, and makes them durable.

    Folders of records are never removed, so what this process once made durable stays so. The last few thousand are
    remembered, each only when those above it are durable, too; one that was forgotten is synced once more.
    """

    def __init__(self, root: Root) -> None:
        """Work below `root`."""
        self._root = root
        self._durable: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def into(self, path: str, act: Callable[[], T]) -> T:
        """Return ``act()``, which gives a file the name `path`; create the folder if that is what it lacks."""
        for _ in range(_RIVAL_REMOVALS):  # somebody may prune the folder between making and using it
            try:
                return act()
            except FileNotFoundError:
                self._root.confirm()
                self._make(path.rpartition("/")[0])
        return act()

    def _make(self, folder: str) -> None:
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make(folder.rpartition("/")[0])
            self._make(folder)

    def settle(self, path: str) -> None:
        """Make the name `path` durable: sync its folder, and the entry of each folder above that may be new.

        A folder may have been made by another process that has not synced it yet, so "new" means: not yet synced
        by this process.
        """
        sync_folder(path.rpartition("/")[0])
        made = self.unsettled(path)
        for folder in made:
            sync_folder(folder.rpartition("/")[0])
        self.settled(made)

    def unsettled(self, path: str) -> list[str]:
        """Return the folders above `path` whose own entries `settle` would sync, for whoever syncs everything."""
        found = []
        folder = path.rpartition("/")[0]
        with self._lock:
            while folder != self._root.path and folder not in self._durable:
                found.append(folder)
                folder = folder.rpartition("/")[0]
            if folder in self._durable:
                self._durable.move_to_end(folder)
        return found

    def settled(self, made: list[str]) -> None:
        """Remember that everything was synced since `unsettled` returned these."""
        if not made:
            return
        with self._lock:
            for folder in reversed(made):
                self._durable[folder] = None
            while len(self._durable) > _REMEMBERED:
                self._durable.popitem(last=False)
