from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.sources import sha256

from sealrun.domain.address import Digest, RunId, is_name
from sealrun.domain.curation.deriving import (
    Derivation,
    InputRun,
    Rule,
    derivations,
    failed_again,
    filled_in,
    in_order,
    takes,
)
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Completion, Envelope

RULE = Rule(name="analysis", experiment="samples", inputs=("traces.json",), command=("x",), version="1")
CHANGES: list[dict[str, Any]] = [{"version": "2"}, {"mode": "full"}, {"name": "other"}, {"per": "experiment"}]


def a_run(run_id: str = "a", at: str = "2026-01-01T00:00:00Z", **files: str) -> InputRun:
    digests = {path: Digest(sha256(body.encode())) for path, body in (files or {"traces.json": "1"}).items()}
    return InputRun(
        experiment="samples", run_id=RunId(run_id), root_sha256=Digest("0" * 64), files=digests, finished_at=at
    )


@pytest.mark.parametrize("change", CHANGES)
def test_another_version_mode_or_rule_makes_everything_anew(change: dict[str, Any]) -> None:
    assert Derivation(RULE, (a_run(),)).key != Derivation(msgspec.structs.replace(RULE, **change), (a_run(),)).key


def test_times_names_and_how_it_is_run_do_not_count_but_bytes_do() -> None:
    key = Derivation(RULE, (a_run(),)).key
    assert Derivation(RULE, (a_run("b", "2026-02-02T00:00:00Z"),)).key == key
    faster = msgspec.structs.replace(RULE, command=("y",), timeout_s=1.0, statuses=("failed",), to="elsewhere")
    assert Derivation(faster, (a_run(),)).key == key
    assert Derivation(RULE, (a_run(**{"traces.json": "2"}),)).key != key
    assert Derivation(RULE, (a_run(**{"other.json": "1"}),)).key != key


def test_of_several_runs_it_counts_which_has_which() -> None:
    rule = msgspec.structs.replace(RULE, per="experiment")
    one, other = a_run("a", x="1"), a_run("b", x="2")
    (key,) = {each.key for each in derivations(rule, [one, other])} | {
        each.key for each in derivations(rule, [other, one])
    }
    swapped = derivations(rule, [a_run("a", x="2"), a_run("b", x="1")])[0]
    assert swapped.key != key


def test_runs_with_the_same_files_are_computed_once() -> None:
    made = derivations(RULE, [a_run("b", "2026-01-02T00:00:00Z"), a_run("a"), a_run("c", x="1")])
    assert [[run.run_id for run in each.runs] for each in made] == [["a"], ["c"]]
    assert derivations(msgspec.structs.replace(RULE, per="experiment"), []) == []


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True))
def test_outputs_have_names_that_can_be_published(name: str) -> None:
    derivation = Derivation(msgspec.structs.replace(RULE, name=name), (a_run(),))
    assert is_name(derivation.run_id)
    assert derivation.run_id.startswith(name[:100])


def _sealed(paths: dict[str, str], status: str = "success") -> tuple[Envelope, Manifest]:
    manifest = Manifest.build([Entry(path, 1, sha256(body.encode())) for path, body in paths.items()])
    envelope = Envelope(
        run_id=RunId("r"),
        experiment="samples",
        name="r",
        unit="folder",
        status=status,  # type: ignore[arg-type] # one of them
        finished_at="2026-01-17T14:30:52Z",
        completion=Completion("marker", "done.json", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=Digest("0" * 64),
        urn="urn:sealrun:run:sha256:" + manifest.tree_digest,
        files=len(manifest.entries),
        size=manifest.size,
    )
    return envelope, manifest


def test_a_rule_takes_runs_that_ended_well_and_have_a_file_for_each_pattern() -> None:
    rule = msgspec.structs.replace(RULE, inputs=("traces*.json", "config/*.yaml"))
    files = {"deep/traces-1.json": "1", "traces-2.json": "2", "config/a.yaml": "3", "else": "4", "other/b.yaml": "5"}
    assert takes(rule, *_sealed(files)) == {
        path: sha256(files[path].encode()) for path in ("deep/traces-1.json", "traces-2.json", "config/a.yaml")
    }
    assert takes(rule, *_sealed({"traces.json": "1"})) is None
    assert takes(rule, *_sealed(files, "failed")) is None
    assert takes(msgspec.structs.replace(rule, statuses=("failed",)), *_sealed(files, "failed")) is not None


def test_what_fails_is_tried_again_after_a_minute_then_ever_later_up_to_a_day() -> None:
    failure, waits = None, []
    for _ in range(14):
        failure = failed_again(failure, Derivation(RULE, (a_run(),)), "why", "2026-01-01T00:00:00Z", 1000.0)
        waits.append(failure.next_at - 1000.0)
    assert waits[:3] == [60.0, 120.0, 240.0]
    assert waits[-1] == 24 * 3600.0
    assert failure is not None
    assert (failure.tries, failure.label) == (14, "analysis of samples/a")


def test_only_placeholders_are_replaced() -> None:
    filled = filled_in(
        ["{python}", "--in={inputs}", "{x}", "{}", "{output}/{mode}"],
        {
            "python": "py",
            "inputs": "/i",
            "output": "/o",
            "mode": "light",
        },
    )
    assert filled == ["py", "--in=/i", "{x}", "{}", "/o/light"]


def test_rules_come_after_the_rules_they_build_on_and_circles_are_refused() -> None:
    table = msgspec.structs.replace(RULE, name="table", of="analysis")
    top = msgspec.structs.replace(RULE, name="top", of="table")
    assert [rule.name for rule in in_order([top, table, RULE])] == ["analysis", "table", "top"]
    with pytest.raises(ValueError, match=r"analysis|top"):
        in_order([msgspec.structs.replace(RULE, of="top"), table, top])


def test_an_output_says_what_it_was_computed_from() -> None:
    record = Derivation(RULE, (a_run(),)).record("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")
    assert record["inputs"] == [
        {"type": "run", "ref": "samples/a", "root_sha256": "0" * 64, "files": {"traces.json": sha256(b"1")}}
    ]
    assert (record["pipeline_id"], record["pipeline_version"], record["params"]) == ("analysis", "1", {"mode": "light"})
