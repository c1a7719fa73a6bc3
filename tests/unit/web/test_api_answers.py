"""What the API makes of foreign names and values: headers that are one line, JSON that is Unicode."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.errors import UsageError
from sealrun.web.api import disposition, encoded
from sealrun.web.operations import OPERATIONS

RUNS = next(operation for operation in OPERATIONS if operation.name == "runs")
FILE = next(operation for operation in OPERATIONS if operation.name == "file")
PATH = {"registry": "main", "experiment": "train", "run_id": "r1"}


@given(st.text(max_size=100))
def test_any_name_makes_one_header_that_a_browser_keeps_the_file_by(name: str) -> None:
    header = disposition(f"some/folder/{name}")
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith('attachment; filename="')
    plain, _, coded = header.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    assert not {'"', "\\", "/"} & set(plain)
    assert unquote(coded) == name.rpartition("/")[2]


@pytest.mark.parametrize("name", ["\ud800", 'a"\r\nSet-Cookie: x=1', "", "..", "%2f"])
def test_hostile_names_stay_inside_their_header(name: str) -> None:
    header = disposition(name)
    assert "\r" not in header
    assert "\n" not in header
    assert header.count('"') == 2


def test_what_is_no_unicode_is_replaced_not_refused() -> None:
    assert json.loads(encoded({"a\ud800": ["\udc80b", 1, None, {"c": "ok"}]})) == {"a?": ["?b", 1, None, {"c": "ok"}]}
    assert encoded({"a": "ß"}) == '{"a":"ß"}'.encode()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([("nobody", "1")], "no parameter 'nobody'"),
        ([("page", "1"), ("page", "1")], "twice"),
        ([("page", "")], "page"),
        ([("page", "1.0")], "page"),
        ([("page", "+1")], "page"),
        ([("page", "\u0661")], "page"),
        ([("size", "1001")], "from 1 to 1000"),
        ([("status", "SUCCESS")], "none of success"),
        ([("experiment", "a/b")], "no name"),
        ([("experiment", "a\n")], "no name"),
        ([("search", "x" * 201)], "at most 200"),
        ([("search", "\udcff")], "UTF-8"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(query: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RUNS.read(PATH, query)


def test_parameters_have_defaults_and_a_path_is_required() -> None:
    given_values = RUNS.read(PATH, [("tag", "nightly")])
    assert (given_values["page"], given_values["size"], given_values["tag"], given_values["search"]) == (
        1,
        50,
        "nightly",
        None,
    )
    with pytest.raises(UsageError, match="`path` is required"):
        FILE.read(PATH, [])
    with pytest.raises(UsageError, match="`path`"):
        FILE.read(PATH, [("path", "")])
