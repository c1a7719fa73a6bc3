"""Where runs are restored: a hidden sibling that takes the final name when it is complete."""

# ruff: noqa: PTH103 - names go to the kernel as they are

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sealrun.adapters.stores.posix_durable import write_all
from sealrun.domain.errors import NoSpaceError, UsageError
from sealrun.domain.links import link_problem
from sealrun.domain.manifest import path_problem


class LocalDestination:
    """`ports.Destination` for a folder, or with `single` for one file. A crash leaves a ``.sealrun-*`` sibling."""

    def __init__(self, final: Path, *, single: bool = False) -> None:
        """Restore to `final`, which must not exist yet (an empty folder may)."""
        self._final = Path.cwd() / final
        self._single = single
        self._refuse_if_taken()
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._room = Path(tempfile.mkdtemp(prefix=f".sealrun-{self._final.name[:100]}-", dir=self._final.parent))
        except OSError as error:
            msg = f"{self._final.parent}: cannot be written to ({error.strerror}); choose another destination"
            raise NoSpaceError(msg) from error
        self._where = str(self._room)
        self._made = {""}

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, executable: bool) -> None:
        """Write one file; see the port."""
        place = self._checked(path)
        try:
            self._make(path.rpartition("/")[0])
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                for chunk in chunks:
                    write_all(descriptor, chunk)
                if executable:
                    os.fchmod(descriptor, os.fstat(descriptor).st_mode | 0o111)
            finally:
                os.close(descriptor)
        except OSError as error:
            msg = f"{self._final}: {path!r} cannot be written ({error.strerror}); nothing was restored"
            raise NoSpaceError(msg) from error

    def folder(self, path: str) -> None:
        """Create an empty folder."""
        self._inside(path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        """Create a link; its target was checked when the manifest was read, and is checked again here."""
        problem = link_problem(path, target)
        if problem:
            raise UsageError(problem)
        place = self._inside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def commit(self) -> None:
        """Take the final name; see the port."""
        self._refuse_if_taken()
        if self._single:
            (only,) = self._room.iterdir()
            try:
                os.link(only, self._final)  # unlike a rename, a link never replaces what has appeared there
            except FileExistsError as error:
                raise self._taken() from error
            shutil.rmtree(self._room)
            return
        self._room.chmod(0o777 & ~_umask())
        try:
            self._room.rename(self._final)
        except OSError as error:
            raise self._taken() from error

    def abandon(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._room, ignore_errors=True)

    def _make(self, folder: str) -> None:
        """Create a folder inside, unless that was done: ten thousand files lie in few folders."""
        if folder not in self._made:
            os.makedirs(f"{self._where}/{folder}", exist_ok=True)
            self._made.add(folder)

    def _inside(self, path: str) -> Path:
        return Path(self._checked(path))

    def _checked(self, path: str) -> str:
        problem = path_problem(path)
        if problem:
            raise UsageError(problem)
        return f"{self._where}/{path}"

    def _refuse_if_taken(self) -> None:
        final = self._final
        if final.is_symlink() or (final.exists() and (self._single or not final.is_dir() or any(final.iterdir()))):
            raise self._taken()

    def _taken(self) -> UsageError:
        return UsageError(
            f"{self._final}: exists already; choose a destination that does not (nothing was overwritten)"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
