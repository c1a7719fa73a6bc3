from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.curation.tabulating import ROW_COLUMNS, arrange, asks_envelopes, columns_of, parse_condition
from sealrun.domain.errors import UsageError

RUNS: list[dict[str, Any]] = [
    {"run_id": "a", "status": "success", "params.lr": 0.1, "params.seed": 1, "metrics.loss": 0.5, "tags": ["x"]},
    {"run_id": "b", "status": "failed", "params.lr": 0.2, "params.seed": 1},
    {"run_id": "c", "status": "success", "params.lr": 0.3, "params.seed": 1, "metrics.loss": 0.05, "tags": ["x", "y"]},
    {"run_id": "d", "status": "success", "params.lr": "auto", "params.seed": 1, "metrics.loss": 10},
]


def _ids(*conditions: str, **how: Any) -> str:  # noqa: ANN401 - sort and limit
    return "".join(cells["run_id"] for cells in arrange(RUNS, [parse_condition(text) for text in conditions], **how))


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ((), "abcd"),
        (("status=success",), "acd"),
        (("status != success",), "b"),
        (("metrics.loss<0.5",), "c"),
        (("metrics.loss <= 0.5",), "ac"),
        (("metrics.loss>9",), "d"),
        (("metrics.loss>=0.5", "params.lr=0.1"), "a"),
        (("metrics.loss!=0.5",), "bcd"),
        (("params.lr=0.10",), "a"),
        (("params.lr=auto",), "d"),
        (("params.lr<1",), "abc"),
        (("params.lr>a",), "d"),
        (("tags=y",), "c"),
        (("run_id~b",), "b"),
        (("status~fail",), "b"),
        (("nothing=1",), ""),
        (("nothing~1",), ""),
        (("nothing!=1",), "abcd"),
    ],
)
def test_only_the_runs_that_are_asked_for_are_listed(conditions: tuple[str, ...], wanted: str) -> None:
    assert _ids(*conditions) == wanted


def test_numbers_are_sorted_as_numbers_and_what_has_no_value_comes_last() -> None:
    assert _ids(sort="metrics.loss") == "cadb"
    assert _ids(sort="-metrics.loss") == "dacb"
    assert _ids(sort="params.lr") == "abcd"
    assert _ids(sort="-run_id") == "dcba"


def test_a_limit_keeps_the_first_of_an_order_and_otherwise_the_newest() -> None:
    assert _ids(sort="metrics.loss", limit=2) == "ca"
    assert _ids(limit=2) == "cd"
    assert _ids(limit=9) == "abcd"


def test_params_are_those_that_differ_and_metrics_all() -> None:
    columns, runs = columns_of(["run_id", "params", "metrics", "run_id"], iter(RUNS))
    assert (columns, list(runs)) == (["run_id", "params.lr", "metrics.loss"], RUNS)


def test_runs_are_not_gone_through_before_they_are_shown_unless_columns_depend_on_them() -> None:
    runs = iter(RUNS)
    columns, same = columns_of(["run_id", "status"], arrange(runs))
    assert columns == ["run_id", "status"]
    assert next(iter(same)) == RUNS[0]
    assert next(runs) == RUNS[1]


def test_the_index_alone_answers_for_what_it_holds() -> None:
    assert not asks_envelopes(ROW_COLUMNS, [parse_condition("status=success")], "-size")
    assert asks_envelopes(["run_id", "params"], [], None)
    assert asks_envelopes(ROW_COLUMNS, [parse_condition("metrics.loss<1")], None)
    assert asks_envelopes(ROW_COLUMNS, [], "-metrics.loss")


@pytest.mark.parametrize("text", ["", "loss", "=1", "<3"])
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"metrics\.loss<0\.3"):
        parse_condition(text)


@given(st.text(alphabet="abc.=<>!~ 1", max_size=12))
def test_a_condition_keeps_what_it_is_given(text: str) -> None:
    try:
        found = parse_condition(text)
    except UsageError:
        return
    assert found.name
    assert f"{found.name}{found.test}{found.value}".replace(" ", "") == text.replace(" ", "")
