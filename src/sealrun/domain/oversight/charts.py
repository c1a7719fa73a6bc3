"""Lines over time, drawn as SVG: axes with units, gaps where nothing is known, words for those who do not see them.

Pure. Every text is escaped. Colours and dashes are a style sheet's: a series has the class ``s0`` to ``s4``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

Unit = Literal["bytes", "count", "times"]

WIDTH, HEIGHT = 480, 230
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 12, 30
_SERIES = 5
"""As many lines as a style sheet tells apart."""
_POINTS = 240
"""More than that many points in a line cannot be told apart either."""
_STEPS = (1, 2, 5, 10)
_TICKS = 4
_TIME_TICKS = 5
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIBI = 1024
_SPANS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10080, 20160, 43200, 129600, 525600)
)


class Series(NamedTuple):
    """One line: a value for each moment of its chart, None where nothing is known."""

    name: str
    values: Sequence[float | None]


class Chart(NamedTuple):
    """Lines over the same moments, which ascend. `name` is an id that no other chart of a page has."""

    name: str
    title: str
    unit: Unit
    moments: Sequence[datetime]
    series: Sequence[Series]


def said(value: float | None, unit: Unit) -> str:
    """Write a value with its unit, as a tick or a cell of a table says it."""
    if value is None:
        return "not known"
    if unit == "times":
        return f"{value:.3g}\u00d7"
    if unit == "bytes":
        power = _power(value, _KIBI, len(_BYTES))
        return f"{_short(value / _KIBI**power)} {_BYTES[power]}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"  # noqa: PLR2004 - three digits


def _power(value: float, base: int, most: int) -> int:
    power = 0
    while power < most - 1 and abs(value) >= base ** (power + 1):
        power += 1
    return power


def ticks(most: float, unit: Unit) -> list[float]:
    """Return round values from 0 to the first that is not below `most`: some four of them."""
    if most <= 0:
        return [0, 1]
    scale = float(_KIBI ** _power(most, _KIBI, len(_BYTES))) if unit == "bytes" else 1.0
    rough = most / scale / _TICKS
    if unit in {"bytes", "count"} and scale == 1:
        rough = max(rough, 1)
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * each for each in _STEPS if size * each >= rough * (1 - 1e-9)) * scale
    count = max(1, math.ceil(most / step - 1e-9))
    return [step * number for number in range(count + 1)]


def time_ticks(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Return up to six round moments (UTC) from `first` to `last`, and how each is written: a midnight as its day."""
    span = last - first
    step = next(
        (each for each in _SPANS if span / each <= _TIME_TICKS), _SPANS[-1] * math.ceil(span / _SPANS[-1] / _TIME_TICKS)
    )
    form = "%H:%M" if step < timedelta(days=1) else "%d %b" if step < timedelta(days=90) else "%b %Y"
    origin = datetime(2000, 1, 1, tzinfo=UTC)
    at = origin + math.ceil((first - origin) / step) * step
    found = []
    while at <= last:
        midnight = at.hour == at.minute == 0
        found.append((at, f"{at:%d %b}" if midnight and form == "%H:%M" else f"{at:{form}}"))
        at += step
    return found


def thinned(chart: Chart, most: int = _POINTS) -> Chart:
    """Return a chart of at most `most` moments, evenly chosen: the first and the last stay."""
    count = len(chart.moments)
    if count <= most:
        return chart
    chosen = sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})
    return chart._replace(
        moments=[chart.moments[at] for at in chosen],
        series=[line._replace(values=[line.values[at] for at in chosen]) for line in chart.series],
    )


def draw(chart: Chart) -> str:
    """Return a chart as an ``<svg>``. Without a moment or a value it is empty axes, and its words say so."""
    chart = thinned(chart._replace(series=chart.series[:_SERIES]))
    known = [value for line in chart.series for value in line.values if value is not None]
    marks = ticks(max(known, default=0), chart.unit)
    name = html.escape(chart.name, quote=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f'aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{html.escape(chart.title)}</title>',
        f'<desc id="{name}-desc">{html.escape(described(chart))}</desc>',
        *_value_axis(marks, chart.unit),
    ]
    if chart.moments:
        first, last = chart.moments[0], chart.moments[-1]
        parts += _time_axis(first, last)
        for number, line in enumerate(chart.series):
            spots = [
                None if value is None else (_x(at, first, last), _y(value, marks[-1]))
                for at, value in zip(chart.moments, line.values, strict=True)
            ]
            parts += _line(spots, number)
    return "\n".join([*parts, "</svg>"])


def described(chart: Chart) -> str:
    """Say in words what the lines show: from when to when, from what to what."""
    if not chart.moments:
        return "Nothing was counted yet."
    first, last = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for at in (chart.moments[0], chart.moments[-1]))
    lines = [f"From {first} to {last}."]
    for line in chart.series:
        known = [value for value in line.values if value is not None]
        what = f"from {said(known[0], chart.unit)} to {said(known[-1], chart.unit)}" if known else "not known"
        lines.append(f"{line.name}: {what}.")
    return " ".join(lines)


def _x(at: datetime, first: datetime, last: datetime) -> float:
    span = (last - first).total_seconds()
    share = (at - first).total_seconds() / span if span else 1.0
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)


def _value_axis(marks: Sequence[float], unit: Unit) -> Iterator[str]:
    for mark in marks:
        y = _y(mark, marks[-1])
        kind = "grid" if mark else "axis"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        text = html.escape(said(mark, unit))
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _time_axis(first: datetime, last: datetime) -> Iterator[str]:
    for at, text in time_ticks(first, last):
        x = _x(at, first, last)
        anchor = "end" if x > WIDTH - RIGHT - 24 else "middle"
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{text}</text>'


def _line(spots: Sequence[tuple[float, float] | None], number: int) -> Iterator[str]:
    drawn: list[str] = []
    pen = "M"
    for index, spot in enumerate(spots):
        if spot is None:
            pen = "M"
            continue
        drawn.append(f"{pen}{spot[0]:.1f} {spot[1]:.1f}")
        alone = pen == "M" and (index + 1 == len(spots) or spots[index + 1] is None)
        pen = "L"
        if alone or index + 1 == len(spots):
            yield f'<circle class="dot s{number}" cx="{spot[0]:.1f}" cy="{spot[1]:.1f}" r="3.5"/>'
    if drawn:
        yield f'<path class="line s{number}" d="{"".join(drawn)}"/>'
