"""TensorBoard's event files, by whichever program: they have no end, so quiet decides."""

from __future__ import annotations

import re

from sealrun.domain.presets.event_files import PART_BYTES, Events, read_events
from sealrun.domain.presets.looking import Facts, Look, Preset, silent
from sealrun.domain.runs.declarations import bounded, parse_time
from sealrun.domain.watches.settling import FrameworkStatus

_EVENTS = re.compile(r"(?:(.*)/)?[^/]*events\.out\.tfevents\.([0-9]{1,11})(?:\.[^/]*|\Z)", re.DOTALL)
_SESSION = re.compile(r"(?:.*/)?[0-9]{9,}(?:\.[0-9]+)?\Z", re.DOTALL)
"""A folder that only holds what one call that logs hyperparameters writes."""
_MAX_FILES = 20


def has_events(look: Look) -> str | None:
    """Return the first event file, or None."""
    return min((path for path, _, _ in _event_files(look)), default=None)


def _event_files(look: Look) -> list[tuple[str, str, int]]:
    """Return path, folder and second of making of each event file, sorted by that."""
    matches = [(path, _EVENTS.match(path)) for path in look.files if "tfevents" in path]
    found = [(path, match[1] or "", int(match[2])) for path, match in matches if match is not None]
    return sorted(found, key=lambda each: (each[2], each[0]))


def _status(look: Look) -> FrameworkStatus | None:
    first = has_events(look)
    return None if first is None else silent("tensorboard", first)


def _facts(look: Look) -> Facts:
    """Scalars and hyperparameters of the newest `_MAX_FILES` event files.

    A scalar is called by its tag, after its folder where the files lie in several. The times of events are the
    program's to choose, and not used.
    """
    files = _event_files(look)
    named = {folder for _, folder, _ in files if not _SESSION.match(folder)}
    common = min(named, default="") if len(named) == 1 else ""
    metrics: dict[str, float] = {}
    params: dict[str, object] = {}
    for path, folder, _ in files[-_MAX_FILES:]:
        events = _read(look, path)
        prefix = f"{folder}/" if folder and folder != common and not _SESSION.match(folder) else ""
        metrics |= {prefix + tag: value for tag, value in events.scalars.items()}
        params |= events.params
    return Facts(
        started_at=parse_time(min(second for _, _, second in files)) if files else None,
        params=bounded(params),
        metrics=bounded(metrics),
    )


def _read(look: Look, path: str) -> Events:
    found = Events()
    facts = look.files.get(path)
    start = look.start(path, PART_BYTES) or b""
    read_events(start, found, begins=True)
    if facts is not None and facts.size > len(start):
        read_events(look.end(path, PART_BYTES) or b"", found, begins=False)
    return found


TENSORBOARD = Preset(name="tensorboard", status=_status, facts=_facts)
