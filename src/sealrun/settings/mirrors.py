"""Mirrors as the settings name them: checked, with absolute paths and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.settings.checking import duration_of, name_of, written_places
from sealrun.settings.expanding import Surroundings
from sealrun.settings.resolved import RegistrySettings
from sealrun.settings.schema import MirrorTable


def resolve_mirrors(
    tables: Mapping[str, MirrorTable], registries: Mapping[str, RegistrySettings], state: Path, around: Surroundings
) -> tuple[MirrorSpec, ...]:
    """Return the mirrors; what else sealrun writes must not lie inside one, nor one inside that."""
    mirrors: list[MirrorSpec] = []
    places = written_places(registries, state)
    for name, table in tables.items():
        mirror = _mirror(name, table, registries, around)
        path = Path(mirror.path)
        for what, place in places.items():
            if path == place or path in place.parents or place in path.parents:
                problem = f"{path} and {what} ({place}) lie inside each other; move one of them"
                raise around.wrong(f"[mirror.{name}] path", problem)
        places[f"[mirror.{name}]"] = path
        mirrors.append(mirror)
    return tuple(mirrors)


def _mirror(
    name: str, table: MirrorTable, registries: Mapping[str, RegistrySettings], around: Surroundings
) -> MirrorSpec:
    setting = f"[mirror.{name}]"
    name_of(name, "mirror", setting, around)
    for experiment in table.experiments:
        name_of(experiment, "experiment", f"{setting} experiments", around)
    within = None if table.keep_within is None else duration_of(table.keep_within, f"{setting} keep_within", around)
    interval = duration_of(table.interval, f"{setting} interval", around)
    if interval < 1:
        raise around.wrong(f"{setting} interval", "is shorter than a second")
    return MirrorSpec(
        name=name,
        path=_path(table.path, setting, around),
        registry=_registry(table, registries, setting, around),
        experiments=tuple(dict.fromkeys(table.experiments)),
        keep_last=table.keep_last,
        keep_within_s=within,
        interval_s=interval,
    )


def _path(text: str, setting: str, around: Surroundings) -> str:
    if not text:
        raise around.wrong(f"{setting} path", "is empty")
    path = text.removeprefix("file://")
    if "://" in path:
        problem = (
            f"{text!r} is not a folder: a mirrored run becomes visible by one rename of its folder, so that nobody "
            "sees half of it, and object stores have no such rename; publish to a [registry.NAME] there instead"
        )
        raise around.wrong(f"{setting} path", problem)
    return str(around.path(path))


def _registry(
    table: MirrorTable, registries: Mapping[str, RegistrySettings], setting: str, around: Surroundings
) -> str:
    known = ", ".join(registries) or "none"
    name = table.registry if table.registry is not None else next(iter(registries), None)
    if name is None or name not in registries:
        raise around.wrong(f"{setting} registry", f"there is no [registry.{name or 'NAME'}] (there are: {known})")
    return name
