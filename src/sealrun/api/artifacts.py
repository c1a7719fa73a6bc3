"""Publish files under names, and find them by name: `publish`, `resolve`, `latest_manifest`.

Settings are found as the commands find them, from the current folder: see docs/reference/settings.md.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, overload

import msgspec

from sealrun.adapters.run_folders.artifact_folders import SearchDirs
from sealrun.bootstrap.describing import parts_from_settings
from sealrun.bootstrap.products.artifacts import Artifacts, ManifestRow, PublishedFile
from sealrun.domain.errors import UsageError

__all__ = ["ManifestRow", "PublishedFile", "latest_manifest", "publish", "resolve"]

StrPath = str | os.PathLike[str]
Frame = Literal["pandas", "polars"]


def publish(  # noqa: PLR0913 - keywords, as the page that asked for it has them
    path: StrPath,
    *,
    name: StrPath | None = None,
    section: str | None = None,
    tags: Iterable[str] = (),
    overwrite: bool = True,
    also_copy_to: Iterable[StrPath] = (),
    experiment: str | None = None,
    registry: str | None = None,
    config: StrPath | None = None,
) -> PublishedFile:
    """Seal a file and publish it under a name (by default its own), now, to every registry or only to `registry`.

    Durable on return in each registry that `registries` of the answer says None of; in another it is queued, and a
    daemon or the next command delivers it. The name stands on this file then; with ``overwrite=False`` it is refused
    with `ConflictError` if the name stands on other content, also if several try at the same time. Publishing an
    unchanged file again changes nothing. `section` says which part of the work made it; it is kept with the tags and
    is no part of the name. `also_copy_to` are folders that get a copy under the name, complete or not at all.

    Raises `UsageError` (no such file, or a name that cannot be one), `RunChangedError` (it was written to meanwhile),
    and what was in the way if it reached no registry.
    """
    folders = list(_several(also_copy_to, "also_copy_to"))
    if None in folders:
        msg = f"also_copy_to={folders!r}: holds None, which is no folder; nothing was published"
        raise UsageError(msg)
    with Artifacts(parts_from_settings(config, registry), registry) as artifacts:
        return artifacts.publish(
            path,
            name=None if name is None else os.fspath(name),
            section=section,
            tags=_several(tags, "tags"),
            overwrite=overwrite,
            also_copy_to=folders,
            experiment=experiment,
        )


def resolve(
    name: StrPath,
    *,
    section: str | None = None,
    search_dirs: SearchDirs = (),
    prefer_latest: bool = True,
    recursive: bool = False,
    required: bool = False,
    registry: str | None = None,
    config: StrPath | None = None,
) -> Path | None:
    """Return the path of the artifact with that name, or None if there is none.

    Looked at in this order: what is published under the name (with `section`: the newest that it published), then
    `search_dirs` one by one, then with `recursive` everything below each of them, where the newest file wins. Of a
    mapping from sections to folders the folder of `section` comes first; None among the folders is left out. With
    ``prefer_latest=False`` no registry is asked.

    What is published is found in place where the registry is a directory (do not write to it), else fetched, verified
    and kept on this machine. An outage is raised, and never taken for "not there". `NotFoundError` with all that was
    searched if it is `required`.
    """
    with Artifacts(parts_from_settings(config, registry), registry) as artifacts:
        return artifacts.resolve(
            os.fspath(name),
            section=section,
            search_dirs=_several(search_dirs, "search_dirs"),
            prefer_latest=prefer_latest,
            recursive=recursive,
            required=required,
        )


@overload
def latest_manifest(
    frame: None = None, *, registry: str | None = None, config: StrPath | None = None
) -> list[dict[str, Any]]: ...


@overload
def latest_manifest(frame: Frame, *, registry: str | None = None, config: StrPath | None = None) -> Any: ...  # noqa: ANN401 - a data frame


def latest_manifest(
    frame: Frame | None = None, *, registry: str | None = None, config: StrPath | None = None
) -> list[dict[str, Any]] | Any:
    """Return what stands under each published name: one row each, sorted by name.

    A row has ``name``, ``section``, ``published_at_utc``, ``tags``, ``path``, ``ref``, ``sha256`` and
    ``size_bytes``. With `frame` it is a pandas or Polars data frame; `UsageError` if that is not installed.
    """
    make = None if frame is None else _frame_maker(frame)
    with Artifacts(parts_from_settings(config, registry), registry) as artifacts:
        rows = artifacts.latest_manifest()
    return [_plain(row) for row in rows] if make is None else make(rows)


def _frame_maker(frame: str) -> Any:  # noqa: ANN401 - neither library is there for the type checker
    if frame not in {"pandas", "polars"}:
        msg = f"frame={frame!r}: use 'pandas', 'polars', or leave it away for rows"
        raise UsageError(msg)
    try:
        library: Any = importlib.import_module(frame)
    except ImportError as error:
        msg = f"frame={frame!r}: {frame} is not installed; install it, or leave `frame` away for rows"
        raise UsageError(msg) from error
    names = ManifestRow.__struct_fields__
    if frame == "pandas":
        return lambda rows: library.DataFrame([_plain(row) for row in rows], columns=list(names))
    text, number = library.String, library.Int64
    kinds = {name: number if name == "size_bytes" else text for name in names} | {"tags": library.List(text)}
    return lambda rows: library.DataFrame([_plain(row) for row in rows], schema=kinds)


def _plain(row: ManifestRow) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "tags": list(row.tags)}


def _several(given: Any, what: str) -> Any:  # noqa: ANN401 - handed on as it is
    """Refuse one text where several are meant: its letters would be taken for them. None means none."""
    if isinstance(given, (str, os.PathLike)):
        msg = f"{what}={given!r}: is one; write a list: [{given!r}]"
        raise UsageError(msg)
    return () if given is None else given
