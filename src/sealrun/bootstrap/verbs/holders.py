"""Registries opened for reading, by their names in the settings, as the ones that they were before."""

from __future__ import annotations

from collections.abc import Mapping

from sealrun.bootstrap.registries import RegistrySpec, expected_registry
from sealrun.domain.errors import NoRegistryError
from sealrun.ports import Clock, Entropy, Journal
from sealrun.services.access.reading import Reader
from sealrun.services.sources.copies import Holder
from sealrun.services.storage.opening import require_registry


class Holders:
    """Opens a registry when it is first asked for. One thread at a time."""

    def __init__(
        self, journal: Journal, registries: Mapping[str, RegistrySpec], clock: Clock, entropy: Entropy
    ) -> None:
        """Open what `registries` describes; `journal` remembers which registry was there."""
        self._journal = journal
        self._registries = registries
        self._clock = clock
        self._entropy = entropy
        self._opened: dict[str, Holder] = {}

    def __call__(self, name: str) -> Holder:
        """Return the registry of that name; `NoRegistryError` if it is not in the settings, or is another by now."""
        if name not in self._opened:
            spec = self._registries.get(name)
            if spec is None:
                msg = f"registry {name!r} is not in the settings any more"
                raise NoRegistryError(msg)
            store = spec.open_store()
            try:
                record = require_registry(store, self._clock, self._entropy, expected_registry(self._journal, spec))
            except BaseException:
                store.close()
                raise
            reader = Reader(store, self._clock, self._entropy)
            self._opened[name] = Holder(registry=name, registry_id=record.registry_id, reader=reader)
        return self._opened[name]

    def close(self) -> None:
        """Close what was opened. Harmless twice."""
        opened, self._opened = self._opened, {}
        for holder in opened.values():
            holder.reader.store.close()
