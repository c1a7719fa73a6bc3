from __future__ import annotations

import json

import pytest
from tests.builders.libraries import Library
from tests.conformance.libraries import a_library

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.domain.errors import NotFoundError
from sealrun.services.access.reading import Reader
from sealrun.services.curation.lineage import trace


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return a_library("directory", tmp_path_factory.mktemp("lineage"))


def a_run(library: Library, experiment: str, second: int, *inputs: object) -> str:
    at = f"2026-01-17T14:30:{second:02}Z"
    done = json.dumps({"status": "success", "finished_at": at, "inputs": [{"ref": ref} for ref in inputs]})
    return library.publish({"a": f"{experiment}{second}", ".sealrun/done.json": done}, experiment)


def reader(library: Library) -> Reader:
    return open_reader(RegistrySpec(name="main", url=library.url), SystemClock(), SystemEntropy())


def test_runs_are_followed_back_and_forward_by_what_they_say(library: Library) -> None:
    raw = a_run(library, "raw", 1, "s3://bucket/table")
    other = a_run(library, "raw", 2)
    clean = a_run(library, "clean", 3, raw, f"{other}:a")
    urn = reader(library).load(reader(library).resolve(clean)).envelope.urn
    model = a_run(library, "model", 4, urn, "raw@latest")
    beside = a_run(library, "model", 5, other)
    found = trace(reader(library), clean)
    assert {(edge.source, edge.target) for edge in found.edges} == {
        ("s3://bucket/table", raw),
        (raw, clean),
        (other, clean),
        (clean, model),
    }
    assert beside not in found.nodes
    back = trace(reader(library), model, forward=False)
    assert set(back.nodes) == {"s3://bucket/table", raw, other, clean, model, "raw@latest"}
    assert (back.nodes["raw@latest"].kind, back.nodes[clean].kind) == ("pointer", "run")
    near = trace(reader(library), model, forward=False, depth=1)
    assert set(near.nodes) == {clean, model, "raw@latest"}
    assert near.nodes[clean].status == "success"
    assert {edge.target for edge in trace(reader(library), other, back=False).edges} == {clean, model, beside}


def test_what_was_retired_or_never_was_there_is_shown_as_gone(library: Library) -> None:
    raw = a_run(library, "raw", 1)
    a_run(library, "raw", 2)
    clean = a_run(library, "clean", 3, raw, "nowhere/at-all")
    library.forget(raw)
    found = trace(reader(library), clean)
    assert {name: node.kind for name, node in found.nodes.items()} == {
        raw: "gone",
        "nowhere/at-all": "gone",
        clean: "run",
    }
    with pytest.raises(NotFoundError):
        trace(reader(library), raw)


def test_a_run_that_names_itself_leads_nowhere(library: Library) -> None:
    first = a_run(library, "raw", 1)
    assert trace(reader(library), first).edges == ()
