from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.test_lineage import URN, an_envelope

from sealrun.domain.curation.lineage import Source
from sealrun.domain.curation.linking import named_inputs, short_name


def _named(*inputs: Any) -> dict[str, str]:  # noqa: ANN401 - whatever producers say
    found = named_inputs(an_envelope(producer={"inputs": list(inputs)}, supersedes="before"))
    return {label: source.text for label, source in found.items()}


def test_inputs_are_named_by_their_role_and_two_of_one_name_get_numbers() -> None:
    assert _named(
        {"type": "table", "role": "prior", "ref": URN},
        {"type": "target", "ref": "t/a"},
        {"type": "target", "ref": "t/b"},
        {"type": "run", "ref": "t/c"},
        "t/d",
        {"type": "table", "ref": "s3://bucket/x"},
        {"type": "x", "ref": "t@latest"},
    ) == {"prior": URN, "target": "t/a", "target-2": "t/b", "input": "t/c", "input-2": "t/d"}


@given(st.text(max_size=200))
def test_any_name_becomes_one_folder_name(name: str) -> None:
    (label,) = _named({"role": name, "ref": "t/a"}) or ["input"]
    assert label
    assert "/" not in label
    assert not label.startswith(".")


def test_a_target_is_called_the_same_wherever_it_is_used() -> None:
    assert short_name(Source("train/r1", "run", "x")) == "train__r1"
    assert short_name(Source(URN, "content", "x")) == f"table-{'a' * 64}"
