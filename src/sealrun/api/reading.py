"""Reading a registry from Python: find runs, open their files, restore them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self, cast

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.products.browsing import CacheChoice, HeldRun, find_registry, shared_browser
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.consuming import Consumer
from sealrun.domain.errors import NotFoundError, UsageError
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import Generation
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.run import Envelope
from sealrun.services.access.browsing import Browser, OpenRun, Part, mismatch
from sealrun.services.access.opened import OpenFile

__all__ = ["RegistryReader", "SealedFolder", "open_registry"]


def open_registry(
    registry: str | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
    config: str | os.PathLike[str] | None = None,
    cache: str | bool = True,
    cache_limit: int | None = None,
) -> RegistryReader:
    """Open a registry for reading: a name in the settings, a URL or a path; by default the first of the settings.

    Settings are found as the commands find them, or in the file `config`; with `storage_options`, which are for the
    URL, they are not asked. Whole files from elsewhere are kept in the folder `cache` (True: the user's own, False:
    none), of `cache_limit` bytes. Nothing is ever written to the registry. `NoRegistryError`, `ConfigurationError`,
    `UnavailableError`, `AccessDeniedError`.
    """
    spec = find_registry(registry, storage_options, config)
    return RegistryReader(spec, CacheChoice.of(cache, cache_limit))


class RegistryReader:
    """Reads one registry. Safe to use from many threads; a child process may go on using it.

    Every reference is looked up when it is given: ask for `resolve` once to see one run throughout.
    """

    def __init__(self, spec: RegistrySpec, cache: CacheChoice) -> None:
        """See `open_registry`."""
        self._spec = spec
        self._cache = cache
        self._consumers: dict[int, Consumer] = {}
        self._lock = Lock()
        _ = self._browser.reader.store.url

    def __repr__(self) -> str:
        return f"<sealrun registry {self.url}>"

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close; see `close`."""
        self.close()

    @property
    def url(self) -> str:
        """Where the registry is, without secrets."""
        return self._browser.reader.store.url

    def experiments(self) -> list[str]:
        """Names of the experiments, sorted. Asked now; so is everything else here. `UnavailableError`: no answer."""
        return self._browser.reader.experiments()

    def runs(self, experiment: str | None = None) -> list[Row]:
        """One row per run, of one experiment or of all, oldest first; none of an experiment that is not there.

        A row has `run_id`, `experiment`, `name`, `status`, `finished_at`, `sealed_at`, `files`, `size` (bytes), `tags`,
        `urn`, `root_sha256`, `tree_digest` and `supersedes` (the run that it replaces, or None).
        """
        return list(self._browser.reader.runs(experiment))

    def pointers(self, experiment: str) -> list[Generation]:
        """Where each pointer of an experiment stands, by name.

        A generation has `pointer`, `generation` (from 1), `target` (`experiment`, `run_id`, `root_sha256`), `moved_at`,
        `by` and `why`.
        """
        return self._browser.reader.pointers(experiment)

    def history(self, experiment: str, pointer: str) -> list[Generation]:
        """A pointer's generations, newest first; none if it was never set. `IntegrityError`: the log is broken."""
        return self._browser.reader.history(experiment, pointer)

    def exists(self, ref: str) -> bool:
        """Tell whether a reference names a run, and with a path a file of it; an outage is an error."""
        try:
            found = self.resolve(ref)
        except NotFoundError:
            return False
        return found.path is None or found.holds(found.path)

    def resolve(self, ref: str) -> SealedFolder:
        """Find what a reference names, now. `NotFoundError` says what is there instead; `UsageError`: the grammar."""
        target = self._browser.resolve(ref)
        return SealedFolder(HeldRun(lambda: self._browser, self._browser.open(target)), target.path)

    def open(self, ref: str) -> BinaryIO:
        """Open the one file that a reference names; see `SealedFolder.open`."""
        return self.resolve(ref).open()

    def read_bytes(self, ref: str) -> bytes:
        """Return the bytes of the one file that a reference names, verified: `DigestMismatchError`."""
        return self.resolve(ref).read_bytes()

    def get(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        sealed: bool = False,
        link: bool = False,
        advance: Callable[[int], None] | None = None,
    ) -> Path:
        """Restore a run, or one file of it, to `destination`, which must not exist yet; return where it is.

        Nothing is visible there until all is verified: `DigestMismatchError`. With `sealed` the whole run folder,
        records included. A file goes into `destination` where that is a folder. What an interrupted call had begun to
        restore there is gone on with. With `link` files share a directory registry's bytes where that is possible
        (`UsageError` where it never is); those that are read-only then are not to be written to. `advance` is told
        bytes, from several threads. `NotFoundError`; `ConflictError`: the run was retired and collected meanwhile;
        `NoSpaceError`: `destination` cannot be written to.
        """
        final = Path(destination)
        into = final.is_dir()
        view = self._restorer().restore(ref, final, sealed=sealed, link=link, advance=advance).view
        name = view.path or (view.manifest.entries[0].path if view.envelope.unit == "file" and not sealed else None)
        return final / name.rpartition("/")[2] if name is not None and into and not sealed else final

    def close(self) -> None:
        """Release what is this reader's own; connections are the process's, and stay. Harmless twice."""
        with self._lock:
            consumer = self._consumers.pop(os.getpid(), None)
        if consumer is not None:
            consumer.close()

    def _restorer(self) -> Consumer:
        """Return what restores, in this process: connections do not survive a fork."""
        with self._lock:
            found = self._consumers.get(os.getpid())
            if found is None:
                found = self._consumers[os.getpid()] = Consumer(self._spec, SystemClock(), SystemEntropy())
            return found

    @property
    def _browser(self) -> Browser:
        return shared_browser(self._spec, self._cache)


