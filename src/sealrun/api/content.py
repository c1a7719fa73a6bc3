"""Content by what it is: `put`, `get`, `exists`, `build_once`. A URN means the same bytes everywhere and for ever.

Settings are found as the commands find them, from the current folder: see docs/reference/settings.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealrun.bootstrap.describing import parts_from_settings
from sealrun.bootstrap.products.content import Build, Built, Contents
from sealrun.domain.curation.building import DEFAULT_LEASE_S

__all__ = ["Built", "build_once", "exists", "get", "get_metadata", "put"]

StrPath = str | os.PathLike[str]


def put(
    path: StrPath,
    type: str,  # noqa: A002 - what it is called in a URN
    metadata: Mapping[str, object] | None = None,
    *,
    registry: str | None = None,
    config: StrPath | None = None,
) -> str:
    """Store a file or a folder by its content; return its URN: ``urn:sealrun:<type>:sha256:<tree digest>``.

    Durable on return. What is there already is not stored again, and the metadata that were given first stand.
    `metadata` holds what JSON can. It goes to one registry, by default the first. `UsageError`: a type, or metadata,
    that cannot be; `RunRejectedError`: a folder that cannot be sealed.
    """
    with Contents(parts_from_settings(config, registry), registry) as contents:
        return contents.put(path, type, metadata)


def get(ref: str, *, verify: bool = True, registry: str | None = None, config: StrPath | None = None) -> Path:
    """Return the path, on this machine, of what a URN names: a file, or a folder. Any other reference works, too.

    In place where the registry is a directory and holds the files whole: then it is there for as long as its run
    stands. Else fetched once and kept in ``$SEALRUN_CACHE`` (``~/.cache/sealrun``), within ``$SEALRUN_CACHE_LIMIT``:
    there it stays for as long as this process runs. Do not write to it. It is compared with its digests
    (`DigestMismatchError`); ``verify=False`` leaves that out for what is in place. `NotFoundError` if the registry does
    not hold it; `NoSpaceError` if the cache cannot be written to.
    """
    with Contents(parts_from_settings(config, registry), registry) as contents:
        return contents.get(ref, verify=verify)


def get_metadata(urn: str, *, registry: str | None = None, config: StrPath | None = None) -> dict[str, Any]:
    """Return the metadata that came with what a URN names. Of a build they hold its ``config``."""
    with Contents(parts_from_settings(config, registry), registry) as contents:
        return contents.metadata(urn)


def exists(urn: str, *, registry: str | None = None, config: StrPath | None = None) -> bool:
    """Tell whether the registry holds what a URN names, every byte of it. An outage is raised, never taken for no."""
    with Contents(parts_from_settings(config, registry), registry) as contents:
        return contents.exists(urn)


def build_once(
    config: object,
    type: str,  # noqa: A002 - what it is called in a URN
    build: Build,
    *,
    wait: float | None = None,
    lease: float = DEFAULT_LEASE_S,
    verify: bool = True,
    registry: str | None = None,
    settings: StrPath | None = None,
) -> Built:
    """Return what was built from `config`, or call ``build(folder)`` and keep what it leaves: once, whoever asks.

    The identity is the canonical JSON of `type` and `config`: the same one gives the same URN and path in every process
    and on every machine that shares the registry. ``build`` fills the empty folder that it gets, or returns the path of
    the file or folder that is meant. Of any number that ask at the same time one builds; the others wait, for at most
    `wait` seconds (`HeldError`), by default for as long as the builder gives signs of life. If it dies, or is silent
    for `lease` seconds, another one takes over. Should two build all the same, because one was only slow, the first to
    finish is right, and both return that. If the build fails its error is raised, and whoever waited for it gets
    `BuildFailedError` with its kind and text, secrets masked; to ask again is to try again.

    Everybody who asks for a configuration gives the same `lease`. Nobody's clock is compared with another's.
    """
    with Contents(parts_from_settings(settings, registry), registry) as contents:
        return contents.build_once(config, type, build, wait_s=wait, lease_s=lease, verify=verify)
