"""What must hold of settings beyond their types: names, quantities, and folders that must not lie inside each other."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from sealrun.domain.address import parse_artifact_name, parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.paths import path_problem
from sealrun.domain.watches.watch import WatchSpec, experiment_level
from sealrun.settings.expanding import Surroundings
from sealrun.settings.quantities import check_schedule, parse_duration, parse_share
from sealrun.settings.resolved import RegistrySettings, Settings
from sealrun.settings.schema import SettingsFile, WatchTable

V = TypeVar("V")
T = TypeVar("T")


def name_of(name: str, what: str, setting: str, around: Surroundings) -> str:
    """Return `name` if it may name a `what`."""
    try:
        return parse_name(name, what)
    except UsageError as error:
        raise around.wrong(setting, str(error)) from error


def duration_of(value: str | float, setting: str, around: Surroundings) -> float:
    """Return a duration in seconds."""
    return _read(parse_duration, value, setting, around)


def share_of(value: str | float, setting: str, around: Surroundings) -> float:
    """Return a share from 0 to 1."""
    return _read(parse_share, value, setting, around)


def schedule_of(value: str, setting: str, around: Surroundings) -> str | None:
    """Return a crontab line; None where the setting turns the timer off."""
    return None if value.strip().lower() in {"", "off"} else _read(check_schedule, value.strip(), setting, around)


def _check_preset(name: str, setting: str, around: Surroundings) -> None:
    from sealrun.domain.presets import PRESETS  # noqa: PLC0415 - every framework's module, for who names one

    if name not in PRESETS:
        import difflib  # noqa: PLC0415 - only for who mistypes

        close = difflib.get_close_matches(name, PRESETS, 1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        raise around.wrong(f"{setting}: preset", f"there is no {name!r}; {guess}Known: {', '.join(PRESETS)}")


def check_experiment(experiment: str, glob: str, setting: str, around: Surroundings) -> None:
    """A watch's experiment is a name, or ``{n}`` for a folder above the runs, of which the glob has so many."""
    level = experiment_level(experiment)
    if level is None:
        name_of(experiment, "experiment", f"{setting}: experiment", around)
    elif level > glob.count("/"):
        problem = (
            f"{experiment} is the name of folder {level} below the path, and glob = {glob!r} has none above the runs"
        )
        raise around.wrong(f"{setting}: experiment", problem)


def check_choices(table: WatchTable, setting: str, around: Surroundings) -> None:
    """What a watch's words must be: a known preset, a glob that stays below the root, names that can be published."""
    if table.preset != "auto":
        _check_preset(table.preset, setting, around)
    if any(step in {"", ".", ".."} or "**" in step for step in table.glob.split("/")):
        problem = f'{table.glob!r} is not one pattern per level below the path, such as "*" or "*/run-*"'
        raise around.wrong(f"{setting}: glob", problem)
    for path, name in table.names.items():
        if problem := path_problem(path) or "":
            raise around.wrong(f"{setting}: names", problem)
        try:
            parse_artifact_name(name)
        except UsageError as error:
            raise around.wrong(f"{setting}: names.{path}", str(error)) from error


def check_later(table: SettingsFile, around: Surroundings) -> None:
    """Check what is looked at much later, or by later versions, so that a mistake does not wait until then."""
    if table.engine == "":
        raise around.wrong("engine", "is empty; leave the setting away, or name one: threads, processes, dask, parsl")


def _read(read: Callable[[V], T], value: V, setting: str, around: Surroundings) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise around.wrong(setting, str(error)) from error


def check_watch_names(watches: Sequence[WatchSpec], around: Surroundings) -> None:
    """Two watches of one name would share their memory."""
    seen: set[str] = set()
    for watch in watches:
        if watch.name in seen:
            raise around.wrong(
                f"[[watch]] {watch.name!r}", "two watches have this name; give one of them another `name`"
            )
        seen.add(watch.name)


def check_overlaps(
    watches: Sequence[WatchSpec],
    registries: Mapping[str, RegistrySettings],
    state: Path,
    around: Surroundings,
    mirrors: Mapping[str, str] | None = None,
) -> None:
    """What sealrun writes must not lie where it looks for runs, and a folder belongs to one watch of a kind."""
    written = written_places(registries, state)
    written |= {f"[mirror.{name}]": Path(path) for name, path in (mirrors or {}).items()}
    for number, watch in enumerate(watches):
        setting, path = f"[[watch]] {watch.name!r}: path", Path(watch.path)
        for what, place in written.items():
            if place == path or path in place.parents or place in path.parents:
                if place.parent == path and place.name.startswith("."):
                    continue  # hidden names are no candidates
                raise around.wrong(setting, f"{path} and {what} ({place}) lie inside each other; move one of them")
        for other in watches[:number]:
            if _meet(watch, other):
                raise around.wrong(setting, f"the watch {other.name!r} takes the same runs; narrow the `glob` of one")


def check_real_places(settings: Settings) -> None:
    """Check the same of where the paths lead: a link may lead one into another. Asks the disks, which may take long."""

    def real(path: Path | str) -> str:
        return os.path.realpath(path)

    replace = msgspec.structs.replace
    registries = {
        name: each if (place := _directory(each.url)) is None else replace(each, url=real(place))
        for name, each in settings.registries.items()
    }
    watches = [replace(watch, path=real(watch.path)) for watch in settings.watches]
    mirrors = {mirror.name: real(mirror.path) for mirror in settings.mirrors}
    around = Surroundings(str(settings.file), Path(), {})
    check_overlaps(watches, registries, Path(real(settings.state)), around, mirrors)


def written_places(registries: Mapping[str, RegistrySettings], state: Path) -> dict[str, Path]:
    """Folders on this machine that sealrun writes to, by what they are."""
    places = {f"[registry.{name}]": place for name, r in registries.items() if (place := _directory(r.url))}
    return {**places, "the state folder": state}


def _meet(one: WatchSpec, other: WatchSpec) -> bool:
    """Tell whether two watches may take the same files: a candidate of one is, holds or lies in one of the other's."""
    upper, lower = sorted((one, other), key=lambda watch: len(Path(watch.path).parts))
    if one.unit != other.unit or not Path(lower.path).is_relative_to(upper.path):
        return False
    below = [*Path(lower.path).relative_to(upper.path).parts, *lower.glob.split("/")]
    steps = upper.glob.split("/")
    if one.unit == "file" and len(steps) != len(below):
        return False
    return all(fnmatch.fnmatchcase(a, b) or fnmatch.fnmatchcase(b, a) for a, b in zip(steps, below, strict=False))


def _directory(url: str) -> Path | None:
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)
