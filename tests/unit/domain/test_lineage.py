from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.address import Digest, RunId
from sealrun.domain.curation.drawing import as_dot, as_mermaid, as_svg, as_text
from sealrun.domain.curation.lineage import Edge, Lineage, Node, around, source_of, sources_of
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.types import Dependency, TypedArtifact

URN = f"urn:sealrun:table:sha256:{'a' * 64}"


def an_envelope(**said: Any) -> Envelope:  # noqa: ANN401 - fields of an envelope
    fields: dict[str, Any] = {
        "run_id": RunId("r"),
        "experiment": "e",
        "name": "r",
        "unit": "folder",
        "status": "success",
        "finished_at": "2026-01-17T14:30:52Z",
        "completion": Completion("marker", "done.json", "declared"),
        "tree_digest": Digest("0" * 64),
        "manifest_sha256": Digest("0" * 64),
        "urn": URN,
        "files": 1,
        "size": 1,
    }
    return Envelope(**{**fields, **said})


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("train/20260117T143052Z-a", "run", "train/20260117T143052Z-a"),
        ("train/20260117T143052Z-a:model.bin", "run", "train/20260117T143052Z-a"),
        ("train@latest", "pointer", "train@latest"),
        (URN, "content", URN),
        ("sealrun://train/a/deep/file.csv", "run", "train/a"),
        ("sealrun://train@latest/deep/file.csv", "pointer", "train@latest"),
        ("s3://bucket/key", "external", "s3://bucket/key"),
        ("https://host/a@b", "external", "https://host/a@b"),
        ("data.csv", "external", "data.csv"),
        ("/srv/data/x.csv", "external", "/srv/data/x.csv"),
        ("a/b/c.csv", "external", "a/b/c.csv"),
        ("", "external", ""),
        ("../x", "external", "../x"),
    ],
)
def test_what_an_input_names_is_understood_or_left_as_it_is(text: str, kind: str, meant: str) -> None:
    found = source_of(text, "input")
    assert (found.kind, found.text) == (kind, meant)


@given(st.text(max_size=60))
def test_any_text_can_be_an_input(text: str) -> None:
    assert source_of(text, "input").role == "input"


def test_inputs_dependencies_and_the_run_before_are_sources() -> None:
    known = Dependency(pointer="reg@active", run="reg/x", root_sha256="0" * 64)
    artifact = TypedArtifact(
        path="a.jsonl", type="jsonl_registry", depends_on=(known, Dependency(pointer="other@active"))
    )
    inputs: list[Any] = [
        "train/a",
        {"type": "run", "ref": "train/b"},
        {"type": "table", "uri": "s3://b/t"},
        {"type": 7, "path": "/x"},
        {"nothing": 1},
        3,
        "train/a",
    ]
    found = sources_of(an_envelope(producer={"inputs": inputs}, artifacts=(artifact,), supersedes="q"))
    assert [(source.text, source.kind, source.role) for source in found] == [
        ("train/a", "run", "input"),
        ("train/b", "run", "input"),
        ("s3://b/t", "external", "table"),
        ("/x", "external", "input"),
        ("reg/x", "run", "reg@active"),
        ("other@active", "pointer", "depends on"),
        ("e/q", "run", "supersedes"),
    ]
    assert sources_of(an_envelope(producer={"inputs": {"not": "a list"}})) == []


def _graph(*edges: str) -> tuple[dict[str, Node], list[Edge]]:
    made = [Edge(text[0], text[1], "input") for text in edges]
    return {name: Node(name, "run") for text in edges for name in text}, made


def test_what_leads_there_and_what_leads_away_is_shown_and_nothing_else() -> None:
    nodes, edges = _graph("ab", "bc", "cd", "de", "xc", "xy", "fb")
    found = around("c", nodes, edges)
    assert {edge.source + edge.target for edge in found.edges} == {"ab", "fb", "bc", "xc", "cd", "de"}
    assert "y" not in found.nodes
    near = around("c", nodes, edges, depth=1)
    assert {edge.source + edge.target for edge in near.edges} == {"bc", "xc", "cd"}
    assert {edge.source + edge.target for edge in around("c", nodes, edges, back=False).edges} == {"cd", "de"}
    assert {edge.source + edge.target for edge in around("c", nodes, edges, forward=False).edges} == {
        "ab",
        "fb",
        "bc",
        "xc",
    }


_CIRCLE = around("b", *_graph("ab", "bc", "ca", "cd"))


@pytest.mark.parametrize("draw", [as_text, as_dot, as_mermaid, as_svg])
def test_a_circle_is_drawn_once(draw: Any) -> None:  # noqa: ANN401 - any of them
    assert draw(_CIRCLE)


def test_text_shows_both_directions() -> None:
    assert (
        as_text(around("b", *_graph("ab", "bc", "bd")))
        == "b\nmade from\n└─ input: a\nused by\n├─ input: c\n└─ input: d\n"
    )
    assert "made from nothing" in as_text(Lineage("a", {"a": Node("a", "run")}, ()))


@given(st.text(min_size=1, max_size=80), st.text(max_size=40))
def test_hostile_names_stay_names_in_every_drawing(name: str, role: str) -> None:
    lineage = Lineage(
        name, {name: Node(name, "run", pipeline=role), "x": Node("x", "external")}, (Edge("x", name, role),)
    )
    drawn = ET.fromstring(as_svg(lineage))  # noqa: S314 - our own
    assert len(drawn.findall(".//{*}g")) == 2 if name != "x" else 1
    assert not drawn.findall(".//{*}script")
    assert "<script" not in as_mermaid(Lineage("<script>", {"<script>": Node("<script>", "run")}, ()))
    assert len(re.findall(r"^  n\d+\[", as_mermaid(lineage), re.MULTILINE)) == len(lineage.nodes)


def test_a_run_stands_right_of_what_it_was_made_from() -> None:
    drawn = ET.fromstring(as_svg(around("d", *_graph("ab", "bd", "ad"))))  # noqa: S314 - our own
    places = {box[0].text: float(box[1].attrib["x"]) for box in drawn.findall(".//{*}g")}
    assert places["a"] < places["b"] < places["d"]
