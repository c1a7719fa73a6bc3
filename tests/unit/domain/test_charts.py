"""The arithmetic of drawn lines: round ticks, gaps, words, and nothing but numbers in the drawing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.oversight.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Series,
    Unit,
    described,
    draw,
    said,
    thinned,
    ticks,
    time_ticks,
)

START = datetime(2026, 1, 17, 14, 30, 52, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def a_chart(*values: float | None, unit: Unit = "count", title: str = "Runs", name: str = "runs") -> Chart:
    moments = [START + timedelta(days=day) for day in range(len(values))]
    return Chart("chart", title, unit, moments, [Series(name, values)])


def parsed(chart: Chart) -> ET.Element:
    return ET.fromstring(draw(chart))  # noqa: S314 - what we drew ourselves


@given(st.floats(min_value=1e-6, max_value=1e18), st.sampled_from(["bytes", "count", "times"]))
def test_ticks_begin_at_zero_are_even_and_reach_just_above_the_greatest_value(most: float, unit: Unit) -> None:
    found = ticks(most, unit)
    step = found[1] - found[0]
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert found[-2] < most
    assert 2 <= len(found) <= 6
    assert all(later - earlier == pytest.approx(step) for earlier, later in pairwise(found))


def test_ticks_of_bytes_are_round_in_the_unit_they_are_written_in() -> None:
    assert [said(tick, "bytes") for tick in ticks(3.3 * 2**30, "bytes")] == ["0 B", "1 GiB", "2 GiB", "3 GiB", "4 GiB"]
    assert [said(tick, "bytes") for tick in ticks(700, "bytes")] == ["0 B", "200 B", "400 B", "600 B", "800 B"]
    assert ticks(2, "count") == [0, 1, 2]
    assert ticks(0, "count") == [0, 1]


@given(st.integers(min_value=0, max_value=40 * 365 * 24 * 3600))
def test_ticks_of_time_lie_between_the_ends_and_are_few(seconds: int) -> None:
    last = START + timedelta(seconds=seconds)
    found = time_ticks(START, last)
    assert len(found) <= 7
    assert all(START <= at <= last for at, _ in found)
    assert all(earlier[1] != later[1] for earlier, later in pairwise(found))


def test_ticks_of_two_months_are_days() -> None:
    assert [text for _, text in time_ticks(START, START + timedelta(days=60))] == [
        "24 Jan",
        "07 Feb",
        "21 Feb",
        "07 Mar",
    ]


def test_the_first_and_the_last_moment_are_at_the_ends_and_the_greatest_value_is_not_above_the_axis() -> None:
    path = parsed(a_chart(0, 50, 100)).find(f"{SVG}path")
    assert path is not None
    spots = [tuple(map(float, spot)) for spot in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.attrib["d"])]
    assert spots == [
        (LEFT, HEIGHT - BOTTOM),
        ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2),
        (WIDTH - RIGHT, TOP),
    ]


def test_what_is_not_known_is_a_gap_and_what_stands_alone_is_a_dot() -> None:
    drawn = parsed(a_chart(1, None, 2, 3, None, 4))
    path = drawn.find(f"{SVG}path")
    assert path is not None
    assert re.sub(r"[^ML]", "", path.attrib["d"]) == "MMLM"
    assert len(drawn.findall(f"{SVG}circle")) == 2


def test_a_chart_says_in_words_what_it_shows() -> None:
    drawn = parsed(a_chart(1024, None, 2048, unit="bytes", title="Bytes", name="stored"))
    title, desc = drawn.find(f"{SVG}title"), drawn.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert drawn.attrib["aria-labelledby"] == f"{title.attrib['id']} {desc.attrib['id']}"
    assert title.text == "Bytes"
    assert desc.text == "From 2026-01-17 14:30 UTC to 2026-01-19 14:30 UTC. stored: from 1 KiB to 2 KiB."


@pytest.mark.parametrize("values", [(), (None,), (0,), (0, 0), (5,), (None, None, 3)])
def test_charts_of_nothing_or_little_are_drawn(values: tuple[float | None, ...]) -> None:
    assert parsed(a_chart(*values)).tag == f"{SVG}svg"
    assert described(a_chart())


def test_names_in_a_chart_are_inert() -> None:
    drawn = draw(a_chart(1, 2, title='</title><script>1</script>"', name="<img onerror=x>"))
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert parsed(a_chart(1, title="a & b")).find(f"{SVG}title") is not None


def test_thousands_of_moments_become_as_many_as_can_be_told_apart_with_both_ends() -> None:
    chart = a_chart(*range(5000))
    short = thinned(chart)
    assert len(short.moments) == 240
    assert (short.moments[0], short.moments[-1]) == (chart.moments[0], chart.moments[-1])
    assert (short.series[0].values[0], short.series[0].values[-1]) == (0, 4999)
    assert len(draw(chart)) < 10_000


def test_a_drawing_has_no_style_of_its_own() -> None:
    assert "style" not in draw(a_chart(1, 2))
