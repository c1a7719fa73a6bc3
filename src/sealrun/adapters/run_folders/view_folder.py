"""Folders made of other folders' files, for tools that look at many runs at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sealrun.domain.errors import NoSpaceError, UsageError

_MARK = ".sealrun-view.json"
_NEW = ".new-"


class ViewFolder:
    """A folder with one folder for each run, made and brought up to date by this alone.

    A run's folder appears whole. Files are symbolic links where their bytes lie in a registry on this machine, else
    hard links to, or copies of, what was fetched. Nothing in it is needed: it may be deleted and made again. Use it as
    a context manager: another process that makes the same one waits.
    """

    def __init__(self, root: Path, kind: str) -> None:
        """Open or make `root`; `UsageError` if something else is there, so that nobody's own files are touched."""
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._claim(kind)
            self._lock = os.open(root / _MARK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            msg = f"{root}: cannot be written to ({error.strerror}); choose another folder with --into"
            raise NoSpaceError(msg) from error

    def __enter__(self) -> Self:
        """Wait until this is the only process, and sweep what one that was killed has left."""
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        for left in self._root.glob(f"{_NEW}*"):
            shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let others go on."""
        os.close(self._lock)

    def _claim(self, kind: str) -> None:
        mark = self._root / _MARK
        if not mark.exists():
            if any(self._root.iterdir()):
                msg = f"{self._root}: is not empty, and was not made by sealrun; choose another folder with --into"
                raise UsageError(msg)
            mark.write_text(json.dumps({"kind": kind}) + "\n")
        elif json.loads(mark.read_text()).get("kind") != kind:
            msg = f"{self._root}: holds another kind of view; choose another folder with --into"
            raise UsageError(msg)

    def runs(self) -> set[str]:
        """Names of the runs that are shown."""
        return {entry.name for entry in os.scandir(self._root) if not entry.name.startswith(".")}

    def is_whole(self, name: str) -> bool:
        """Tell whether everything that a run's folder links to is still there."""
        return all(path.exists() for path in (self._root / name).rglob("*"))

    def show(self, name: str, files: Mapping[str, tuple[Path, bool]]) -> None:
        """Add a run: path inside → where its bytes are, and whether they stay there. A crash leaves ``.new-*``."""
        room = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._root))
        try:
            for path, (source, stays) in files.items():
                target = room / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _bring(source, target, stays=stays)
            room.chmod(0o755)
            room.rename(self._root / name)
        except BaseException:
            shutil.rmtree(room, ignore_errors=True)
            raise

    def leave_out(self, name: str) -> None:
        """Take a run out of the view. A crash leaves ``.new-*``."""
        room = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._root))
        (self._root / name).rename(room / name)
        shutil.rmtree(room, ignore_errors=True)


def _bring(source: Path, target: Path, *, stays: bool) -> None:
    if stays:
        target.symlink_to(source)
        return
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
