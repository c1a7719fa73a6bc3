"""Calls side by side whose answers come in order: how many are begun before the first is taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat

import pytest

from sealrun.services.threads.fanning import fan_through


class Taken:
    """Items, and how many of them were taken."""

    def __init__(self, count: int) -> None:
        self.count = 0
        self._items = range(count)

    def __iter__(self) -> Iterator[int]:
        for item in self._items:
            self.count += 1
            yield item


def test_answers_come_in_order_and_neither_items_nor_answers_pile_up() -> None:
    items = Taken(50)
    answers = fan_through(lambda item: item * item, items, 4, waiting_at_most=3)
    assert next(answers) == 0
    assert items.count == 3
    assert list(answers) == [item * item for item in range(1, 50)]


def test_as_many_more_are_begun_as_there_is_room_for() -> None:
    items, room = Taken(50), iter([True, False, True, True])
    answers = fan_through(str, items, 4, waiting_at_most=2, one_more=lambda: next(room, False))
    assert list(islice(answers, 1)) == ["0"]
    assert items.count == 3
    assert next(answers) == "1"
    assert items.count == 6
    assert list(answers) == [str(item) for item in range(2, 50)]


def test_the_first_error_comes_where_its_answer_would() -> None:
    answers = fan_through(lambda item: 1 // item, [1, 1, 0, 1], 2)
    assert list(islice(answers, 2)) == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_with_a_width_of_one_an_item_is_taken_when_its_answer_is() -> None:
    items = Taken(3)
    answers = fan_through(str, items, 1)
    assert (next(answers), items.count) == ("0", 1)
    assert list(answers) == ["1", "2"]
    assert list(fan_through(len, repeat("", 2), 1)) == [0, 0]
