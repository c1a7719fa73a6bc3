"""One registry to read from, opened when it is first needed, beside the parts that publish."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sealrun.adapters.caches.copy_cache import CopyCache
from sealrun.adapters.caches.file_cache import user_cache_folder
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.products.caching import user_cache_limit
from sealrun.bootstrap.products.local_copies import LocalCopies
from sealrun.bootstrap.registries import RegistrySpec, find_spec, open_reader
from sealrun.services.access.reading import Reader


class RegistryAtHand:
    """Base of what reads one registry and publishes. Use it as a context manager, from one thread at a time."""

    def __init__(self, parts: Parts, registry: str | None = None, cache: Path | None = None) -> None:
        """Read `registry` (a name or URL; by default the first), in the name of `parts`, which are closed, too."""
        self._parts = parts
        self._registry = registry
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._cache = (cache or user_cache_folder(os.environ)).absolute()
        self._opened: Reader | None = None
        self._copies: LocalCopies | None = None

    def __enter__(self) -> Self:
        """Open nothing yet."""
        self._parts.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close everything."""
        if self._opened is not None:
            self._opened.store.close()
        self._parts.__exit__(kind, error, at)

    @property
    def _spec(self) -> RegistrySpec:
        return find_spec(self._parts.registries, self._registry)

    @property
    def _reader(self) -> Reader:
        if self._opened is None:
            self._opened = open_reader(self._spec, self._clock, self._entropy)
        return self._opened

    @property
    def _local(self) -> LocalCopies:
        if self._copies is None:
            self._copies = LocalCopies(self._reader, CopyCache(self._cache, user_cache_limit(os.environ)))
        return self._copies
