"""Where a watch's candidates are found, and with which patterns each is opened."""

# ruff: noqa: PTH110, PTH112, PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Sequence

from sealrun.adapters.beneath import open_file, opened_folder, printable
from sealrun.adapters.folders import LocalFolder
from sealrun.domain.errors import ConfigurationError, RunRejectedError, UsageError
from sealrun.domain.patterns import IGNORE_FILE, Patterns, check_patterns
from sealrun.domain.watch import WatchSpec
from sealrun.ports import HashCache

_MAX_IGNORE_BYTES = 1 << 20


class LocalFolderSource:
    """`ports.FolderSource` on this machine."""

    def __init__(self, watch: WatchSpec, hashes: HashCache, workers: int | None = None) -> None:
        """Find the candidates of `watch`."""
        self._watch = watch
        self._hashes = hashes
        self._workers = workers

    def candidates(self) -> Sequence[str] | None:
        """List the candidates; see the port. What the watch root's ``.sealignore`` names is none."""
        watch = self._watch
        *steps, last = watch.glob.split("/")
        wanted = stat.S_ISREG if watch.unit == "file" else stat.S_ISDIR
        try:
            folders = [watch.path]
            for step in steps:
                folders = [found for folder in folders for found in self._listing(folder, step, stat.S_ISDIR)]
            found = sorted(found for folder in folders for found in self._listing(folder, last, wanted))
        except OSError:
            return None
        patterns = self._candidate_patterns()
        return [path for path in found if not patterns.excludes(self._below(path), folder=watch.unit == "folder")]

    def _candidate_patterns(self) -> Patterns:
        try:
            outer = _ignore_lines(os.path.realpath(self._watch.path))
        except RunRejectedError:
            outer = ()  # `open` raises the same again, with every candidate's name on it
        if self._watch.unit == "folder":
            return Patterns(outer=outer)
        return Patterns(include=self._watch.include, exclude=self._watch.exclude, outer=outer)

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self._watch.path)

    def _listing(self, folder: str, pattern: str, wanted: Callable[[int], bool]) -> list[str]:
        try:
            return _listing(folder, pattern, wanted)
        except (FileNotFoundError, NotADirectoryError):
            if folder == self._watch.path:
                raise
            return []  # a folder on the way went away: only a root that is gone is an alarm

    def open(self, path: str) -> LocalFolder:
        """Return a candidate; see the port. `RunRejectedError` for an ignore file that cannot be understood."""
        watch = self._watch
        if watch.unit == "file":
            return LocalFolder(path, unit="file", hashes=self._hashes, workers=self._workers)
        patterns = Patterns(
            include=watch.include,
            exclude=watch.exclude,
            inner=_ignore_lines(path),
            outer=_ignore_lines(os.path.realpath(watch.path)),
            outer_prefix=self._below(path),
        )
        return LocalFolder(path, patterns=patterns, hashes=self._hashes, workers=self._workers)


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


def _listing(folder: str, pattern: str, wanted: Callable[[int], bool]) -> list[str]:
    """Paths directly below `folder` of the wanted kind; links and hidden names are left out."""
    found: list[str] = []
    with os.scandir(folder) as listing:
        for item in listing:
            if item.name.startswith(".") or not fnmatch.fnmatchcase(item.name, pattern):
                continue
            try:
                mode = item.stat(follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue  # it went away between the listing and the look: no candidate
            if wanted(mode):
                found.append(os.path.join(folder, item.name))
    return found


def _ignore_lines(folder: str) -> tuple[str, ...]:
    path = os.path.join(folder, IGNORE_FILE)
    try:
        with opened_folder(folder) as descriptor:
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
