from __future__ import annotations

import pytest

from sealrun.domain.curation.artifacts import (
    check_json,
    config_digest,
    content_run_id,
    parse_section,
    parse_type,
    plain_tags,
    section_of,
    tags_with_section,
)
from sealrun.domain.errors import UsageError
from sealrun.domain.records import sha256
from sealrun.domain.urn import Urn


def test_the_section_is_kept_with_the_tags_and_is_none_of_them() -> None:
    tags = tags_with_section(["profile", "numeric", "profile"], "2.3")
    assert section_of(tags) == "2.3"
    assert plain_tags(tags) == ("numeric", "profile")
    assert section_of(tags_with_section(["profile"], None)) is None


@pytest.mark.parametrize("section", ["", " 2", "a\nb", "x" * 101])
def test_a_section_is_short_and_printable(section: str) -> None:
    with pytest.raises(UsageError, match="not a section"):
        parse_section(section)


def test_a_tag_cannot_pretend_to_be_a_section() -> None:
    with pytest.raises(UsageError, match="name it with `section`"):
        tags_with_section(["section:9"], None)


def test_the_order_of_keys_is_no_part_of_a_configuration() -> None:
    assert config_digest("t", {"a": 1, "b": [1, {"c": None}]}) == config_digest("t", {"b": (1, {"c": None}), "a": 1})


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": True}, {"a": [1]}, {}, None])
def test_what_differs_has_another_identity(other: object) -> None:
    assert config_digest("t", other) != config_digest("t", {"a": 1})


def test_the_type_is_part_of_the_identity() -> None:
    assert config_digest("t", {}) != config_digest("u", {})


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"a": [1, float("nan")]}, r"config\.a\[1\]: is nan"),
        ({"a": float("inf")}, r"config\.a: is inf"),
        ({"a": {1: 2}}, r"config\.a: has the key 1"),
        ({"a": b"x"}, r"config\.a: is a bytes"),
        ({"a": {1, 2}}, r"config\.a: is a set"),
    ],
)
def test_what_json_cannot_hold_as_it_is_is_refused_by_its_place(config: object, place: str) -> None:
    with pytest.raises(UsageError, match=place):
        config_digest("t", config)


def test_what_json_holds_is_taken() -> None:
    check_json({"a": [None, True, 1, 1.5, "x", {"b": ()}]}, "metadata")


def test_content_of_any_type_fits_into_a_run_id() -> None:
    assert len(content_run_id(Urn(parse_type("t" * 60), sha256(b"")))) <= 128
    with pytest.raises(UsageError, match="at most 60"):
        parse_type("t" * 61)
    with pytest.raises(UsageError, match="not a valid type"):
        parse_type("a:b")
