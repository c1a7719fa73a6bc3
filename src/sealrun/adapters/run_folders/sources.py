"""Where a watch's candidates are found, and with which patterns each is opened."""

# ruff: noqa: PTH110, PTH112, PTH116, PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from sealrun.adapters.run_folders.beneath import anchor, open_file, opened_folder, printable
from sealrun.adapters.run_folders.run_folder import LocalFolder, Moving, default_workers, nobody_asks
from sealrun.domain.errors import ConfigurationError, RunRejectedError, UsageError
from sealrun.domain.patterns import IGNORE_FILE, Patterns, check_patterns
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import HashCache

_MAX_IGNORE_BYTES = 1 << 20
_RACY_NS = 2_000_000_000
"""What changed less than this ago may change again without its times showing it; see `run_folder`."""

_Stamp = tuple[int, int, int] | None
_Wanted = Callable[[os.DirEntry[str]], bool]


class LocalFolderSource:
    """`ports.FolderSource` on this machine. Not to be shared between threads that list: one intake has it to itself."""

    def __init__(
        self,
        watch: WatchSpec,
        hashes: HashCache,
        workers: int | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        moving: Moving = nobody_asks,
        hashed: Callable[[int], object] = lambda _size: None,
    ) -> None:
        """Find the candidates of `watch`; whoever works here and was `moving` hears of each look.

        `hashed` is told how many bytes of candidates were read to digest them.
        """
        anchor(watch.path)
        self._given: dict[str, Any] = {"moving": moving, "hashed": hashed}
        self._moving = moving
        self._watch = watch
        self._hashes = hashes
        self._workers = workers or default_workers()  # asked once: the system takes its time to answer
        self._wall_ns = wall_ns
        self._listed: Sequence[str] = ()
        self.unreadable: Sequence[str] = ()
        self._stamps: dict[str, _Stamp] = {}
        self._outer: _Stamp = None

    def candidates(self) -> Sequence[str] | None:
        """List the candidates; see the port. What the watch root's ``.sealignore`` names is none.

        While the times of every folder that was listed stand still, the last listing holds and nothing is listed.
        """
        stamps = {path: self._settled(path) for path in self._stamps}
        if stamps and all(stamps.values()) and stamps == self._stamps:
            return self._listed
        watch = self._watch
        *steps, last = watch.glob.split("/")
        wanted = _is_file if watch.unit == "file" else _is_folder
        ignore_file = os.path.join(os.path.realpath(watch.path), IGNORE_FILE)
        self._outer = _stamp(ignore_file)
        stamps = {ignore_file: self._settled(ignore_file)}
        self.unreadable = []
        try:
            folders = [watch.path]
            for step in steps:
                stamps |= {folder: self._settled(folder) for folder in folders}
                folders = [found for folder in folders for found in self._listing(folder, step, _is_folder)]
            stamps |= {folder: self._settled(folder) for folder in folders}
            found = sorted(found for folder in folders for found in self._listing(folder, last, wanted))
        except OSError:
            self._stamps = {}
            return None
        patterns = self._candidate_patterns()
        if patterns != Patterns():
            found = [path for path in found if not patterns.excludes(self._below(path), folder=watch.unit == "folder")]
        self._listed, self._stamps = found, stamps
        return found

    def glance(self, paths: Sequence[str]) -> list[int | None]:
        """Stand for how each folder's own entry looks (for a file unit, the file's); see the port.

        The same number means: no name came, went or was moved directly in it, and the root's ignore file is the same
        as at the last listing. None for what changed a moment ago, and what is gone.
        """
        oldest_racy = self._wall_ns() - _RACY_NS
        outer = hash(self._outer)
        found: list[int | None] = []
        (self._moving() or nobody_asks)()
        for path in paths:
            try:
                status = os.stat(path)
            except OSError:
                found.append(None)
                continue
            changed = status.st_ctime_ns  # no time of change can be set back without changing this one
            found.append(None if changed > oldest_racy else hash((status.st_ino, changed, outer)))
        return found

    def _settled(self, path: str) -> _Stamp:
        """Return the stamp of `path`; None while it is so young that it need not show the next change."""
        stamp = _stamp(path)
        return None if stamp[2] > self._wall_ns() - _RACY_NS else stamp

    def _candidate_patterns(self) -> Patterns:
        try:
            outer = _ignore_lines(self._watch.path, is_root=True)
        except RunRejectedError:
            outer = ()  # `open` raises the same again, with every candidate's name on it
        if self._watch.unit == "folder":
            return Patterns(outer=outer)
        return Patterns(include=self._watch.include, exclude=self._watch.exclude, outer=outer)

    def _below(self, path: str) -> str:
        prefix = os.path.join(self._watch.path, "")
        return path[len(prefix) :] if path.startswith(prefix) else os.path.relpath(path, self._watch.path)

    def _listing(self, folder: str, pattern: str, wanted: _Wanted) -> list[str]:
        try:
            return _listing(folder, pattern, wanted)
        except (FileNotFoundError, NotADirectoryError):
            if folder == self._watch.path:
                raise
            return []  # a folder on the way went away: only a root that is gone is an alarm
        except PermissionError:
            if folder == self._watch.path:
                raise
            self.unreadable = [*self.unreadable, folder]
            return []  # somebody's own folder, or lost+found: the others are looked at

    def open(self, path: str) -> LocalFolder:
        """Return a candidate; see the port. `RunRejectedError` for an ignore file that cannot be understood."""
        watch = self._watch
        (self._moving() or nobody_asks)()
        if watch.unit == "file":
            return LocalFolder(path, unit="file", hashes=self._hashes, workers=self._workers, **self._given)
        patterns = Patterns(
            include=watch.include,
            exclude=watch.exclude,
            inner=_ignore_lines(path),
            outer=_ignore_lines(watch.path, is_root=True),
            outer_prefix=self._below(path),
        )
        return LocalFolder(path, patterns=patterns, hashes=self._hashes, workers=self._workers, **self._given)


