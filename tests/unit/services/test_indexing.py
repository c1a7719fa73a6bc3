from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from tests.builders.worlds import World, published
from tests.fakes.clock import FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.faults.lives import T
from tests.interleavings.baton import Task, explore, sample

from sealrun.domain.address import base_log, generation_key, pending_prefix, retired_key
from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.registry.indexing import Dropped, Row
from sealrun.domain.registry.publication import Retired
from sealrun.ports import Store
from sealrun.services.index.bases import Base
from sealrun.services.index.indexing import Index


def index(world: World) -> Index:
    return Index(world.store, world.clock, FakeEntropy(3), "train")


def three(world: World) -> list[str]:
    days = {"b": "2026-01-02T00:00:00Z", "c": "2026-01-03T00:00:00Z", "a": "2026-01-01T00:00:00Z"}
    for name, day in days.items():
        published(world, {"x": name.encode()}, name=name, finished_at=day)
    return ["a", "b", "c"]


def names(world: World) -> list[str]:
    return [row.name for row in index(world).rows()]


def test_rows_are_listed_oldest_first_before_and_after_a_compaction() -> None:
    world = World()
    expected = three(world)
    assert names(world) == expected
    assert index(world).compact() == 3
    assert names(world) == expected
    assert not list(world.store.list(pending_prefix("train")))


def test_rows_that_are_few_beside_the_base_stay_pending() -> None:
    world = World()
    for number in range(17):
        published(world, {"x": str(number).encode()}, name=f"r{number}")
    assert index(world).compact() == 17
    published(world, {"x": b"late"}, name="late")
    assert index(world).compact() == 0
    assert len(list(world.store.list(pending_prefix("train")))) == 1
    assert len(names(world)) == 18


def _others_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, lines: bytes) -> None:
    """Between the look at the newest base and the new one, others make two, and the first of these is cleared away."""
    head = Index._head

    def slow(self: Index) -> Base:
        found = head(self)
        for number in (1, 2):
            world.store.create(generation_key(base_log("train"), number, ".jsonl"), lines)
        world.store.delete([generation_key(base_log("train"), 1, ".jsonl")])
        return found

    monkeypatch.setattr(Index, "_head", slow)


