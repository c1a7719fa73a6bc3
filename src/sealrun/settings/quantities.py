"""Reading durations, shares and schedules as people write them. Pure; `ValueError` says what is expected."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from sealrun.domain.errors import UsageError
from sealrun.domain.moments import rfc3339

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for unit, base in (("B", 1000), ("iB", 1024))
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*((?:[KMGT]i?)?B?)\Z")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")
_NICKNAMES = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_FIELD = re.compile(r"[0-9A-Za-z*/,\-]+\Z")
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_FIELDS = len(_RANGES)


def parse_duration(value: str | float) -> float:
    """Read ``"30s"``, ``"1h30m"`` or a number of seconds; at least 0."""
    if isinstance(value, str):
        parts = _PART.findall(value)
        if not parts or "".join(number + unit for number, unit in parts) != value.strip().replace(" ", ""):
            raise ValueError(f'expected a duration such as "30s", "1h30m" or "14d", got {value!r}')
        value = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"expected a duration of at least 0 seconds, got {value!r}")
    return float(value)


def parse_size(value: str | int) -> int:
    """Read ``"32MiB"``, ``"1.5GB"`` or a number of bytes."""
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    number = float(match[1]) * _SIZES[match[2]] if match is not None else value
    if isinstance(number, str) or not math.isfinite(number) or number < 0 or number != int(number):
        raise ValueError(f'expected a size such as "32MiB", "1MB" or a number of bytes, got {value!r}')
    return int(number)


def parse_rate(value: str | int) -> int:
    """Read ``"20 MB/s"``, ``"500 kB/s"`` or a number of bytes per second."""
    text = value.strip() if isinstance(value, str) else f"{value}/s"
    try:
        return parse_size(text.removesuffix("/s").replace("k", "K") if text.endswith("/s") else "")
    except ValueError as error:
        raise ValueError(f'expected bytes per second such as "20 MB/s" or "500 kB/s", got {value!r}') from error


def parse_share(value: str | float) -> float:
    """Read ``"5%"`` or a number between 0 and 1."""
    share: float | None = None
    if not isinstance(value, str):
        share = float(value)
    elif re.fullmatch(r"[0-9]+(\.[0-9]+)?\s*%", value.strip()):
        share = float(value.strip().rstrip("%")) / 100
    if share is None or not 0 <= share <= 1:
        raise ValueError(f'expected a share such as "5%" or 0.05, from 0 to 1, got {value!r}')
    return share


def check_schedule(text: str) -> str:
    """Return `text` if it looks like five cron fields, each in its range, or one of the nicknames.

    Whether there is such a day is asked when a timer is made of it.
    """
    fields = text.split()
    if text.lower() in _NICKNAMES:
        return text
    if len(fields) == _FIELDS and all(_FIELD.match(field) for field in fields):
        for field, (name, low, high) in zip(fields, _RANGES, strict=True):
            numbers = [int(number) for item in field.split(",") for number in re.findall("[0-9]+", item.split("/")[0])]
            if any(not low <= number <= high for number in numbers):
                raise ValueError(f"the {name} of a schedule is from {low} to {high}, got {field!r} in {text!r}")
        return text
    known = ", ".join(sorted(_NICKNAMES))
    raise ValueError(f'expected five cron fields such as "30 3 * * *", or one of {known}, got {text!r}')


def duration_text(seconds: float) -> str:
    """Write seconds as `parse_duration` reads them, in the largest unit that fits."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"


def read_moment(text: str, now: datetime) -> str:
    """Read a time from `now` on (``30d``) as RFC 3339; anything else is returned as it is, to be read as a date.

    `UsageError` for a time that lies beyond what a date can say.
    """
    try:
        return rfc3339(now + timedelta(seconds=parse_duration(text)))
    except ValueError:
        return text
    except OverflowError as error:
        raise UsageError(f"expires {text!r}: too far away; leave it out for a pin that does not expire") from error
