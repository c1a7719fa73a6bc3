"""TensorBoard's event files, by whichever program: they have no end, so quiet decides."""

from __future__ import annotations

import re

from sealrun.domain.declarations import parse_time
from sealrun.domain.presets.looking import Facts, Look, Preset, silent
from sealrun.domain.settling import FrameworkStatus

_EVENTS = re.compile(r"(?:.*/)?events\.out\.tfevents\.([0-9]{1,11})(?:\.|\Z)", re.DOTALL)


def has_events(look: Look) -> str | None:
    """Return the first event file, or None."""
    found = [path for path in look.files if "tfevents" in path and _EVENTS.match(path)]
    return min(found, default=None)


def _status(look: Look) -> FrameworkStatus | None:
    first = has_events(look)
    return None if first is None else silent("tensorboard", first)


def _facts(look: Look) -> Facts:
    """The name of an event file holds the second in which it was made."""
    starts = [int(match[1]) for path in look.files if "tfevents" in path and (match := _EVENTS.match(path))]
    return Facts(started_at=parse_time(min(starts)) if starts else None)


TENSORBOARD = Preset(name="tensorboard", status=_status, facts=_facts)
