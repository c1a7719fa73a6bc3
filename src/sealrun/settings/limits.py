"""``[registry.NAME]``: how fast, and when, runs go there."""

from __future__ import annotations

from datetime import tzinfo

from sealrun.domain.oversight.quiet_hours import Quiet, never_ends, parse_quiet_hours
from sealrun.settings.expanding import Surroundings
from sealrun.settings.quantities import parse_rate
from sealrun.settings.schema import RegistryTable

LEAST = 16_000


def resolve_limit(table: RegistryTable, setting: str, around: Surroundings) -> int | None:
    """Return bytes per second; None for as fast as it goes."""
    if table.limit is None:
        return None
    try:
        rate = parse_rate(table.limit)
    except ValueError as error:
        raise around.wrong(f"{setting} limit", str(error)) from error
    if rate < LEAST:
        problem = f"{table.limit!r} is less than 16 kB/s: one piece of an upload would outlive its connection"
        raise around.wrong(f"{setting} limit", f"{problem}; to stop deliveries: sealrun pause")
    return rate


def resolve_quiet(table: RegistryTable, setting: str, around: Surroundings) -> Quiet | None:
    """Return when no delivery begins; None if there is no such time."""
    if table.timezone is not None and not table.quiet_hours:
        raise around.wrong(f"{setting} timezone", "is the clock of quiet_hours, and there are none")
    if not table.quiet_hours:
        return None
    try:
        hours = tuple(parse_quiet_hours(text) for text in table.quiet_hours)
    except ValueError as error:
        raise around.wrong(f"{setting} quiet_hours", str(error)) from error
    if never_ends(hours):
        problem = "leave no time of the week for deliveries; to stop them: sealrun pause"
        raise around.wrong(f"{setting} quiet_hours", problem)
    return Quiet(hours, None if table.timezone is None else _zone(table.timezone, setting, around))


def _zone(name: str, setting: str, around: Surroundings) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - only who names a zone pays for it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f'{name!r} is no time zone that this machine knows; write one such as "Europe/Berlin"'
        raise around.wrong(f"{setting} timezone", problem) from error
