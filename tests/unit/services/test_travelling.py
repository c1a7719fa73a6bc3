"""Runs on their way: how far each is, and how fast bytes go."""

from __future__ import annotations

import pytest
from tests.builders.runs import BytesSource, a_run
from tests.fakes.clock import FakeClock

from sealrun.ports import Source
from sealrun.services.delivery.travelling import Travels


def _pause() -> None:
    return None


def test_a_run_on_its_way_is_shown_with_the_bytes_that_were_read() -> None:
    clock = FakeClock()
    travels = Travels(clock)
    run, sources = a_run({"a": b"x" * 300, "b": b"y" * 100})
    assert (travels.of("main"), travels.rate("main")) == ((), None)
    with travels.trip("main", run) as trip:
        (shown,) = travels.of("main")
        assert (shown.phase, shown.done_bytes, shown.total_bytes) == ("sending", 0, 400)
        counted = trip.counting(sources, _pause)
        entries = {entry.path: entry for entry in run.manifest().entries}
        with counted(entries["a"]).open() as file:
            assert file.read(200) == b"x" * 200
            assert travels.of("main")[0].done_bytes == 200
            file.read()
        clock.sleep(2.0)
        assert travels.rate("main") == pytest.approx(150.0)
        with counted(entries["b"]).open() as file:
            file.read()
        (shown,) = travels.of("main")
        assert (shown.phase, shown.done_bytes) == ("finishing", 400)
        assert shown.ref == f"train/{run.envelope().run_id}"
        assert travels.of("other") == ()
    assert (travels.of("main"), travels.rate("main")) == ((), None)


def test_a_run_that_fails_is_not_on_its_way_any_more_and_a_second_reading_shows_no_more_than_all() -> None:
    travels = Travels(FakeClock())
    run, sources = a_run({"a": b"x" * 10})
    (entry,) = run.manifest().entries

    def travel() -> None:
        with travels.trip("main", run) as trip:
            for _ in range(3):
                trip.counting(sources, _pause)(entry).open().read()
            assert travels.of("main")[0].done_bytes == 10
            raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        travel()
    assert travels.of("main") == ()


def test_what_waits_in_a_stage_counts_as_it_is_taken_and_is_not_wrapped() -> None:
    class Staged(BytesSource, frozen=True):
        def take(self) -> None: ...

    staged: list[Source] = [Staged(b"x" * 7)]
    travels = Travels(FakeClock())
    run, _ = a_run({"a": b"x" * 7})
    (entry,) = run.manifest().entries
    with travels.trip("main", run) as trip:
        assert trip.counting(lambda _entry: staged[0], _pause)(entry) is staged[0]
        assert travels.of("main")[0].done_bytes == 7


def test_a_rate_forgets_what_is_long_ago() -> None:
    clock = FakeClock()
    travels = Travels(clock)
    run, _ = a_run()
    with travels.trip("main", run) as trip:
        trip.advance(1000)
        clock.sleep(10.0)
        assert travels.rate("main") == pytest.approx(100.0)
        clock.sleep(100.0)
        assert travels.rate("main") == 0.0


def test_a_stop_comes_between_two_files() -> None:
    def stop() -> None:
        raise InterruptedError

    travels = Travels(FakeClock())
    run, sources = a_run()
    (entry,) = run.manifest().entries
    with travels.trip("main", run) as trip, pytest.raises(InterruptedError):
        trip.counting(sources, stop)(entry)
