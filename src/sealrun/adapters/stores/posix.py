"""A directory as a store: a local disk, or NFS."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH100, PTH104, PTH108, PTH116, PTH121, PTH123

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from sealrun.adapters.stores.posix_bulk import Bulk
from sealrun.adapters.stores.posix_durable import write_all
from sealrun.adapters.stores.posix_errors import translate, translated
from sealrun.adapters.stores.posix_folders import Folders, Root
from sealrun.adapters.stores.posix_listing import describe, folders, walk
from sealrun.adapters.stores.posix_removal import prune, unlink
from sealrun.adapters.stores.posix_room import Room
from sealrun.adapters.stores.posix_rounds import Flight, Together
from sealrun.adapters.stores.posix_stage import PosixStage
from sealrun.domain.address import Key, is_discardable
from sealrun.domain.errors import NotFoundError, OutcomeUnknownError, SealrunError, UsageError
from sealrun.domain.pieces import Body, pieces_of
from sealrun.ports import Capabilities, Creation, ObjectStat, Source

_NO_LINKS = {errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EACCES}
_RECORD_MODE = 0o444
_PROJECTION_MODE = 0o644
_COPY_CHUNK = 64 << 20


class PosixStore:
    """`ports.Store` in a directory. Write-once creation is link(2), which is exclusive, also on NFS.

    Opening it writes nothing. Several machines may share it over NFS if their mounts do not answer from caches
    (``lookupcache=positive`` and a short ``actimeo``).
    """

    def __init__(self, root: str | os.PathLike[str], *, parallel: int = 4, make: bool = False) -> None:
        """Open the folder `root`; with `make` create it if it is absent, else its absence is an outage."""
        self._root = Root(os.path.abspath(root), make=make)
        self._room = Room(self._root)
        self._folders = Folders(self._root)
        self._together = Together(self._room)
        self._parallel = parallel

    @property
    def url(self) -> str:
        """Where it is; see the port."""
        return f"file://{self._root.path}"

    @property
    def root(self) -> str:
        """The directory."""
        return self._root.path

    @property
    def capabilities(self) -> Capabilities:
        """What a directory can do; the bytes are checked while they are copied, not by somebody else."""
        return Capabilities(write_once=True, verifies_uploads=False, links=True, parallel=self._parallel)

    def create(self, key: Key, body: Body) -> Creation:
        """Create `key`, exclusively; see the port.

        The bytes are durable before the name appears. A crash leaves a nameless file, or a complete record that a
        repeat finds. Calls that are in flight together share their syncs; see `posix_rounds`.
        """
        final = self._root.place(key)
        with self._writing(final) as flight:
            with self._temporary(final, body, flight) as temporary:
                try:
                    self._folders.into(final, lambda: os.link(temporary, final))
                    answer = Creation.CREATED
                except FileExistsError:
                    answer = _whose(temporary, final)
                except OSError as error:
                    raise translate(error, f"{final}: cannot be created", ambiguous=True) from error
            try:
                # Also for EXISTS: its creator may have been killed before it did so, and its bytes are now relied upon.
                flight.keep_name(final)
            except OSError as error:
                msg = f"{final}: exists, but not durably yet ({error.strerror}); try again"
                raise OutcomeUnknownError(msg) from error
        return answer

    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        """Store many files; see the port and `posix_bulk`."""
        with translated(f"{self._root.path}: cannot be written to"):
            rounds = self._together.enter()
        try:
            Bulk(self._root, self._room, self._folders, rounds, self._parallel).run(items, on_stored)
        finally:
            self._together.leave(rounds)

    def put(self, key: Key, body: bytes) -> None:
        """Write an owned record; see the port."""
        final = self._root.place(key)
        with (
            self._writing(final) as flight,
            self._temporary(final, body, flight) as temporary,
            translated(f"{final}: cannot be written"),
        ):
            self._folders.into(final, lambda: os.rename(temporary, final))
            flight.keep_name(final)

    def replace(self, key: Key, body: Body) -> None:
        """Write a projection; see the port."""
        final = self._root.place(key)
        with self._temporary(final, body, None) as temporary, translated(f"{final}: cannot be written"):
            self._folders.into(final, lambda: os.rename(temporary, final))

    def copy(self, source: Key, target: Key) -> None:
        """Make `target` a hard link to `source`, or a copy where links are refused; see the port."""
        origin, final = self._root.place(source), self._root.place(target)
        try:
            self._link_or_copy(origin, final)
        except FileNotFoundError as error:
            if os.path.lexists(origin):  # then it was the target's folder that went away, again and again
                raise translate(error, f"{final}: cannot be made") from error
            raise self._absent(source) from error
        except OSError as error:
            raise translate(error, f"{final}: cannot be made from {source}") from error

    def _link_or_copy(self, origin: str, final: str) -> None:
        def link() -> None:
            os.link(origin, final)

        try:
            # A missing source must not make folders: it is looked for only when something is missing.
            try:
                link()
            except FileNotFoundError:
                os.stat(origin)
                self._folders.into(final, link)
        except FileExistsError:
            if not os.path.samefile(origin, final):
                self._swap_in(origin, final, linking=True)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._swap_in(origin, final, linking=False)

    def _swap_in(self, origin: str, final: str, *, linking: bool) -> None:
        self._room.folder()
        temporary = self._room.new_path()
        try:
            if linking:
                try:
                    os.link(origin, temporary)
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    self._copy_bytes(origin, temporary)
            else:
                self._copy_bytes(origin, temporary)
            self._folders.into(final, lambda: os.rename(temporary, final))
        finally:
            # rename does nothing when a rival has made the target the same file: then the temporary name is left
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _copy_bytes(self, origin: str, temporary: str) -> None:
        with open(origin, "rb", buffering=0) as source, open(temporary, "xb", buffering=0) as copy:
            os.fchmod(copy.fileno(), _RECORD_MODE)
            try:
                while os.copy_file_range(source.fileno(), copy.fileno(), _COPY_CHUNK):
                    pass
            except OSError as error:
                if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}:
                    raise
                while chunk := source.read(1 << 20):
                    write_all(copy.fileno(), chunk)

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; see the port."""
        with self.open(key) as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def open(self, key: Key) -> BinaryIO:
        """Open for reading and seeking; see the port."""
        path = self._root.place(key)
        try:
            return io.BufferedReader(_Reading(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self._absent(key) from error
        except OSError as error:
            raise translate(error, f"{path}: cannot be read") from error

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`; see the port."""
        path = self._root.place(key)
        with translated(f"{path}: cannot be looked at"):
            found = describe(self._root, key)
        if found is None:
            self._root.confirm()
        return found

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key that begins with `prefix`; see the port."""
        if limit is not None and limit <= 0:
            return
        for count, found in enumerate(walk(self._root, prefix), start=1):
            yield found
            if count == limit:
                return

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`; see the port."""
        return folders(self._root, prefix)

    def discard(self, key: Key) -> None:
        """Delete what a publisher may delete; see the port."""
        if not is_discardable(key):
            raise UsageError(f"{self.url}: {key} is not for a publisher to delete")
        unlink(self._root, key)
        prune(self._root, key)

    def stage(self) -> PosixStage:
        """Open a stage; see the port."""
        with translated(f"{self._root.path}: bytes cannot be staged there"):
            return PosixStage(self._room, self._together)

    def close(self) -> None:
        """Leave the private room; see the port."""
        self._together.close()
        self._room.leave()

    @contextlib.contextmanager
    def _writing(self, final: str) -> Iterator[Flight]:
        """Be one of the calls in flight that make a record durable."""
        with translated(f"{final}: cannot be written"):
            rounds = self._together.enter()
        try:
            with rounds.record():
                yield Flight(rounds, self._folders)
        finally:
            self._together.leave(rounds)

    @contextlib.contextmanager
    def _temporary(self, final: str, body: Body, flight: Flight | None) -> Iterator[str]:
        """Write `body` to a nameless file for `final`, durably in a flight; afterwards it is gone, unless renamed."""
        path = None
        try:
            with translated(f"{final}: cannot be written"):
                fd, path = self._room.new_file(_PROJECTION_MODE if flight is None else _RECORD_MODE)
                try:
                    for piece in pieces_of(body):
                        write_all(fd, piece)
                    if flight is not None:
                        flight.keep_bytes(fd)  # after a failure they are discarded: a second sync would lie
                finally:
                    os.close(fd)
            yield path
        finally:
            if path is not None:
                with contextlib.suppress(OSError):  # what stays in the room goes when the room does
                    os.unlink(path)

    def _absent(self, key: Key) -> SealrunError:
        """Return the error for a missing key, or raise `UnavailableError` if it is the whole root that is missing."""
        self._root.confirm()
        return NotFoundError(f"{self.url}: there is no {key}")


class _Reading(io.FileIO):
    """A file whose read errors are ours."""

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override] # the stubs' own Buffer is private
        with translated(f"{self.name!s}: cannot be read"):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with translated(f"{self.name!s}: cannot be read"):
            return super().readall()


def _whose(temporary: str, final: str) -> Creation:
    """Tell whose entry link(2) met: over NFS the answer to our own may have been lost, and the call repeated."""
    try:
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)  # opening makes an NFS client ask for fresh facts
        try:
            ours = os.fstat(fd).st_nlink == 2  # noqa: PLR2004 - the temporary name and the final one
        finally:
            os.close(fd)
    except OSError as error:
        raise OutcomeUnknownError(f"{final}: exists, and whether it is ours cannot be seen; try again") from error
    return Creation.CREATED if ours else Creation.EXISTS
