"""Storage over time as charts, each with the same numbers as a table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from sealrun.domain.oversight.board import StoragePoint
from sealrun.domain.oversight.charts import Chart, Series, Unit, draw, said
from sealrun.web.wording import moment

TELLING = 1 << 20
"""Runs of fewer bytes in all say nothing about deduplication: what surrounds contents in the store outweighs them."""
_TABLE = 60
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class Line(NamedTuple):
    """One line of a table: when, and a cell for each series."""

    at: str
    cells: Sequence[str]


class Drawn(NamedTuple):
    """A chart as a page shows it: the drawing, its keys, and the newest lines of its table, newest first."""

    title: str
    drawing: Markup
    names: Sequence[str]
    lines: Sequence[Line]
    left_out: int


def saved(point: StoragePoint) -> str:
    """Say which share of the bytes of the runs need not be stored at that moment.

    What is stored is more than their contents: headers of packs, and what retired runs left until it is collected. Of
    runs that are tiny that is most of it, and no share of them says anything.
    """
    if not point.stored_bytes or not point.logical_bytes:
        return "nothing yet"
    if point.logical_bytes < TELLING:
        return "too little to tell"
    share = 1 - point.stored_bytes / point.logical_bytes
    return f"{share:.0%}" if share > 0 else "nothing"


def times(point: StoragePoint) -> float | None:
    """How many bytes of runs there are for each stored byte; None where that says nothing, as above."""
    return point.logical_bytes / point.stored_bytes if point.stored_bytes and point.logical_bytes >= TELLING else None


def drawn(points: Sequence[StoragePoint]) -> list[Drawn]:
    """Return the charts of a registry; none without points. Points whose time cannot be read are left out."""
    # A clock that was set back gives points out of order.
    points = sorted((point for point in points if moment(point.at)), key=lambda point: moment(point.at) or _NO_TIME)
    if not points:
        return []
    charts = [
        _drawn(
            "bytes",
            "Bytes",
            "bytes",
            points,
            [
                Series("without deduplication", [point.logical_bytes for point in points]),
                Series("stored", [point.stored_bytes for point in points]),
            ],
        ),
        _drawn(
            "ratio",
            "Deduplication",
            "times",
            points,
            [Series("bytes of runs for each stored byte", [times(point) for point in points])],
        ),
        _drawn("runs", "Runs", "count", points, [Series("runs", [point.runs for point in points])]),
    ]
    names = list(dict.fromkeys(name for point in points for name in point.requests))
    if names:
        series = [Series(name, _an_hour(points, name)) for name in sorted(names)]
        series.sort(key=lambda line: -sum(value or 0 for value in line.values))
        charts.append(_drawn("requests", "Requests an hour", "count", points, series))
    return charts


def _an_hour(points: Sequence[StoragePoint], name: str) -> list[float | None]:
    """Return how many requests an hour there were before each point: totals are those of a daemon since its start.

    A total that is smaller than the one before it began anew at 0 in between.
    """
    found: list[float | None] = [None]
    for before, point in pairwise(points):
        hours = ((moment(point.at) or _NO_TIME) - (moment(before.at) or _NO_TIME)).total_seconds() / 3600
        was, total = before.requests.get(name, 0), point.requests.get(name, 0)
        gained = total - was if total >= was else total
        found.append(round(gained / hours, 2) if hours > 0 else None)
    return found


def _drawn(name: str, title: str, unit: Unit, points: Sequence[StoragePoint], series: Sequence[Series]) -> Drawn:
    moments = [found for point in points if (found := moment(point.at))]
    chart = Chart(f"chart-{name}", title, unit, moments, series)
    lines = [
        Line(point.at, [said(line.values[number], unit) for line in series]) for number, point in enumerate(points)
    ]
    # Numbers and words of ours only, and the names of requests, which `draw` escapes.
    drawing = Markup(draw(chart))  # noqa: S704 - see above
    return Drawn(title, drawing, [line.name for line in series], lines[::-1][:_TABLE], max(0, len(lines) - _TABLE))
