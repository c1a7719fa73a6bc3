from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from tests.builders.folders import Station, a_folder

from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.ports import RunFolder
from sealrun.services.watching.turns import GLANCED_S, GLANCING, LONGEST_S, SHARE, Turns, absent_from

_LOOK_S = 0.25
_COUNT = 40


class Ticking:
    """A monotonic clock on which every look takes a while."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Glances:
    """A source of folders whose looks the test sets; each glance takes a while."""

    def __init__(self, ticking: Ticking | None = None, glance_s: float = 0.0, **looks: int | None) -> None:
        self.looks = looks
        self.glanced: Counter[str] = Counter()
        self._ticking = ticking or Ticking()
        self._glance_s = glance_s

        self.unreadable: Sequence[str] = ()

    def candidates(self) -> Sequence[str]:
        return sorted(self.looks)

    def glance(self, paths: Sequence[str]) -> list[int | None]:
        self.glanced.update(paths)
        self._ticking.now += len(paths) * self._glance_s
        return [self.looks[path] for path in paths]

    def open(self, path: str) -> RunFolder:
        raise AssertionError(path)


def taken(turns: Turns, now: float, ticking: Ticking, looked: int = 0) -> list[str]:
    """Take what has its turn, each look of which takes a while."""
    paths = []
    for path in turns.take(now, ticking, looked):
        paths.append(path)
        ticking.now += _LOOK_S
    return paths


def changed(turns: Turns, source: Glances, now: float = 60.0) -> list[str]:
    """Ask which have to be looked at, on a clock that stands still."""
    return turns.changed(source.candidates(), now, lambda: 0.0)


def test_what_was_never_looked_at_or_could_not_be_seen_clearly_has_changed() -> None:
    source = Glances(a=1, b=None, c=3)
    turns = Turns(source)
    assert changed(turns, source) == ["a", "b", "c"]
    for path in "abc":
        turns.looked(path, turns.glance(path))
    assert changed(turns, source, now=120.0) == ["b"]
    turns.looked("c", None)
    assert changed(turns, source, now=180.0) == ["b", "c"]


def test_another_look_of_the_entry_is_a_change() -> None:
    source = Glances(a=1)
    turns = Turns(source)
    turns.looked("a", 1)
    source.looks["a"] = 2
    assert changed(turns, source) == ["a"]
    source.looks["a"] = None
    assert changed(turns, source, now=120.0) == ["a"]


def test_nothing_is_glanced_at_as_long_as_nothing_was_looked_at() -> None:
    source = Glances(a=1, b=2)
    assert changed(Turns(source), source) == ["a", "b"]
    assert not source.glanced


def many_looked_at(glance_s: float) -> tuple[Turns, Glances, Ticking]:
    """Thousands of folders that were all looked at, and glances that take so long."""
    ticking = Ticking()
    source = Glances(ticking, glance_s, **{f"{number:04}": 1 for number in range(5000)})
    turns = Turns(source)
    for path in source.candidates():
        turns.looked(path, 1)
    turns.changed(source.candidates(), 0, ticking)
    source.glanced.clear()
    return turns, source, ticking


def test_glances_that_are_dear_go_round_and_leave_no_folder_out_for_longer_than_they_may() -> None:
    turns, source, ticking = many_looked_at(glance_s=1.0)
    for minute in range(1, int(GLANCED_S // 60) + 1):
        assert not turns.changed(source.candidates(), minute * 60, ticking)
    assert set(source.glanced) == set(source.looks)
    assert max(source.glanced.values()) <= 2


def test_as_many_are_glanced_at_as_fit_in_their_share_of_the_time() -> None:
    turns, source, ticking = many_looked_at(glance_s=60 * GLANCING / 2500)
    turns.changed(source.candidates(), 60, ticking)
    assert 2500 <= source.glanced.total() < 3000
    turns.changed(source.candidates(), 120, ticking)
    assert set(source.glanced) == set(source.looks)


def test_glances_that_are_cheap_show_every_change_at_the_next_rescan() -> None:
    turns, source, ticking = many_looked_at(glance_s=0.0)
    for minute, path in enumerate(("0000", "2600", "4999"), 1):
        source.looks[path] = 2
        assert turns.changed(source.candidates(), minute * 60, ticking) == [path]
        turns.looked(path, 2)


def test_a_hint_that_anything_may_have_changed_has_everything_glanced_at_however_long_that_takes() -> None:
    turns, source, ticking = many_looked_at(glance_s=1.0)
    turns.changed(source.candidates(), 1, ticking, everything=True)
    assert set(source.glanced) == set(source.looks)


def test_glances_go_on_where_they_ended_when_folders_come_and_go_meanwhile() -> None:
    turns, source, ticking = many_looked_at(glance_s=1.0)
    turns.changed(source.candidates(), 60, ticking)
    for path in [path for path in source.candidates() if source.glanced[path]]:
        del source.looks[path]
    turns.changed(source.candidates(), 120, ticking)
    assert source.glanced.most_common(1)[0][1] == 1


def test_what_is_remembered_and_not_listed_any_more_is_lost_until_it_is_forgotten() -> None:
    turns = Turns(Glances())
    for path in "abc":
        turns.looked(path, 1)
    listing = ["a", "c"]
    assert set(turns.lost(listing)) == set(turns.lost(listing)) == {"b"}
    turns.forget("b")
    turns.forget("b")
    assert not turns.lost(listing)
    turns.looked("d", 1)
    assert set(turns.lost(["a", "c"])) == {"d"}


def test_absent_is_what_a_listing_lacks_whether_few_or_many_are_asked_for() -> None:
    listed = [str(number) for number in range(10, 99)]
    assert absent_from(listed, ["10", "100", "50", "0", "98", "99"]) == {"100", "0", "99"}
    assert absent_from(listed, [*listed, "0", "99"]) == {"0", "99"}
    assert absent_from([], ["a"]) == {"a"}


def test_every_folder_has_its_turn_within_the_longest_time_and_none_much_sooner_if_looks_are_dear() -> None:
    names = [str(number) for number in range(1000)]
    turns = Turns(Glances())
    for name in names:
        turns.looked(name, 1)
    ticking = Ticking()
    list(turns.take(0, ticking, len(names)))
    counts: Counter[str] = Counter()
    for minute in range(1, int(LONGEST_S // 60) + 1):
        counts.update(taken(turns, minute * 60, ticking))
    assert set(counts) == set(names)
    assert max(counts.values()) <= 2


def test_as_many_get_a_turn_as_fit_in_their_share_of_the_time() -> None:
    turns = Turns(Glances())
    for number in range(1000):
        turns.looked(str(number), 1)
    ticking = Ticking()
    list(turns.take(0, ticking, 1000))
    passed = 1.0  # so short that hardly anybody must have a turn
    assert len(taken(turns, passed, ticking)) == 1
    ticking.now = 0
    fit = 60 * SHARE / _LOOK_S
    assert fit < 1  # one look takes more than the share: only those come that must
    assert len(taken(turns, passed + 60, ticking)) == 17


def test_cheap_looks_let_everybody_have_a_turn_at_every_rescan() -> None:
    turns = Turns(Glances())
    for name in "abc":
        turns.looked(name, 1)
    assert list(turns.take(60, lambda: 0.0, 0)) == ["a", "b", "c"]
    turns.looked("b", 1)
    assert list(turns.take(120, lambda: 0.0, 1)) == ["a", "c"]
    turns.forget("a")
    assert list(turns.take(180, lambda: 0.0, 0)) == ["b", "c"]


class Counted:
    """Counts surveys of folders and queries of the journal."""

    def __init__(self, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
        self.surveys = 0
        self.queries: Counter[str] = Counter()
        survey, folders = LocalFolder.survey, station.journal.folders

        def counting(folder: LocalFolder) -> object:
            self.surveys += 1
            station.clock.advance(_LOOK_S)
            return survey(folder)

        monkeypatch.setattr(LocalFolder, "survey", counting)
        for name in ("get", "all"):
            monkeypatch.setattr(folders, name, self._counted(name, getattr(folders, name)))

    def _counted(self, name: str, ask: object) -> object:
        def asked(*arguments: object) -> object:
            self.queries[name] += 1
            return ask(*arguments)  # type: ignore[operator] # the fake's own method

        return asked

    def reset(self) -> None:
        self.surveys = 0
        self.queries.clear()


@pytest.fixture
def long_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Station, Counted]:
    station = Station(tmp_path / "outbox")
    for number in range(_COUNT):
        a_folder(station.root / f"run-{number:02}", {"a": str(number)})
    later = time.time_ns() + 3_600_000_000_000
    monkeypatch.setattr(station.intake._source, "_wall_ns", lambda: later)
    station.settle()
    counted = Counted(station, monkeypatch)
    station.rescan(60)
    counted.reset()
    return station, counted


def test_a_rescan_of_sealed_folders_looks_at_the_files_of_few_and_asks_the_journal_about_those(
    long_sealed: tuple[Station, Counted],
) -> None:
    station, counted = long_sealed
    report = station.rescan(60)
    assert report.looked == counted.surveys == 1  # one fortieth of an hour is more than a minute
    assert counted.queries == {"get": 1}


def test_a_look_at_one_folder_looks_at_that_one_only(long_sealed: tuple[Station, Counted]) -> None:
    station, counted = long_sealed
    station.intake.mark(str(station.root / "run-07"))
    assert station.look(1).looked == 1
    assert counted.surveys == 1
    assert counted.queries == {"get": 1}


def test_a_name_that_comes_in_a_long_sealed_folder_is_seen_by_the_next_rescan(
    long_sealed: tuple[Station, Counted],
) -> None:
    station, _ = long_sealed
    (station.root / "run-07/b").write_bytes(b"late")
    assert str(station.root / "run-07") in station.rescan(60).waiting
    station.rescan(60)
    assert len(station.envelopes()) == _COUNT + 1


def test_a_file_that_is_written_to_in_a_long_sealed_folder_is_seen_within_the_longest_time(
    long_sealed: tuple[Station, Counted],
) -> None:
    station, counted = long_sealed
    (station.root / "run-07/a").write_bytes(b"in place")
    started = station.clock.monotonic()
    while station.state("run-07") == "sealed":
        station.rescan(60)
        assert station.clock.monotonic() - started < LONGEST_S + 120
    assert counted.surveys < 2 * _COUNT


def test_a_folder_that_goes_away_is_noticed_without_reading_the_whole_journal(
    long_sealed: tuple[Station, Counted],
) -> None:
    station, counted = long_sealed
    (station.root / "run-07").rename(station.root.parent / "elsewhere")
    assert station.rescan(60).gone == (str(station.root / "run-07"),)
    assert counted.queries["all"] == 0
    assert station.state("run-07") == "gone"


def test_what_another_command_recorded_and_is_gone_is_noticed_in_the_end(
    long_sealed: tuple[Station, Counted],
) -> None:
    station, _ = long_sealed
    record = station.journal.folders.get("w", str(station.root / "run-07"))
    assert record is not None
    station.journal.folders.set(msgspec.structs.replace(record, path=str(station.root / "never-seen")))
    started = station.clock.monotonic()
    while station.state("never-seen") == "sealed":
        station.rescan(60)
        assert station.clock.monotonic() - started < LONGEST_S + 120


def test_many_folders_that_only_a_change_completes_are_left_to_hints_and_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealrun.services.watching.intake._FEW", 2)
    station = Station(tmp_path / "outbox", require=("metrics.json",))
    for name in "abc":
        a_folder(station.root / name, {"x": "1"})
    station.rescan()
    station.rescan(60)
    assert station.intake.next_look() == float("inf")
    (station.root / "b/metrics.json").write_text("{}")
    station.rescan(60)
    station.rescan(30)
    assert [station.state(name) for name in "abc"] == ["settling", "sealed", "settling"]


def test_a_blocked_folder_that_looks_the_same_is_not_read_again_until_it_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = Station(tmp_path / "outbox", require=("metrics.json",), stale_after_s=3600.0)
    a_folder(station.root / "run", {"meta.yaml": "run_id: x\nstatus: 1\n"})
    station.rescan()
    read: list[str] = []
    read_small = LocalFolder.read_small

    def counting(folder: LocalFolder, path: str, limit: int) -> bytes | None:
        read.append(path)
        return read_small(folder, path, limit)

    monkeypatch.setattr(LocalFolder, "read_small", counting)
    for _ in range(10):
        assert station.rescan(300).waiting
    assert read == []
    assert station.rescan(600).stale
