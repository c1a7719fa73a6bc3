"""A registry over time: the same numbers drawn and in a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from sealrun.domain.oversight.board import StoragePoint
from sealrun.web.pages.storage import drawn, saved


def a_point(day: int, *, stored: int | None = 50, requests: dict[str, int] | None = None) -> StoragePoint:
    at = datetime(2026, 1, 17, tzinfo=UTC) + timedelta(days=day)
    return StoragePoint(
        at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        registry="main",
        runs=day,
        logical_bytes=(100 + day) << 20,
        stored_bytes=stored and stored << 20,
        objects=3,
        requests=requests or {},
    )


def test_requests_are_told_by_the_hour_and_a_restart_begins_anew() -> None:
    counts = ({"read": 240}, {"read": 480, "list": 24}, {"read": 96, "list": 48})
    requests = drawn([a_point(day, requests=each) for day, each in enumerate(counts)])[-1]
    assert requests.names == ["read", "list"]
    assert [line.cells for line in requests.lines] == [["4", "1"], ["10", "1"], ["not known", "not known"]]


def test_points_of_a_clock_that_was_set_back_are_drawn_in_their_order() -> None:
    chart = drawn([a_point(2), a_point(0), a_point(1)])[0]
    assert [line.at for line in chart.lines] == [a_point(day).at for day in (2, 1, 0)]


def test_a_moment_without_a_count_is_not_known_rather_than_nothing() -> None:
    stored, ratio = drawn([a_point(0), a_point(1, stored=None)])[:2]
    assert [line.cells for line in stored.lines] == [["101 MiB", "not known"], ["100 MiB", "50 MiB"]]
    assert [line.cells for line in ratio.lines] == [["not known"], ["2\u00d7"]]


def test_the_table_has_the_newest_first_and_says_how_many_it_leaves_out() -> None:
    chart = drawn([a_point(day) for day in range(100)])[0]
    assert (len(chart.lines), chart.left_out) == (60, 40)
    assert chart.lines[0].at == a_point(99).at


def test_without_points_there_are_no_charts() -> None:
    assert drawn([]) == []


def test_what_deduplication_saves_is_a_share_of_the_bytes_of_the_runs() -> None:
    assert saved(a_point(0)) == "50%"
    assert saved(a_point(0, stored=200)) == "nothing"
    assert saved(a_point(0, stored=0)) == "nothing yet"


def test_of_a_few_tiny_runs_nothing_is_said_about_deduplication() -> None:
    tiny = replace(a_point(0), logical_bytes=400, stored_bytes=1000)
    assert saved(tiny) == "too little to tell"
    stored, ratio = drawn([tiny])[:2]
    assert [line.cells for line in stored.lines] == [["400 B", "1000 B"]]
    assert [line.cells for line in ratio.lines] == [["not known"]]
