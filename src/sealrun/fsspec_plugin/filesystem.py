"""The runs of a registry as a file system that nobody can write to."""

# ruff: noqa: ANN401, FBT001, FBT002 - the signatures are those of fsspec, which ships no types

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike, stringify_path

from sealrun.bootstrap.products.browsing import CacheChoice, HeldRun, find_registry
from sealrun.domain.errors import UsageError
from sealrun.fsspec_plugin.copying import copy_out, pour_out
from sealrun.fsspec_plugin.errors import as_os_error, translated
from sealrun.fsspec_plugin.files import RunFile
from sealrun.fsspec_plugin.lookup import Lookup, State, describe, part_of
from sealrun.fsspec_plugin.paths import options_of, strip
from sealrun.fsspec_plugin.refusing import ReadOnlyFileSystem
from sealrun.fsspec_plugin.telling import copy_all
from sealrun.services.access.browsing import Part, mismatch

_FSSPECS_OWN = {"asynchronous", "loop", "use_listings_cache", "listings_expiry_time", "max_paths", "batch_size"}


class SealrunFileSystem(ReadOnlyFileSystem):
    """Reads sealed runs: ``EXPERIMENT/RUN_ID/PATH``, ``EXPERIMENT@POINTER/PATH``, a published name, or a URN.

    A pointer, like every reference, is looked up when an instance first meets it, and from then on means that run:
    whoever lists and reads with one instance sees one run, also in other threads and, through pickling, in other
    processes and on other machines. `refresh` looks again, and so does a new instance. Instances are not shared
    (``fsspec.open`` makes one each time), but connections and manifests are, in a process.

    Sizes and digests are those of the manifest. What is read as a whole is verified against its sha256, as is every
    file of up to a MiB; of larger ones that are read in part nothing is. Errors are `OSError` and sealrun's own.
    """

    protocol = "sealrun"
    root_marker = ""
    cachable = False
    _strip_tokenize_options = ("_state",)

    def __init__(
        self,
        registry: str | None = None,
        *,
        storage_options: Mapping[str, object] | None = None,
        config: str | os.PathLike[str] | None = None,
        cache: str | bool = True,
        cache_limit: int | None = None,
        _state: State | None = None,
        **options: Any,
    ) -> None:
        """Read `registry`, a name in the settings or a URL or path; by default the first one of the settings.

        Settings are found as the commands find them, or in the file `config`; with `storage_options`, which are for
        the URL, they are not asked. `cache` is a folder, or False, or True for the
        user's own; it is for whole files of registries elsewhere, of `cache_limit` bytes altogether.
        Nothing is opened before it is needed. `ConfigurationError`, `NoRegistryError`: the settings do not say so.
        """
        unknown = sorted(options.keys() - _FSSPECS_OWN)
        if unknown:
            msg = (
                f"sealrun:// has no option {', '.join(unknown)} (registry, storage_options, config, cache, cache_limit)"
            )
            raise TypeError(msg)
        super().__init__(**options)
        spec, pins = _state or (find_registry(registry, storage_options, config), {})
        self._lookup = Lookup(spec, CacheChoice.of(cache, cache_limit), pins)

    @property
    def fsid(self) -> str:
        """Which registry is read."""
        return f"sealrun_{self._lookup.spec.shown_url}"

    @property
    def pinned(self) -> dict[str, str]:
        """What each reference that was met stands for: ``{"train@latest": "train/20260117T143052Z-a"}``."""
        return {ref: f"{target.experiment}/{target.run_id}" for ref, target in self._lookup.pins.items()}

    def refresh(self, path: str | None = None) -> None:
        """Look pointers and names up again when they are next met; with `path` only the reference in that."""
        self._lookup.forget(None if path is None else self._strip_protocol(path))

    def invalidate_cache(self, path: str | None = None) -> None:
        """See `refresh`: there is nothing else that could be out of date."""
        self.refresh(path)

    # ------------------------------------------------------------ names

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return strip(stringify_path(path))

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return options_of(path)

    def __eq__(self, other: object) -> bool:
        """Tell whether both read the same registry, and mean the same runs by the names that they have met."""
        return isinstance(other, SealrunFileSystem) and self.__dask_tokenize__() == other.__dask_tokenize__()

    def __hash__(self) -> int:
        """By the registry."""
        return hash(self.fsid)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        """Two that have met other runs under one name are not the same."""
        return (self.fsid, *sorted((ref, target.root_sha256) for ref, target in self._lookup.pins.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the registry and all that was looked up along. Whatever secrets its options hold go with them."""
        state = (self._lookup.spec, self._lookup.pins)
        options = {name: value for name, value in self.storage_options.items() if name != "_state"}
        return _restored, (type(self), self.storage_args, options, state)

    # ------------------------------------------------------------ looking

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Describe what stands at `path`: a file has `size` and `sha256`. `FileNotFoundError`."""
        path = self._strip_protocol(path)
        with translated(path):
            return describe(path, self._lookup.find(path))

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """List a folder, an experiment's runs, or at the root the experiments; pointers and names are not listed."""
        path = self._strip_protocol(path)
        if options.get("refresh"):
            self.refresh(path)
        with translated(path):
            listed = list(self._lookup.listed(path))
        return listed if detail else [found["name"] for found in listed]

    def exists(self, path: str, **_options: Any) -> bool:
        """Tell whether anything stands at `path`; an outage is an error, never False."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Tell whether a file stands at `path`; see `exists`."""
        return self._kind(path) == "file"

    def isdir(self, path: str) -> bool:
        """Tell whether a folder stands at `path`; see `exists`."""
        return self._kind(path) == "directory"

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: Any = "omit",
        **options: Any,
    ) -> Iterator[Any]:
        """Walk as fsspec does, as do `find` and `glob`; only what is not there is omitted, an outage is an error."""
        told = _raise_but_for_absence if on_error == "omit" else on_error
        walked: Iterator[Any] = super().walk(path, maxdepth, topdown, told, **options)
        return walked

    def ukey(self, path: str) -> str:
        """Return the sha256 of a file, or what stands for the content of a folder: of a run its ROOT_SHA256."""
        path = self._strip_protocol(path)
        with translated(path):
            found = self._lookup.find(path)
        if found.run is None or found.node is None:
            return f"{self.fsid}/{path}"
        if found.node.entry is not None:
            return str(found.node.entry.sha256)
        root = found.run.view.target.root_sha256
        return f"{root}/{found.node.path}" if found.node.path else str(root)

    def checksum(self, path: str) -> int:
        """Return a file's sha256 as a number."""
        info = self.info(path)
        return int(info["sha256"], 16) if info["type"] == "file" else hash(self.ukey(path))

    def modified(self, path: str) -> datetime:
        """Return when the run was finished: its files never change after that."""
        path = self._strip_protocol(path)
        with translated(path):
            found = self._lookup.find(path)
        if found.run is None:
            raise as_os_error(UsageError(f"{path!r} is no run, so it has no time"), path)
        return datetime.fromisoformat(found.run.view.envelope.finished_at).astimezone(UTC)

    created = modified

    # ------------------------------------------------------------ reading

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """Return a file's bytes, or those from `start` to `end`, as a slice takes them."""
        path = self._strip_protocol(path)
        with translated(path):
            run, entry = self._lookup.file(path)
            return run.read(part_of(entry, start, end))

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,  # noqa: ARG002 - what the store takes decides which neighbours are read together
        on_error: str = "return",
        **_options: Any,
    ) -> list[Any]:
        """Return a part of each path, in few requests; with ``on_error="return"`` an error where there is one."""
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        answers = self._lookup.read_many(list(zip(self._strip_protocol(paths), starts, ends, strict=True)))
        if on_error != "return":
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_options: Any) -> Any:
        """Return the bytes of a file, or of many by path; all that is asked for at once is read in few requests."""
        paths = self.expand_path(path, recursive=recursive)
        if isinstance(path, str) and paths == [self._strip_protocol(path)] and not recursive:
            return self.cat_file(paths[0])
        files = [each for each in paths if not (recursive and self.isdir(each))]
        answers = dict(zip(files, self._lookup.read_many([(each, None, None) for each in files]), strict=True))
        if on_error == "raise":
            for answer in answers.values():
                if isinstance(answer, Exception):
                    raise answer
        return {each: answer for each, answer in answers.items() if on_error == "return" or isinstance(answer, bytes)}

    def get_file(
        self,
        rpath: str,
        lpath: Any = None,
        callback: Any = DEFAULT_CALLBACK,
        outfile: Any = None,
        **_options: Any,
    ) -> None:
        """Copy a file to this machine, verified: it has its name there when it is complete, and not before."""
        path = self._strip_protocol(rpath)
        if outfile is None and isfilelike(lpath):
            outfile = lpath
        if outfile is None and self.isdir(path):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        with translated(path):
            run, entry = self._lookup.file(path)
            callback.set_size(entry.size)
            if outfile is not None:
                pour_out(run, entry, outfile, callback.relative_update)
            else:
                copy_out(run, entry, Path(lpath), callback.relative_update)

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files to where fsspec says, several at a time.

        A `callback` is told how many there are and of each that is complete, its branches of their bytes; it is called
        by several threads, but by one at a time.
        """
        planned: list[tuple[Any, Any]] = []
        planner = copy.copy(self)  # does all that fsspec does, but for the copying
        planner._lookup = self._lookup  # noqa: SLF001 - itself again
        planner.get_file = lambda rpath, lpath, **_options: planned.append((rpath, lpath))  # type: ignore[method-assign] # its purpose
        super(SealrunFileSystem, planner).get(rpath, lpath, recursive, maxdepth=maxdepth, **options)
        copy_all(self.get_file, planned, callback)

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **_options: Any) -> RunFile:  # noqa: ARG002 - fsspec's
        with translated(path):
            run, entry = self._lookup.file(path)
        held = HeldRun(lambda: self._lookup.browser, run)

        def fetch(offset: int, length: int) -> bytes:
            with translated(path):
                return held.run.read(Part(entry, offset, length))

        window = block_size if isinstance(block_size, int) else None
        damaged = as_os_error(mismatch(run.view.ref, entry.path), path)
        return RunFile(self, path, entry, fetch, lambda: damaged, window)

    def _kind(self, path: str) -> str | None:
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None


def _raise_but_for_absence(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _restored(kind: Any, arguments: Any, options: Any, state: State) -> SealrunFileSystem:
    restored: SealrunFileSystem = kind(*arguments, **options, _state=state)
    return restored