class SealedFolder:
    """One run that was found, or with a `path` one file of it. Whatever pointers do, it stays the same."""

    def __init__(self, held: HeldRun, path: str | None) -> None:
        """See `RegistryReader.resolve`."""
        self._held = held
        self.path = path

    def __repr__(self) -> str:
        return f"<sealrun {self.ref}{'' if self.path is None else f':{self.path}'}>"

    @property
    def ref(self) -> str:
        """The run's own reference, which always means the same run."""
        return self._run.view.ref

    @property
    def experiment(self) -> str:
        """The run's experiment."""
        return self._run.view.target.experiment

    @property
    def run_id(self) -> str:
        """Its name there."""
        return self._run.view.target.run_id

    @property
    def root_sha256(self) -> str:
        """What seals it: the digest of all its files and records."""
        return self._run.view.target.root_sha256

    @property
    def urn(self) -> str:
        """Its name by content."""
        return self._run.view.envelope.urn

    @property
    def envelope(self) -> Envelope:
        """``run.json``: status, times, why it was taken, and what its producer says."""
        return self._run.view.envelope

    @property
    def files(self) -> Sequence[Entry]:
        """Its files: path, size, sha256, executable."""
        return self._run.view.manifest.entries

    @property
    def _run(self) -> OpenRun:
        return self._held.run

    def holds(self, path: str) -> bool:
        """Tell whether there is a file or a folder at `path`."""
        return self._run.tree.find(path) is not None

    def open(self, path: str | None = None) -> BinaryIO:
        """Open a file for reading and seeking: it is read by ranges, with bounded memory.

        Read from its beginning to its end it is verified: the last read raises `DigestMismatchError` where it should.
        `NotFoundError` if there is no such file.
        """
        held, entry = self._held, self._entry(path)
        name = f"{self.ref}:{entry.path}"
        return cast(
            "BinaryIO",
            OpenFile(
                name,
                entry.size,
                entry.sha256,
                lambda offset, length: held.run.read(Part(entry, offset, length)),
                lambda: mismatch(self.ref, entry.path),
            ),
        )

    def read_bytes(self, path: str | None = None) -> bytes:
        """Return the bytes of a file, verified: `DigestMismatchError`."""
        return self._run.whole(self._entry(path))

    def read_text(self, path: str | None = None, encoding: str = "utf-8") -> str:
        """Return the text of a file, verified."""
        return self.read_bytes(path).decode(encoding)

    def _entry(self, path: str | None) -> Entry:
        wanted = path if path is not None else self.path
        if wanted is None and self.envelope.unit == "file":
            return self.files[0]
        if wanted is None:
            msg = f"{self.ref} is a run; name one of its files: {self.ref}:PATH"
            raise UsageError(msg)
        node = self._run.tree.find(wanted)
        if node is None or node.entry is None:
            msg = f"{self.ref} holds no file {wanted!r}; list its files with: sealrun show {self.ref}"
            raise NotFoundError(msg)
        return node.entry
