"""The plots of the growth benchmark are SVG that shows every line, and the benchmark draws what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.growth import main
from benchmarks.plotting import Axes, plot

_SVG = "{http://www.w3.org/2000/svg}"


def _lines(svg: str) -> list[str]:
    paths = ET.fromstring(svg).iter(f"{_SVG}path")  # noqa: S314 - our own
    return [path.attrib["d"] for path in paths if path.get("class") == "line" and "h22" not in path.attrib["d"]]


def test_what_grows_in_proportion_is_parallel_to_the_dashed_line() -> None:
    svg = plot(
        Axes("growth", "runs", "s"), {"list": [(10, 1), (100, 10), (1000, 100)], "publish": [(10, 1), (1000, 1)]}
    )

    growing, level = _lines(svg)
    places = [tuple(map(float, place.split())) for place in growing.removeprefix("M").split("L")]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert abs((x1 - x0) - (x2 - x1)) < 1
    assert abs((y0 - y1) - (y1 - y2)) < 1
    assert y1 < y0
    heights = {place.split()[1] for place in level.removeprefix("M").split("L")}
    assert len(heights) == 1


def test_names_are_escaped_and_nought_is_left_out() -> None:
    svg = plot(Axes("a < b", "x & y", "s"), {"<list>": [(10, 0), (100, 5), (1000, 7)]})

    texts = [element.text for element in ET.fromstring(svg).iter(f"{_SVG}text")]  # noqa: S314 - our own
    assert {"a < b", "x & y", "<list>"} <= set(texts)
    assert _lines(svg)[0].count("L") == 1


def test_measured_lines_are_drawn_for_each_place_and_cost(tmp_path: Path) -> None:
    facts = [
        {"where": where, "axis": "runs", "size": size, "act": "list", "cpu": size / 100, "rss_mib": 30, "asked": size}
        for where in ("directory", "S3")
        for size in (1000, 10_000)
    ]
    (tmp_path / "lines").write_text("".join(f"{json.dumps(line)}\n" for line in facts))

    assert main(["--from", str(tmp_path / "lines"), "--plots", str(tmp_path / "plots")]) == 0
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert drawn == [
        f"growth-{where}-runs-{cost}.svg" for where in ("directory", "s3") for cost in ("asked", "cpu", "rss-mib")
    ]
