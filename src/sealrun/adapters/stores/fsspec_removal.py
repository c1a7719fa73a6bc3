"""Deleting through fsspec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sealrun.adapters.stores.fsspec_store import FsspecStore
from sealrun.domain.address import Key
from sealrun.domain.errors import SealrunError
from sealrun.ports import Unfinished


class FsspecRemover:
    """`ports.Remover` on an fsspec file system: one request per key, so that no failure is swallowed."""

    def __init__(self, store: FsspecStore) -> None:
        """Delete what `store` sees."""
        self._store = store

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; see the port."""
        failures: dict[Key, str] = {}
        for key in keys:
            try:
                self._store.remove(key)
            except SealrunError as error:
                failures[key] = str(error)
        return failures

    def unfinished(self) -> Iterator[Unfinished]:
        """None: fsspec does not tell."""
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """Nothing to end."""