def open_alone(path: str, hashes: HashCache, exclude: tuple[str, ...] = (), workers: int | None = None) -> LocalFolder:
    """Return one folder or file that belongs to no watch, for commands that are given a path.

    A link is looked through: whoever names it means what it points to. `UsageError` if nothing is there.
    """
    path = os.path.realpath(path)
    if not os.path.exists(path):
        msg = f"{printable(path)}: is not there; name a run folder or a file"
        raise UsageError(msg)
    if not os.path.isdir(path):
        return LocalFolder(path, unit="file", hashes=hashes, workers=workers)
    patterns = Patterns(exclude=exclude, inner=_ignore_lines(path))
    return LocalFolder(path, patterns=patterns, hashes=hashes, workers=workers)


def _is_folder(item: os.DirEntry[str]) -> bool:
    return item.is_dir(follow_symlinks=False)


def _is_file(item: os.DirEntry[str]) -> bool:
    return item.is_file(follow_symlinks=False)


def _listing(folder: str, pattern: str, wanted: _Wanted) -> list[str]:
    """Paths directly below `folder` of the wanted kind; links and hidden names are left out.

    The listing itself says of what kind an entry is, on nearly every file system: none is looked at.
    """
    fits = re.compile(fnmatch.translate(pattern)).match
    prefix = os.path.join(folder, "")
    with os.scandir(folder) as listing:
        return [
            prefix + item.name for item in listing if not item.name.startswith(".") and fits(item.name) and wanted(item)
        ]


def _stamp(path: str) -> tuple[int, int, int]:
    """Inode and times of change; zeros for what is not there or cannot be looked at. A root may be a link."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _ignore_lines(folder: str, *, is_root: bool = False) -> tuple[str, ...]:
    """Lines of the ignore file in `folder`; a root may be a link, a run may not."""
    path = os.path.join(folder, IGNORE_FILE)
    try:
        os.lstat(path)  # there is none in nearly every folder, and this is the cheapest way to see that
        with opened_folder(os.path.realpath(folder) if is_root else folder) as descriptor:
            file = open_file(descriptor, IGNORE_FILE)
    except FileNotFoundError:
        return ()
    except OSError as error:
        msg = (
            f"{printable(path)}: cannot be read ({os.strerror(error.errno or 0)}); make it a readable file or remove it"
        )
        raise RunRejectedError(msg) from error
    with os.fdopen(file, "rb") as opened:
        body = opened.read(_MAX_IGNORE_BYTES)
    lines = tuple(body.decode("utf-8", "replace").splitlines())
    try:
        check_patterns(lines, printable(path))
    except ConfigurationError as error:
        raise RunRejectedError(str(error)) from error
    return lines