@pytest.mark.parametrize("looks", [True, False])
def test_a_compactor_that_slept_while_its_base_was_cleared_away_removes_nothing(
    *, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    three(world)
    rows = index(world).rows()
    drop(world, rows[0])
    if not looks:
        monkeypatch.setattr(Index, "_project", lambda _self, _number, _body: True)
    with monkeypatch.context() as patch:
        # Made by somebody who had read the pending rows before the first of them was dropped.
        _others_meanwhile(world, patch, b"".join(row.line() for row in rows))
        assert index(world).compact() == (0 if looks else 3)

    assert names(world) == (["b", "c"] if looks else ["a", "b", "c"])


def test_a_base_that_is_cleared_away_before_it_is_read_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    expected = three(world)
    index(world).compact()
    first = Index._first
    bodies = world.store.bodies
    old, new = (generation_key(base_log("train"), number, ".jsonl") for number in (1, 2))

    def moved(self: Index) -> object:
        found = first(self)
        if old in bodies:
            world.store.create(new, bodies[old])
            world.store.delete([old])
        return found

    monkeypatch.setattr(Index, "_first", moved)
    assert names(world) == expected


def test_an_empty_index_needs_no_base() -> None:
    world = World()
    assert index(world).compact() == 0
    assert not world.store.bodies


def test_a_row_that_is_added_again_after_a_compaction_is_listed_once_and_makes_no_new_base() -> None:
    world = World()
    three(world)
    row = index(world).rows()[0]
    index(world).compact()
    index(world).add(row)
    assert names(world) == ["a", "b", "c"]
    assert index(world).compact() == 1
    assert len(list(world.store.list(base_log("train")))) == 1


def test_the_projection_is_the_newest_base() -> None:
    world = World()
    three(world)
    index(world).compact()
    published(world, {"x": b"later"}, name="later", finished_at="2026-01-09T00:00:00Z")
    index(world).compact()
    assert (
        world.store.bodies["experiments/train/manifest.jsonl"]
        == world.store.bodies[generation_key(base_log("train"), 2, ".jsonl")]
    )


def test_a_damaged_base_is_named_with_what_to_do() -> None:
    world = World()
    three(world)
    index(world).compact()
    key = generation_key(base_log("train"), 1, ".jsonl")
    world.store.damage(key, world.store.read(key)[:-20])
    with pytest.raises(UnsupportedFormatError, match="rebuild the index"):
        index(world).rows()


def test_a_stray_key_among_the_rows_is_refused_not_skipped() -> None:
    world = World()
    three(world)
    world.store.bodies["experiments/train/index/pending/notes.txt"] = b"hello"
    world.store.modified["experiments/train/index/pending/notes.txt"] = 0
    with pytest.raises(UnsupportedFormatError, match="not an index row"):
        index(world).rows()


# ---------------------------------------------------------------- retired runs


class Drawn(FakeEntropy):
    """Entropy whose lot falls on whoever asks."""

    def uniform(self, low: float, high: float) -> float:  # noqa: ARG002 - the port's
        return low


def test_who_publishes_where_no_daemon_runs_folds_rows_now_and_then_once_enough_wait() -> None:
    world = World()
    for number in range(31):
        published(world, {"a": str(number).encode()}, name=f"run-{number:02}")
    drawn = Index(world.store, world.clock, Drawn(), "train")
    assert drawn.compact_now_and_then() == 0
    published(world, {"a": b"the last one"}, name="last")
    assert index(world).compact_now_and_then() == 0
    before = drawn.rows()
    assert drawn.compact_now_and_then() == 32
    assert not pending(world)
    assert drawn.rows() == before


def drop(world: World, row: Row, store: Store | None = None) -> None:
    """Retire the attempt of a row and leave the row out, as a retirement does."""
    record = Retired(attempt=row.attempt, retired_at="2026-02-01T00:00:00Z", by="ann", why="too old")
    (store or world.store).create(retired_key(row.attempt), record.encode())
    said = Dropped(experiment="train", run_id=row.run_id, attempt=row.attempt, retired_at=record.retired_at, by="m1")
    Index(store or world.store, world.clock, FakeEntropy(5), "train").drop(said)


def pending(world: World) -> list[str]:
    return [found.key for found in world.store.list(pending_prefix("train"))]


@pytest.mark.parametrize("folded", [False, True])
def test_a_dropped_row_is_listed_no_more_wherever_it_stands_and_both_its_keys_go(folded: bool) -> None:  # noqa: FBT001 - a case
    world = World()
    three(world)
    if folded:
        index(world).compact()
    drop(world, index(world).rows()[0])
    assert names(world) == ["b", "c"]
    index(world).compact()
    assert names(world) == ["b", "c"]
    assert pending(world) == []
    assert b'"a"' not in world.store.bodies["experiments/train/manifest.jsonl"]


def test_an_index_can_become_empty() -> None:
    world = World()
    three(world)
    index(world).compact()
    for row in index(world).rows():
        drop(world, row)
    assert names(world) == []
    assert index(world).compact() == 3
    assert (names(world), pending(world)) == ([], [])


def test_dropped_rows_count_towards_a_new_base() -> None:
    world = World()
    for number in range(33):
        published(world, {"x": str(number).encode()}, name=f"r{number}")
    assert index(world).compact() == 33
    rows = index(world).rows()
    for row in rows[:2]:
        drop(world, row)
        assert index(world).compact() == 0
    drop(world, rows[2])
    assert index(world).compact() == 3
    assert len(names(world)) == 30


def test_a_row_that_is_replayed_after_its_retirement_does_not_come_back_for_ever() -> None:
    world = World()
    three(world)
    index(world).compact()
    row = index(world).rows()[0]
    drop(world, row)
    index(world).compact()
    index(world).add(row)
    index(world).compact()
    assert names(world) == ["b", "c"]
    assert pending(world) == []


def test_a_late_row_is_removed_even_where_rows_are_too_few_for_a_base() -> None:
    world = World()
    for number in range(20):
        published(world, {"x": str(number).encode()}, name=f"r{number}")
    index(world).compact()
    row = index(world).rows()[0]
    for other in index(world).rows()[:2]:
        drop(world, other)
    index(world).compact()
    index(world).add(row)
    assert index(world).compact() == 0
    assert row.attempt not in {found.attempt for found in index(world).rows()}
    assert pending(world) == []


def test_a_run_that_is_sealed_again_is_listed_beside_the_dropped_row_of_its_first_attempt() -> None:
    world = World()
    three(world)
    first = index(world).rows()[0]
    drop(world, first)
    world.clock.advance(60)
    published(world, {"x": b"a"}, name="a", finished_at="2026-01-01T00:00:00Z", machine="m2")
    for _ in range(2):
        assert names(world) == ["a", "b", "c"]
        assert first.attempt not in {row.attempt for row in index(world).rows()}
        index(world).compact()


def test_a_dropped_record_that_comes_late_is_removed_again() -> None:
    world = World()
    three(world)
    row = index(world).rows()[0]
    drop(world, row)
    index(world).compact()
    drop(world, row)
    assert names(world) == ["b", "c"]
    index(world).compact()
    assert (names(world), pending(world)) == (["b", "c"], [])


@pytest.mark.parametrize("folded", [False, True])
def test_a_dropped_row_is_shown_at_no_moment_of_a_compaction(folded: bool) -> None:  # noqa: FBT001 - a case
    world = World()
    three(world)
    if folded:
        index(world).compact()
    row = index(world).rows()[0]
    drop(world, row)
    index(world).add(row)
    seen: list[list[str]] = []

    def gate(call: Call, act: Callable[[], T]) -> T:  # noqa: ARG001 - every call
        answer = act()
        seen.append(names(world))
        return answer

    Index(GatedStore(world.store, gate), world.clock, FakeEntropy(3), "train").compact()
    assert seen
    assert all(shown == ["b", "c"] for shown in seen)
    assert pending(world) == []


class RetiredMeanwhile:
    """A run is retired while two compact the index, and while a slow announcer adds its row once more."""

    page: int | None = None
    late = False
    folds_kept = False

    def __init__(self) -> None:
        self.world = World(links=False)
        published(self.world, {"x": b"kept"}, name="kept", finished_at="2026-01-02T00:00:00Z")
        if self.folds_kept:
            index(self.world).compact()
        published(self.world, {"x": b"gone"}, name="gone", finished_at="2026-01-01T00:00:00Z")
        self.kept = ["kept"]
        self.row = next(row for row in index(self.world).rows() if row.name == "gone")

    def tasks(self) -> Mapping[str, Task]:
        compact: Callable[[Store], object] = lambda store: Index(  # noqa: E731 - the same for two
            store, self.world.clock, FakeEntropy(1), "train"
        ).compact()
        tasks: dict[str, Task] = {
            "a": compact,
            "b": compact,
            "retirer": lambda store: drop(self.world, self.row, store),
        }
        if self.late:
            tasks["slow"] = lambda store: Index(store, self.world.clock, FakeEntropy(2), "train").add(self.row)
        return tasks

    def conclude(self, _results: Mapping[str, object], /) -> None:
        if not self.late:
            assert names(self.world) == self.kept, "a retired run is listed"
        for _ in range(2):
            index(self.world).compact()
            assert names(self.world) == self.kept, "a retired run is listed after a compaction"
        assert pending(self.world) == []


class RetiredMeanwhileLate(RetiredMeanwhile):
    late = True


class FoldedAndRetiredMeanwhile(RetiredMeanwhile):
    def __init__(self) -> None:
        super().__init__()
        index(self.world).compact()
        published(self.world, {"x": b"more"}, name="more", finished_at="2026-01-03T00:00:00Z")
        self.kept = ["kept", "more"]


class PendingAndRetiredMeanwhile(RetiredMeanwhile):
    """Without the retired run the next base is the same as the one before."""

    folds_kept = True


@pytest.mark.parametrize(
    ("play", "preemptions"),
    [
        (RetiredMeanwhile, 1),
        (RetiredMeanwhileLate, 1),
        (FoldedAndRetiredMeanwhile, 1),
        (PendingAndRetiredMeanwhile, 1),
    ],
)
def test_a_retired_run_is_listed_no_more_however_compactions_interleave(
    play: type[RetiredMeanwhile], preemptions: int
) -> None:
    assert explore(play, preemptions) > 1
    sample(play, seed=20260117, times=100)
