"""Where runs are restored: a hidden sibling that takes the final name when it is complete."""

# ruff: noqa: PTH103, PTH108 - names go to the kernel as they are

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from sealrun.adapters.machine.sharing import CANNOT, share_blocks
from sealrun.adapters.restoring.hidden_rooms import Room
from sealrun.adapters.stores.posix_durable import write_all
from sealrun.domain.errors import NoSpaceError, UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.runs.links import link_problem
from sealrun.domain.runs.manifest import Entry

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_CONTINUE = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CHUNK = 1 << 20
_WRITABLE = 0o222
_EXECUTABLE = 0o111


class LocalDestination:
    """`ports.Destination` for a folder, or with `single` for one file. A crash leaves a ``.sealrun-*`` sibling."""

    def __init__(self, final: Path, *, single: bool = False, resume: str | None = None) -> None:
        """Restore to `final`, which must not exist yet (an empty folder may).

        `resume` stands for what is restored, and how: what an interrupted attempt at the same left is gone on with.
        Of two at the same time one begins anew.
        """
        self._final = Path.cwd() / final
        self._single = single
        self._refuse_if_taken()
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._room = Room.open(self._final, resume)
        except OSError as error:
            msg = f"{self._final.parent}: cannot be written to ({error.strerror}); choose another destination"
            raise NoSpaceError(msg) from error
        self._where = self._room.path
        self._made = {""}
        self._belongs: set[str] = set()
        self._going_on: set[str] = set()
        self._clones = True

    @property
    def resumed(self) -> bool:
        """Tell whether there is anything of an earlier attempt; see the port."""
        return self._room.resumed

    def has(self, path: str, entry: Entry) -> bool:
        """Tell whether `path` holds the bytes of `entry` already; see the port."""
        place = self._checked(path)
        if not self.resumed or not _holds(place, entry):
            return False
        self._belongs.add(path)
        return True

    def begun(self, path: str, step: int, most: int) -> Iterator[memoryview] | None:
        """Cut what is there of a file, and go on with it; see the port."""
        place = self._checked(path)
        try:
            facts = os.lstat(place)
            size = min(facts.st_size, most) // step * step
            if not self.resumed or not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1 or not size:
                return None
            os.truncate(place, size)
        except OSError:
            return None  # then it is written anew, which says what is in the way
        self._going_on.add(path)
        return _pieces(place)

    def write(self, path: str, chunks: Iterable[bytes | memoryview], *, executable: bool) -> None:
        """Write one file; see the port."""
        try:
            if path in self._going_on:
                self._going_on.discard(path)
                self._belongs.add(path)
                descriptor = os.open(self._checked(path), _CONTINUE)
            else:
                descriptor = os.open(self._cleared(path), _CREATE, 0o666)
            try:
                for chunk in chunks:
                    write_all(descriptor, chunk)
                if executable:
                    _make_executable(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unwritable(path, error) from error

    def share(self, path: str, origin: str, *, executable: bool) -> bool:
        """Make a file that shares another one's blocks; see the port."""
        try:
            place = self._cleared(path)
            return self._clone(place, origin, executable=executable) or (not executable and _hard_link(place, origin))
        except OSError as error:
            raise self._unwritable(path, error) from error

    def folder(self, path: str) -> None:
        """Create an empty folder."""
        self._inside(path).mkdir(parents=True, exist_ok=True)
        self._belongs.add(path)

    def link(self, path: str, target: str) -> None:
        """Create a link; its target was checked when the manifest was read, and is checked again here."""
        problem = link_problem(path, target)
        if problem:
            raise UsageError(problem)
        place = self._inside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if self.resumed:
            place.unlink(missing_ok=True)
        place.symlink_to(target)
        self._belongs.add(path)

    def commit(self) -> None:
        """Take the final name; see the port."""
        self._refuse_if_taken()
        if self.resumed:
            self._room.keep_only(self._belongs)
        if self._single:
            (only,) = self._room.names()
            try:
                os.link(f"{self._where}/{only}", self._final)  # unlike a rename, never replaces what has appeared there
            except FileExistsError as error:
                raise self._taken() from error
            self._room.remove()
            return
        try:
            self._room.become(self._final)
        except OSError as error:
            raise self._taken() from error

    def abandon(self) -> None:
        """Remove what was written."""
        self._room.remove()

    def suspend(self) -> None:
        """Leave what was written to a later attempt; see the port."""
        self._room.leave()

    def _clone(self, place: str, origin: str, *, executable: bool) -> bool:
        """Share blocks until either file is written to, where the file system can (Btrfs, XFS and others)."""
        if not self._clones:
            return False
        shared = False  # asked of this file: others, at the same time, may find out otherwise
        source = os.open(origin, _READ)
        try:
            descriptor = os.open(place, _CREATE, 0o666)
            try:
                if executable:
                    _make_executable(descriptor)
                shared = share_blocks(source, descriptor)
            finally:
                os.close(descriptor)
                if not shared:
                    os.unlink(place)
        finally:
            os.close(source)
        if not shared:
            self._clones = False
        return shared

    def _cleared(self, path: str) -> str:
        """Return where a file goes: its folder is there, and what an interrupted attempt had begun is not."""
        place = self._checked(path)
        self._make(path.rpartition("/")[0])
        if self.resumed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)
            self._belongs.add(path)
        return place

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

    def _unwritable(self, path: str, error: OSError) -> NoSpaceError:
        return NoSpaceError(f"{self._final}: {path!r} cannot be written ({error.strerror}); nothing was restored")


def _pieces(place: str) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_CHUNK))
    with open(os.open(place, _READ), "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
        while got := file.readinto(buffer):
            yield buffer[:got]


def _hard_link(place: str, origin: str) -> bool:
    facts = os.lstat(origin)
    if not stat.S_ISREG(facts.st_mode) or facts.st_mode & _WRITABLE:
        return False  # whoever wrote to the link would change the registry
    try:
        os.link(origin, place, follow_symlinks=False)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        return False
    return True


def _make_executable(descriptor: int) -> None:
    os.fchmod(descriptor, os.fstat(descriptor).st_mode | _EXECUTABLE)


def _holds(place: str, entry: Entry) -> bool:
    """Read a file that an interrupted attempt left: only its bytes tell whether it was complete."""
    try:
        descriptor = os.open(place, _READ)
    except OSError:
        return False
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor has no path
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != entry.size:
            return False
        if bool(facts.st_mode & _EXECUTABLE) != entry.executable:
            return False
        return hashlib.file_digest(file, "sha256", _bufsize=_CHUNK).hexdigest() == entry.sha256
