"""What must hold among settings: names, and folders that must not lie inside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sealrun.domain.address import parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.watch import WatchSpec
from sealrun.settings.expanding import Surroundings
from sealrun.settings.resolved import RegistrySettings


def name_of(name: str, what: str, setting: str, around: Surroundings) -> str:
    """Return `name` if it may name a `what`."""
    try:
        return parse_name(name, what)
    except UsageError as error:
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
    watches: Sequence[WatchSpec], registries: Mapping[str, RegistrySettings], state: Path, around: Surroundings
) -> None:
    """What sealrun writes must not lie where it looks for runs, and a folder belongs to one watch of a kind."""
    written = {f"[registry.{name}]": place for name, r in registries.items() if (place := _directory(r.url))}
    written["the state folder"] = state
    for number, watch in enumerate(watches):
        setting, path = f"[[watch]] {watch.name!r}: path", Path(watch.path)
        for what, place in written.items():
            if place == path or path in place.parents or place in path.parents:
                if place.parent == path and place.name.startswith("."):
                    continue  # hidden names are no candidates
                raise around.wrong(setting, f"{path} and {what} ({place}) lie inside each other; move one of them")
        for other in watches[:number]:
            same = other.unit == watch.unit and other.path == watch.path
            if same and (other.glob == watch.glob or "*" in {other.glob, watch.glob}):
                raise around.wrong(setting, f"the watch {other.name!r} takes the same runs; narrow the `glob` of one")


def _directory(url: str) -> Path | None:
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)
