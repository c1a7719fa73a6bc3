"""A store of which few keys were listed a moment ago: what that showed is not asked again. For looking only."""

from __future__ import annotations

from collections.abc import Iterator

from sealrun.adapters.stores.surrounding import SurroundingStore
from sealrun.domain.address import Key
from sealrun.ports import ObjectStat, Store
from sealrun.services.storage.overview import Overview


class SeenStore(SurroundingStore):
    """Reads and lists by an overview of the store, and passes everything else on."""

    def __init__(self, store: Store, overview: Overview) -> None:
        """See `store` as `overview` does."""
        super().__init__(store)
        self._overview = overview

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes; records that were read before are remembered."""
        return self.inner.read(key, offset, length) if offset or length is not None else self._overview.read(key)

    def stat(self, key: Key) -> ObjectStat | None:
        """Describe `key`, as it was."""
        return self._overview.stat(key)

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        """Every key below `prefix`, as it was."""
        return self._overview.list(prefix, limit=limit)

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Folders directly below `prefix`, as they were."""
        return self._overview.list_folders(prefix)
