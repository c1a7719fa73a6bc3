from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sealrun.services.delivery.hands import HELD_BACK, Hands

PATIENCE_S = 120.0
NOTHING: frozenset[str] = frozenset()


class Bench:
    """Pieces that say when they begin, and end when they are told."""

    def __init__(self) -> None:
        self.freed = threading.Semaphore(0)
        self.hands = Hands("test", self.freed.release)
        self.begun: list[str] = []
        self._changed = threading.Condition()
        self._may_end: set[str] = set()

    def give(self, name: str, *alone_with: str) -> None:
        self.hands.give(frozenset(alone_with), lambda: self._work(name))

    def _work(self, name: str) -> None:
        with self._changed:
            self.begun.append(name)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: name in self._may_end, PATIENCE_S)

    def end(self, *names: str) -> None:
        with self._changed:
            self._may_end.update(names)
            self._changed.notify_all()

    def wait_for(self, *names: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= set(self.begun), PATIENCE_S), self.begun


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end(*(f"{letter}{number}" for letter in "abc" for number in range(100)))
    bench.hands.finish()


def test_pieces_run_beside_each_other_up_to_the_width(bench: Bench) -> None:
    for number in range(3):
        assert bench.hands.has_room(3)
        bench.give(f"a{number}")
    assert not bench.hands.has_room(3)
    bench.wait_for("a0", "a1", "a2")
    bench.end("a1")
    assert bench.freed.acquire(timeout=PATIENCE_S)
    assert bench.hands.has_room(3)


def test_what_shares_something_waits_and_lets_others_pass(bench: Bench) -> None:
    bench.give("a0", "folder")
    bench.wait_for("a0")
    bench.give("a1", "folder", "run")
    bench.give("a2", "run")  # not before a1, which is before it
    bench.give("b0", "other")
    bench.wait_for("b0")
    assert bench.begun == ["a0", "b0"]
    bench.end("a0")
    bench.wait_for("a1")
    assert "a2" not in bench.begun
    bench.end("a1")
    bench.wait_for("a2")


def test_what_is_held_back_takes_no_place_but_is_limited(bench: Bench) -> None:
    bench.give("a0", "folder")
    for number in range(1, HELD_BACK + 1):
        assert bench.hands.has_room(2)
        bench.give(f"a{number}", "folder")
    assert not bench.hands.has_room(2)


def test_what_a_piece_raises_is_raised_once_and_stops_nobody(bench: Bench) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bench.hands.give(frozenset({"folder"}), fail)
    bench.give("a0", "folder")
    bench.wait_for("a0")
    with pytest.raises(ZeroDivisionError):
        bench.hands.raise_failure()
    bench.hands.raise_failure()


def test_finishing_waits_for_everything_and_later_pieces_are_done_too(bench: Bench) -> None:
    bench.give("a0", "folder")
    bench.give("a1", "folder")
    finishing = threading.Thread(target=bench.hands.finish)
    finishing.start()
    bench.wait_for("a0")
    assert finishing.is_alive()
    bench.end("a0", "a1")
    finishing.join(PATIENCE_S)
    assert bench.begun == ["a0", "a1"]
    bench.give("a2")
    bench.wait_for("a2")


def test_hundreds_of_pieces_are_each_done_once_and_never_two_that_share(bench: Bench) -> None:
    done: list[int] = []
    inside: set[int] = set()
    clashes: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        with lock:
            clashes.extend(inside & {number % 7})
            inside.add(number % 7)
        with lock:
            inside.discard(number % 7)
            done.append(number)

    for number in range(400):
        bench.hands.give(frozenset({str(number % 7)}), lambda number=number: work(number))  # type: ignore[misc] # bound now
    bench.hands.finish()
    assert sorted(done) == list(range(400))
    assert clashes == []
    for residue in range(7):
        assert [number for number in done if number % 7 == residue] == list(range(residue, 400, 7))
