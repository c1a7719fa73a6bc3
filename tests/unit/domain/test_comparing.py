from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.builders.sources import sha256

from sealrun.domain.address import Digest, RunId
from sealrun.domain.curation.comparing import Comparison, Difference, compare, flat
from sealrun.domain.runs.manifest import Entry, Link, Manifest
from sealrun.domain.runs.run import Completion, Envelope

_FILES = st.dictionaries(st.sampled_from(["a", "b", "c/d", "c/e", "f"]), st.sampled_from([b"", b"1", b"22", b"333"]))


def _held(files: dict[str, bytes], **more: Any) -> Manifest:  # noqa: ANN401 - fields of a manifest
    return Manifest.build([Entry(path, len(body), sha256(body)) for path, body in files.items()], **more)


def _run(manifest: Manifest, **said: Any) -> tuple[Envelope, Manifest]:  # noqa: ANN401 - fields of an envelope
    envelope = Envelope(
        run_id=RunId("r"),
        experiment="e",
        name="r",
        unit="folder",
        status="success",
        finished_at="2026-01-17T14:30:52Z",
        completion=Completion("marker", "done.json", "declared"),
        tree_digest=manifest.tree_digest,
        manifest_sha256=Digest(sha256(manifest.encode())),
        urn="urn:sealrun:run:sha256:" + manifest.tree_digest,
        files=len(manifest.entries),
        size=manifest.size,
    )
    return msgspec.structs.replace(envelope, **said), manifest


def _compared(before: dict[str, bytes], after: dict[str, bytes]) -> Comparison:
    return compare(_run(_held(before)), _run(_held(after)))


def test_every_file_is_either_the_same_or_told_of() -> None:
    found = _compared(
        {"same": b"s", "edited": b"1", "gone": b"g", "old/name": b"moved"},
        {"same": b"s", "edited": b"22", "fresh": b"n", "new/name": b"moved"},
    )
    told = {(change.path, change.change, change.moved_from) for change in found.files}
    assert told == {
        ("edited", "changed", None),
        ("fresh", "added", None),
        ("gone", "removed", None),
        ("new/name", "moved", "old/name"),
    }
    assert (found.unchanged, found.unchanged_size) == (1, 1)
    edited = next(change for change in found.files if change.path == "edited")
    assert (edited.size_before, edited.size_after) == (1, 2)
    assert (edited.sha256_before, edited.sha256_after) == (sha256(b"1"), sha256(b"22"))


@given(_FILES, _FILES)
def test_the_changes_lead_from_one_run_to_the_other(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    digests = {path: sha256(body) for path, body in before.items()}
    found = _compared(before, after)
    for change in found.files:
        if change.change == "removed":
            assert digests.pop(change.path) == change.sha256_before
        elif change.change == "moved":
            assert change.moved_from is not None
            assert digests.pop(change.moved_from) == change.sha256_after
    for change in found.files:
        if change.change != "removed":
            assert change.sha256_after is not None
            digests[change.path] = Digest(change.sha256_after)
    assert digests == {path: sha256(body) for path, body in after.items()}
    assert found.same_bytes == (before == after) == (not found.files)
    assert found.unchanged == sum(before.get(path) == body for path, body in after.items())


def test_empty_files_are_not_taken_for_moved() -> None:
    assert {change.change for change in _compared({"a": b""}, {"b": b""}).files} == {"added", "removed"}


def test_a_file_that_became_executable_is_told_of() -> None:
    before = Manifest.build([Entry("go.sh", 1, sha256(b"1"))])
    after = Manifest.build([Entry("go.sh", 1, sha256(b"1"), executable=True)])
    found = compare(_run(before), _run(after))
    assert [change.change for change in found.files] == ["mode"]
    assert not found.same_bytes


def test_links_and_empty_folders_count() -> None:
    before = _held({"a": b"1", "b": b"22"}, links=[Link("to", "a")], directories=["logs"])
    after = _held({"a": b"1", "b": b"22"}, links=[Link("to", "b")])
    found = compare(_run(before), _run(after))
    assert found.links == (Difference("logs/", "an empty folder", None), Difference("to", "a", "b"))
    assert not found.same_bytes


def test_parameters_and_metrics_are_compared_by_dotted_name_and_numbers_by_how_much() -> None:
    one = _run(
        _held({"a": b"1"}),
        producer={"params": {"optimizer": {"lr": 0.1, "name": "sgd"}, "epochs": 3}, "metrics": {"loss": 0.5, "n": 1}},
    )
    other = _run(
        _held({"a": b"1"}),
        producer={"params": {"optimizer": {"lr": 0.2, "name": "sgd"}, "seed": 7}, "metrics": {"loss": 0.25, "n": 1.0}},
    )
    found = compare(one, other)
    assert found.params == (
        Difference("epochs", 3, None),
        Difference("optimizer.lr", 0.1, 0.2),
        Difference("seed", None, 7),
    )
    assert found.metrics == (Difference("loss", 0.5, 0.25),)
    assert found.metrics[0].delta == -0.25
    assert found.params[0].delta is None
    assert found.same_bytes
    assert not found.same


def test_what_is_known_besides_is_compared_too_but_does_not_make_two_runs_differ() -> None:
    one = _run(_held({"a": b"1"}), tags=("b", "a"), producer={"pipeline_version": "abc"})
    other = _run(_held({"a": b"1"}), tags=("a", "b"), status="failed", producer={"pipeline_version": "abd"})
    found = compare(one, other)
    assert found.facts == (Difference("pipeline_version", "abc", "abd"), Difference("status", "success", "failed"))
    assert found.same


def test_true_is_not_one() -> None:
    one = _run(_held({"a": b"1"}), producer={"params": {"flag": True}})
    other = _run(_held({"a": b"1"}), producer={"params": {"flag": 1}})
    assert compare(one, other).params == (Difference("flag", before=True, after=1),)
    assert Difference("flag", before=True, after=1).delta is None


def test_lists_are_values_and_nothing_is_flat_already() -> None:
    assert flat({"a": {"b": [1, {"c": 2}]}, "d": {}}) == {"a.b": [1, {"c": 2}]}
    assert flat(None) == {}
