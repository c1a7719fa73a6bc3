"""Small files are worked on by one thread at a time, and by others beside it where that one takes long."""

from __future__ import annotations

import threading

import pytest

from sealrun.domain import turns
from sealrun.domain.turns import Turns


class _Worker(threading.Thread):
    """Takes a turn, tells that it has it, and keeps it until it is let go."""

    def __init__(self, turns: Turns, files: int, size: int) -> None:
        super().__init__(daemon=True)
        self._turns, self._work = turns, (files, size)
        self.begun, self.go = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self._turns.turn(*self._work):
            self.begun.set()
            self.go.wait(60)

    def end(self) -> None:
        self.go.set()
        self.join(60)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as the test lasts."""
    monkeypatch.setattr(turns, "_PATIENCE_S", 60)


@pytest.mark.usefixtures("patient")
def test_small_files_are_worked_on_by_one_at_a_time() -> None:
    shared = Turns()
    first = _Worker(shared, 10, 1000)
    assert first.begun.wait(60)
    second = _Worker(shared, 10, 1000)
    assert not second.begun.wait(0.05)
    first.end()
    assert second.begun.wait(60)
    second.end()


@pytest.mark.usefixtures("patient")
def test_large_files_wait_for_nobody() -> None:
    shared = Turns()
    workers = [_Worker(shared, 10, 1000), *(_Worker(shared, 10, 10 << 20) for _ in range(2))]
    assert all(worker.begun.wait(60) for worker in workers)
    for worker in workers:
        worker.end()


def test_whoever_has_waited_for_long_works_beside_others_and_nobody_loses_a_turn() -> None:
    shared = Turns()
    workers = [_Worker(shared, 10, 1000) for _ in range(3)]
    assert all(worker.begun.wait(60) for worker in workers)
    for worker in workers:
        worker.end()
    again = _Worker(shared, 10, 1000)
    assert again.begun.wait(60)
    again.end()


def test_an_error_ends_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Turns()
    with pytest.raises(ZeroDivisionError), shared.turn(1, 1):
        raise ZeroDivisionError
    monkeypatch.setattr(turns, "_PATIENCE_S", 60)
    worker = _Worker(shared, 1, 1)
    assert worker.begun.wait(30)
    worker.end()
