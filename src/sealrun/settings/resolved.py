"""Settings as the program uses them: absolute paths, seconds, defaults filled in, secrets wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sealrun.domain.watch import WatchSpec
from sealrun.settings.expanding import MASK, mask, reveal


def _without_user(url: str) -> str:
    """Return `url` without user, password and query, which may be secrets."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """One registry. `url` is absolute; `storage_options` may hold `Secret` values."""

    name: str
    url: str
    storage_options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    single_writer: bool = False
    read_only: bool = False
    create: bool = True

    def __repr__(self) -> str:
        return f"<registry {self.name}: {_without_user(self.url)}>"

    def revealed_options(self) -> dict[str, Any]:
        """Return the storage options with every secret in the clear: for the store, and for nobody else."""
        return {key: reveal(value) for key, value in self.storage_options.items()}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A checked settings file, or what the environment says where there is none.

    `written` is the file's content with variables expanded, for showing; `warnings` name what is accepted and does
    nothing in this version.
    """

    file: Path | None
    state: Path
    registries: Mapping[str, RegistrySettings]
    watches: tuple[WatchSpec, ...]
    warnings: tuple[str, ...] = ()
    written: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<settings of {self.file or 'the environment'}>"

    def shown(self) -> dict[str, Any]:
        """Return the settings fit for showing: secrets, and what sounds like one, are asterisks."""
        registries = {
            name: {
                "url": _without_user(registry.url),
                "storage_options": mask(dict(registry.storage_options)),
                "single_writer": registry.single_writer,
                "read_only": registry.read_only,
                "create": registry.create,
            }
            for name, registry in self.registries.items()
        }
        other = {key: value for key, value in self.written.items() if key not in {"registry", "watch", "notify"}}
        return {
            "file": str(self.file) if self.file else None,
            "state": str(self.state),
            "registry": registries,
            "watch": [msgspec.to_builtins(watch) for watch in self.watches],
            "other": mask(other),
            "notify": [{"on": table["on"], "url": MASK} for table in self.written.get("notify", [])],
            "warnings": list(self.warnings),
        }
