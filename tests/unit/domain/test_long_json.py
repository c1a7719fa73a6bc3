from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.long_json import Many, canonical_pieces, line_pieces
from sealrun.domain.records import canonical_json

PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def with_many(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with every list made when it is gone through."""
    if isinstance(value, list):
        return Many(lambda: map(with_many, value))
    return {name: with_many(each) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("at_once", [1, 64 << 10])
@given(value=VALUES)
def test_what_is_made_as_it_is_written_has_the_canonical_bytes(value: object, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sealrun.domain.long_json._TOGETHER", at_once)
        for same in (value, with_many(value)):
            assert bytes(canonical_pieces(same)) == canonical_json(value)


@pytest.mark.parametrize("at_once", [1, 64 << 10])
@given(value=VALUES)
def test_on_one_line_it_has_the_bytes_that_commands_always_printed(value: object, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sealrun.domain.long_json._TOGETHER", at_once)
        for same in (value, with_many(value)):
            assert bytes(line_pieces(same)) == json.dumps(value, sort_keys=True).encode() + b"\n"


def test_a_list_is_made_anew_each_time_and_never_there_as_a_whole() -> None:
    alive = 0

    class Item(dict[str, int]):
        def __init__(self) -> None:
            nonlocal alive
            super().__init__(number=1)
            alive += 1
            assert alive < 5

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    pieces = canonical_pieces({"items": Many(lambda: (Item() for _ in range(5000)))})
    for _ in range(2):
        assert bytes(pieces) == canonical_json({"items": [{"number": 1}] * 5000})


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        bytes(canonical_pieces(Many(lambda: [float("nan")])))
