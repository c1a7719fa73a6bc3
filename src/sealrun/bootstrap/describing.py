"""From settings to what the composition root takes. Secrets are revealed here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.settings import Settings, load_settings


def described_registries(settings: Settings) -> Mapping[str, RegistrySpec]:
    """Return the registries that the settings name."""
    return {
        name: RegistrySpec(
            name=name,
            url=registry.url,
            storage_options=registry.revealed_options(),
            single_writer=registry.single_writer,
            read_only=registry.read_only,
            create=registry.create,
            packs=registry.packs,
            limit=registry.limit,
            quiet=registry.quiet,
        )
        for name, registry in settings.registries.items()
    }


def parts_from_settings(config: str | os.PathLike[str] | None = None, registry: str | None = None) -> Parts:
    """Build the parts from `config`, or from the settings that the commands would find here. Nothing is opened.

    A `registry` that is a URL or a path becomes one more registry beside those of the settings.
    """
    settings = load_settings(None if config is None else Path(config), os.environ, Path.cwd())
    registries = dict(described_registries(settings))
    if registry is not None and registry not in registries and ("/" in registry or registry.startswith(".")):
        url = registry if "://" in registry else str(Path(registry).absolute())
        if not any(spec.url == url for spec in registries.values()):
            registries[registry] = RegistrySpec(name=registry, url=url)
    return Parts(settings.state, registries, settings.watches, mirrors=settings.mirrors, keeping=settings.keeping)
