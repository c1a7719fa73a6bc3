"""Where runs are restored: a hidden sibling that takes the final name when it is complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

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

    def write(self, path: str, chunks: Iterable[bytes], *, executable: bool) -> None:
        """Write one file; see the port."""
        target = self._inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb", buffering=0) as file:
                for chunk in chunks:
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
            if executable:
                target.chmod(target.stat().st_mode | 0o111)
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

    def _inside(self, path: str) -> Path:
        problem = path_problem(path)
        if problem:
            raise UsageError(problem)
        return self._room / path

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
