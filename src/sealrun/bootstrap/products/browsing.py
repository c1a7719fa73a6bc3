"""Registries opened for reading, once for a whole process: what Python's interfaces to them stand on."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

import msgspec

from sealrun.adapters.caches.file_cache import DEFAULT_LIMIT, LocalFileCache, user_cache_folder
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.describing import described_registries
from sealrun.bootstrap.products.caching import user_cache_limit
from sealrun.bootstrap.registries import RegistrySpec, find_spec, open_reader
from sealrun.domain.errors import UsageError
from sealrun.services.access.browsing import Browser, OpenRun
from sealrun.settings import load_settings


class CacheChoice(msgspec.Struct, frozen=True):
    """Where whole files from afar are kept; no `folder`: nowhere. `limit` is in bytes."""

    folder: str | None
    limit: int = DEFAULT_LIMIT

    @classmethod
    def of(cls, wanted: str | bool, limit: int | None) -> CacheChoice:  # noqa: FBT001 - a folder, or whether at all
        """Read what a caller says: a folder, True for the user's own, False for none."""
        if wanted is False:
            return cls(None)
        folder = user_cache_folder(os.environ) if wanted is True else Path(wanted).absolute()
        return cls(str(folder), user_cache_limit(os.environ) if limit is None else limit)


class HeldRun:
    """A run that stays open in whatever process asks: connections do not survive a fork, so a child has its own."""

    def __init__(self, browser: Callable[[], Browser], run: OpenRun) -> None:
        """Hold `run`, which this process has opened; `browser` finds the one of the process that asks."""
        self._browser = browser
        self._run = run
        self._process = os.getpid()

    @property
    def run(self) -> OpenRun:
        """The run, opened in this process."""
        if self._process != os.getpid():
            self._run = self._browser().open(self._run.view.target)
            self._process = os.getpid()
        return self._run


def find_registry(
    registry: str | None = None,
    storage_options: Mapping[str, object] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> RegistrySpec:
    """Return the registry of that name or URL, by default the first one, found as the commands find it.

    With `storage_options` it is a URL, and what the settings may say of it does not count. A relative path is
    meant from here. Nothing is opened. `ConfigurationError` and `NoRegistryError` as the commands say them.
    """
    if storage_options is not None:
        if registry is None:
            msg = "storage_options belong to a registry's URL: name it, too"
            raise UsageError(msg)
        return RegistrySpec(name=registry, url=_absolute(registry), storage_options=dict(storage_options))
    settings = load_settings(None if config is None else Path(config), os.environ, Path.cwd())
    spec = find_spec(described_registries(settings), registry)
    return msgspec.structs.replace(spec, url=_absolute(spec.url))


def shared_browser(spec: RegistrySpec, cache: CacheChoice) -> Browser:
    """Return this process's browser of a registry, opened when it is first asked for. Safe from many threads.

    A child process opens its own: connections do not survive a fork. `NoRegistryError` if there is no registry.
    """
    key = (os.getpid(), spec.url, msgspec.json.encode(spec.storage_options, order="sorted", enc_hook=repr), cache)
    with _lock:
        found = _open.get(key)
        if found is None:
            reader = open_reader(spec, SystemClock(), SystemEntropy())
            kept = None if cache.folder is None else LocalFileCache(Path(cache.folder), cache.limit)
            found = _open[key] = Browser(reader, kept)
        return found


def close_shared() -> None:
    """Close every registry that this process shares; one that is asked for again is opened again."""
    with _lock:
        mine = [key for key in _open if key[0] == os.getpid()]
        closing = [_open.pop(key) for key in mine]
    for browser in closing:
        browser.reader.store.close()


def _absolute(url: str) -> str:
    return url if "://" in url else str(Path(url).absolute())


_lock = Lock()
_open: dict[tuple[int, str, bytes, CacheChoice], Browser] = {}
atexit.register(close_shared)
os.register_at_fork(after_in_child=lambda: globals().update(_lock=Lock()))
