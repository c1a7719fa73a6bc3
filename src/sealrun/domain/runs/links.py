"""Symbolic links inside a run: none may lead out of it, on its own or through others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

_MAX_FOLLOWED = 40
"""So many links in a row the kernel follows (path_resolution(7)); a longer chain or a loop leads nowhere."""
_LEFT_OUT = ("/logs/debug-core.log",)


def link_problem(path: str, target: str) -> str | None:
    """Say why a link at `path` with `target` leaves the run or cannot be stored, or return None. Looks at it alone."""
    if target.startswith("/"):
        return f"the link {path!r} points to an absolute path ({target!r}); make it relative to stay inside the run"
    if not target or "\0" in target:
        return f"the link {path!r} has no usable target"
    try:
        target.encode("utf-8")
    except UnicodeEncodeError:
        return f"the target of the link {path!r} is not valid UTF-8"
    return None if _stays_inside(path, {path: target}) else _leaves(path, target)


def links_problem(links: Mapping[str, str]) -> str | None:
    """Say which of a run's links cannot be, or leads out of it when the others are followed, or return None."""
    for path, target in links.items():
        problem = link_problem(path, target)
        if problem is None and not _stays_inside(path, links):
            problem = _leaves(path, target)
        if problem is not None:
            return problem
    return None


def _leaves(path: str, target: str) -> str:
    return f"the link {path!r} leaves the run (it points to {target!r})"


def _stays_inside(path: str, links: Mapping[str, str]) -> bool:
    """Follow a link as the kernel would, with the run's folder as the root of all there is."""
    return follow(path.split("/")[:-1], links[path], links) is not Astray.OUTSIDE


class Astray(Enum):
    """Where a path leads that leads to no place in the run."""

    OUTSIDE = "out of the run"
    NOWHERE = "through too many links, or round in a circle"


def follow(place: list[str], path: str, links: Mapping[str, str]) -> str | Astray:
    """Return where `path` leads from the folder `place` of a run, a list that is used up, through the run's `links`."""
    ahead = path.split("/")[::-1]
    followed = 0
    while ahead:
        step = ahead.pop()
        if step in {"", "."}:
            continue
        if step == "..":
            if not place:
                return Astray.OUTSIDE
            place.pop()
            continue
        place.append(step)
        target = links.get("/".join(place))
        if target is not None:
            followed += 1
            if followed > _MAX_FOLLOWED:
                return Astray.NOWHERE
            place.pop()
            ahead.extend(target.split("/")[::-1])
    return "/".join(place)


def is_left_out(path: str) -> bool:
    """Tell whether a link that cannot be in a run is no part of it, as if it were excluded.

    W&B links each run to the log of its service in the user's cache, by an absolute path.
    """
    return f"/{path}".endswith(_LEFT_OUT)
