"""What a registry holds as paths on this machine: in place where it is a directory, else fetched once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sealrun.adapters.caches.copy_cache import FETCHING, CopyCache
from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.domain.address import Digest, run_key
from sealrun.domain.errors import DigestMismatchError, NoSpaceError, NotFoundError
from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.access.restoring import restore, restore_file

_CHUNK = 4 << 20
_READ_ONLY = 0o444
_Facts = tuple[int, int, int, int]


class LocalCopies:
    """Paths of what one registry holds. Nobody may write through them: they are read-only, and may be the registry's.

    In place costs nothing and is possible for whole files of a directory registry. What was fetched is verified, and
    kept in `cache` under its content's digest, where any number of processes share it. What this process was given
    stays there while it runs.
    """

    def __init__(self, reader: Reader, cache: CopyCache) -> None:
        """Find what `reader` reads."""
        self._reader = reader
        self._cache = cache
        self._verified: dict[str, tuple[_Facts, str]] = {}

    def of(self, view: RunView, *, verify: bool = True) -> Path:
        """Return the path of what was resolved: of its one file, if one is meant or the run is one, else the folder.

        `DigestMismatchError` if it is not what was sealed; with `verify` false only what was fetched is compared.
        """
        if view.path is not None:
            return self.file(view, view.entry(view.path), verify=verify)
        if view.envelope.unit == "file":
            return self.file(view, view.manifest.entries[0], verify=verify)
        return self._folder(view, verify=verify)

    def file(self, view: RunView, entry: Entry, *, verify: bool = True) -> Path:
        """Return the path of one file; see `of`."""
        place = _entry_in_place(self._reader, view, entry)
        if place is not None:
            if verify:
                self._compare(place, entry)
            return place
        kind = "x" if entry.executable else ""
        held = self._cache.hold(f"files/{entry.sha256[:2]}/{entry.sha256[2:]}{kind}")
        final = held / entry.path.rpartition("/")[2]
        if not self._is_good(final, entry):
            with self._room(final) as room:
                if not self._is_good(final, entry):  # nobody else has fetched it meanwhile
                    restore_file(self._reader, view, entry, LocalDestination(room / "file", single=True), final.name)
                    (room / "file").chmod(_READ_ONLY | (0o111 if entry.executable else 0))
                    (room / "file").replace(final)
            self._cache.added(entry.size)
        return final

    def _folder(self, view: RunView, *, verify: bool) -> Path:
        plain = not view.manifest.links and not view.manifest.directories  # neither is shown in a run's folder
        entries = view.manifest.entries
        places = [_entry_in_place(self._reader, view, entry) for entry in entries] if plain else [None]
        if None not in places:
            for place, entry in zip(places, entries, strict=True) if verify else ():
                self._compare(Path(str(place)), entry)
            return _run_folder(self._reader, view)
        digest = view.envelope.manifest_sha256
        final = self._cache.hold(f"folders/{digest[:2]}/{digest[2:]}") / view.envelope.name

        def is_good() -> bool:
            return final.is_dir() and all(self._is_good(final / entry.path, entry) for entry in entries)

        if not is_good():
            with self._room(final) as room:
                if not is_good():  # nobody else has fetched it meanwhile
                    restore(self._reader, view, LocalDestination(room / "folder"), sealed=False)
                    for entry in entries:
                        (room / "folder" / entry.path).chmod(_READ_ONLY | (0o111 if entry.executable else 0))
                    self._take(room, final, is_good)
            self._cache.added(view.envelope.size)
        return final

    def _take(self, room: Path, final: Path, is_good: Callable[[], bool]) -> None:
        """Give a fetched folder its name, in place of one that is damaged; a good one of another process stays."""
        if final.is_dir() and not is_good():
            with suppress(FileNotFoundError):
                final.rename(room / "damaged")
        try:
            (room / "folder").rename(final)
        except OSError:
            if not is_good():
                raise

    def _is_good(self, path: Path, entry: Entry) -> bool:
        """Tell whether a fetched file is there and still what it was."""
        try:
            return path.lstat().st_size == entry.size and self._digest(path) == entry.sha256
        except OSError:
            return False

    def _compare(self, place: Path, entry: Entry) -> None:
        try:
            found = self._digest(place)
        except FileNotFoundError as error:
            msg = f"{place}: is not there any more"
            raise NotFoundError(msg) from error
        if found != entry.sha256:
            msg = f"{place}: is not what was sealed; find the extent with: sealrun verify --all"
            raise DigestMismatchError(msg)

    def _digest(self, path: Path) -> str:
        """Digest a file; once in the life of this object, unless its facts change."""
        facts = _facts(path)
        known = self._verified.get(str(path))
        if known is None or known[0] != facts:
            known = self._verified[str(path)] = facts, _sha256(path)
        return known[1]

    @contextmanager
    def _room(self, final: Path) -> Iterator[Path]:
        """Open a private folder beside `final`, as the only one who fetches it: a thousand would ask for the same.

        A crash leaves it, and frees the lock; nobody takes it for anything. Without locks several may fetch it.
        """
        lock = -1
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(final.parent / f"{FETCHING}lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            room = Path(tempfile.mkdtemp(prefix=FETCHING, dir=final.parent))
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            msg = f"{final.parent}: cannot be written to ({error.strerror}); name another cache in $SEALRUN_CACHE"
            raise NoSpaceError(msg) from error
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)
            os.close(lock)


def in_place(reader: Reader, view: RunView) -> Path | None:
    """Return where a directory registry shows the one file that is meant; None where it does not."""
    entry = view.manifest.entries[0] if view.path is None else view.entry(view.path)
    return _entry_in_place(reader, view, entry)


def _run_folder(reader: Reader, view: RunView) -> Path:
    root = reader.store.url.removeprefix("file://")
    return Path(root) / run_key(view.target.experiment, view.target.run_id, "artifacts")


def _entry_in_place(reader: Reader, view: RunView, entry: Entry) -> Path | None:
    """Return where a directory registry shows a file; the projection may be behind, and has no packed ones."""
    store = reader.store
    if not store.capabilities.links or not store.url.removeprefix("file://").startswith("/"):
        return None
    place = _run_folder(reader, view) / entry.path
    try:
        status = place.lstat()
    except OSError:
        return None
    return place if stat.S_ISREG(status.st_mode) and status.st_size == entry.size else None


def _facts(path: Path) -> _Facts:
    status = os.lstat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sha256(path: Path) -> Digest:
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return Digest(hasher.hexdigest())
