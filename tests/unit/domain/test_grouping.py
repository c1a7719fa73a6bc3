"""Many things a few at a time: nothing is lost, added or put out of order, and no group is longer than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.grouping import in_groups, in_portions


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_groups_are_full_but_for_the_last(items: list[int], most: int) -> None:
    groups = list(in_groups(items, most))
    assert [item for group in groups for item in group] == items
    assert all(len(group) == most for group in groups[:-1])
    assert all(1 <= len(group) <= most for group in groups[-1:])


@given(st.lists(st.integers(0, 9)), st.integers(1, 20), st.none() | st.integers(1, 5))
def test_a_portion_ends_with_what_makes_it_heavy_enough_or_long_enough(
    items: list[int], enough: int, most: int | None
) -> None:
    portions = list(in_portions(items, lambda item: item, enough, most))
    assert [item for portion in portions for item in portion] == items
    assert all(sum(portion) >= enough or len(portion) == most for portion in portions[:-1])
    for portion in portions:
        assert portion
        assert sum(portion[:-1]) < enough
        assert most is None or len(portion) <= most
