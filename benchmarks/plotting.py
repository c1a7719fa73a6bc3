"""Log-log plots as SVG, without a library. Lines keep apart in light and dark, and by their marks without colours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

Series = Mapping[str, Sequence[tuple[float, float]]]

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 190, 48, 56
_INSIDE = (_WIDTH - _RIGHT - _LEFT, _HEIGHT - _BOTTOM - _TOP)
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .frame, .slope { fill: none; stroke: #8c959f; stroke-width: 1 }
  .slope { stroke-dasharray: 4 4 }
  .line { fill: none; stroke-width: 2 }
  .back { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .grid { stroke: #30363d } .frame, .slope { stroke: #7d8590 } .back { fill: #0d1117 }
  }
"""
_COLOURS = ("#2f81f7", "#d29922", "#3fb950", "#f85149", "#a371f7", "#db61a2", "#56b6c2", "#8c959f")
_MARKS = ("circle", "square", "diamond", "triangle")


class Axes(NamedTuple):
    """What a plot shows: its title, and what the axes count, with units."""

    title: str
    across: str
    up: str


class _Scale(NamedTuple):
    """Whole decades from `low` to `high` (powers of ten) onto a stretch of pixels."""

    low: int
    high: int
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.begin)

    @property
    def decades(self) -> range:
        return range(self.low, self.high + 1)


def plot(axes: Axes, series: Series) -> str:
    """Return an SVG with a line for each series; values of nought are left out. The dashed line is proportional."""
    kept = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in series.items()}
    xs = [x for points in kept.values() for x, _ in points]
    ys = [y for points in kept.values() for _, y in points]
    across = _scale(xs, _LEFT, _WIDTH - _RIGHT)
    up = _scale(ys, _HEIGHT - _BOTTOM, _TOP)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(axes.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="title" x="{_LEFT}" y="28">{escape(axes.title)}</text>',
        *_grid(across, up),
        f'<text x="{_LEFT + _INSIDE[0] / 2}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(axes.across)}</text>',
        f'<text transform="translate(18 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(axes.up)}</text>',
        *_slope(across, up),
    ]
    for number, (name, points) in enumerate(kept.items()):
        body += _line(number, name, sorted(points), across, up)
    return "\n".join([*body, "</svg>", ""])


def _scale(values: Sequence[float], begin: float, end: float) -> _Scale:
    low = math.floor(math.log10(min(values)) + 1e-9)
    return _Scale(low, max(low + 1, math.ceil(math.log10(max(values)) - 1e-9)), begin, end)


def _grid(across: _Scale, up: _Scale) -> Iterator[str]:
    for power in across.decades:
        x = across(10.0**power)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        yield f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{_number(power)}</text>'
    for power in up.decades:
        y = up(10.0**power)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(power)}</text>'
    yield f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_INSIDE[0]}" height="{_INSIDE[1]}"/>'


def _number(power: int) -> str:
    if -3 <= power < 0:  # noqa: PLR2004 - what is written out
        return f"{10.0**power:g}"
    return f"{10**power:,}" if 0 <= power <= 6 else f"10^{power}"  # noqa: PLR2004 - the same


def _slope(across: _Scale, up: _Scale) -> Iterator[str]:
    """A line that grows in proportion, through the lower left corner."""
    decades = min(across.high - across.low, up.high - up.low)
    x, y = across(10.0 ** (across.low + decades)), up(10.0 ** (up.low + decades))
    yield f'<path class="slope" d="M{across.begin:.1f} {up.begin:.1f}L{x:.1f} {y:.1f}"/>'


def _line(number: int, name: str, points: Sequence[tuple[float, float]], across: _Scale, up: _Scale) -> Iterator[str]:
    colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
    places = [(across(x), up(y)) for x, y in points]
    yield f'<path class="line" stroke="{colour}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'
    yield from (_mark(mark, x, y, colour) for x, y in places)
    x, y = _WIDTH - _RIGHT + 16, _TOP + 14 + 22 * number
    yield f'<path class="line" stroke="{colour}" d="M{x} {y}h22"/>'
    yield _mark(mark, x + 11, y, colour)
    yield f'<text x="{x + 30}" y="{y + 4}">{escape(name)}</text>'


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    shape = {"square": "-4 -4h8v8h-8z", "diamond": "0 -5l5 5l-5 5l-5 -5z", "triangle": "0 -5l5 9h-10z"}[kind]
    return f'<path d="M{shape}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>'
