from __future__ import annotations

import json
import math
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import UnsupportedFormatError
from sealrun.domain.records import (
    Record,
    canonical_json,
    canonical_json_without_floats,
    json_line,
    parse_object,
    sha256,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXT
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4), max_leaves=20
)


class Sample(Record, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "sample"
    name: str
    note: str | None = None
    count: int = 0


@given(_JSON)
def test_both_encoders_write_the_same_bytes(value: object) -> None:
    assert canonical_json_without_floats(value) == canonical_json(value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": {}, "b": []},
        {"é": "𝄞", "\x7f": "\x00\x1f", "a\\": '"', "/": "</script>", "\u2028": "\u2029"},
        {"b": 1, "a": 2, "B": 3, "ä": 4, "\uffff": 5, "𝄞": 6},
        [[[[]]], {"x": [{}]}],
    ],
)
def test_both_encoders_agree_on_the_difficult_values(value: object) -> None:
    assert canonical_json_without_floats(value) == canonical_json(value)


@given(_JSON)
def test_canonical_json_is_ascii_ends_in_one_newline_and_is_a_fixed_point(value: object) -> None:
    body = canonical_json(value)
    assert body.isascii()
    assert body.endswith(b"\n")
    assert not body.endswith(b"\n\n")
    assert canonical_json(json.loads(body)) == body


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_not_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": value})


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
def test_a_line_is_one_line_and_holds_the_same(value: dict[str, Any]) -> None:
    line = json_line(value)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line) == value


def test_unknown_fields_are_kept_and_written_again() -> None:
    body = canonical_json({"format": "sealrun/1", "kind": "sample", "name": "n", "later": {"x": [1]}, "extra": "e"})
    record = Sample.decode(body, "here")
    assert record.extra == {"later": {"x": [1]}, "extra": "e"}
    assert json.loads(record.encode()) == {**json.loads(body), "count": 0}


@given(st.dictionaries(_TEXT.filter(lambda key: key not in {"name", "note", "count", "format", "kind"}), _JSON))
def test_copying_a_record_loses_nothing(extra: dict[str, Any]) -> None:
    record = Sample.decode(canonical_json({**extra, "format": "sealrun/1.7", "kind": "sample", "name": "n"}), "x")
    again = Sample.decode(record.encode(), "x")
    assert again == record
    assert again.extra == extra


def test_absent_fields_are_not_written() -> None:
    assert "note" not in json.loads(Sample(name="n").encode())


def test_known_fields_come_before_unknown_ones_of_the_same_name() -> None:
    record = msgspec.structs.replace(Sample(name="n"), extra={"name": "other", "format": "x", "kind": "y"})
    assert json.loads(record.encode())["name"] == "n"
    assert json.loads(record.encode())["format"] == "sealrun/1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"x": NaN}', "JSON has no NaN"),
        (b"[]", "not a JSON object"),
        (b"{}", "format None"),
        (b'{"format": "sealrun/2", "kind": "sample", "name": "n"}', "upgrade sealrun"),
        (b'{"format": "sealrun/1\\n", "kind": "sample", "name": "n"}', "format"),
        (b'{"format": "sealrun/1", "kind": "other", "name": "n"}', "'other' record where a 'sample'"),
        (b'{"format": "sealrun/1", "kind": "sample"}', "name"),
        (b'{"format": "sealrun/1", "kind": "sample", "name": 7}', "name"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(body: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=reason) as caught:
        Sample.decode(body, "here/it/is")
    assert str(caught.value).startswith("here/it/is: ")


def test_an_object_is_parsed_and_a_digest_is_sha256() -> None:
    assert parse_object(b'{"a": 1}', "x") == {"a": 1}
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
