from __future__ import annotations

import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World, published, retire
from tests.faults.scenarios import kill_before, planned

from sealrun.domain.address import AttemptId, outcome_key, refs_key, run_key
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError, SealrunError, UsageError
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE
from sealrun.services.access.reading import experiment_exists

FILES = {"m.json": b"{}", "d/x.bin": b"bytes"}


def a_world() -> tuple[World, str, str]:
    world = World()
    run, done = published(world, FILES, publish_names={"m.json": "metrics.json"})
    return world, done.ref, run.envelope().urn


@pytest.mark.parametrize("path", [None, "d/x.bin"])
def test_every_form_of_reference_leads_to_the_run_and_keeps_its_path(path: str | None) -> None:
    world, ref, urn = a_world()
    for form in (ref, "train@latest", urn):
        target = world.reader().resolve(form if path is None else f"{form}:{path}")
        assert (f"{target.experiment}/{target.run_id}", target.path) == (ref, path)


def test_a_published_name_leads_to_one_file() -> None:
    world, ref, _ = a_world()
    view = world.reader().load(world.reader().resolve("metrics.json"))
    assert (view.ref, view.path) == (ref, "m.json")
    with pytest.raises(UsageError, match="names one file"):
        world.reader().resolve("metrics.json:m.json")


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("train/nope", "sealrun ls train"),
        ("trian/nope", "no such experiment"),
        ("train@best", "no pointer 'train@best'"),
        ("nope.csv", "no artifact 'nope.csv'"),
        ("urn:sealrun:run:sha256:" + "0" * 64, "no artifact urn:"),
        ("", "empty reference"),
        ("a/b/c", "run id"),
        ("train/x:../up", "'..'"),
        ("urn:sealrun:run:md5:0", "not an artifact URN"),
    ],
)
def test_a_reference_to_nothing_is_told_with_what_to_do(reference: str, told: str) -> None:
    world, _, _ = a_world()
    with pytest.raises(SealrunError) as caught:
        world.reader().resolve(reference)
    assert told in str(caught.value)


def test_an_empty_registry_lists_nothing() -> None:
    reader = World().reader()
    assert (reader.experiments(), list(reader.runs()), reader.pointers("train")) == ([], [], [])
    assert not experiment_exists(reader.store, "train")


def test_a_run_is_listed_once_however_often_it_was_sealed() -> None:
    world, ref, _ = a_world()
    retire(world, world.target(ref).attempt)
    world.clock.advance(60)
    _, again = published(world, FILES, machine="m2", publish_names={"m.json": "metrics.json"})
    reader = world.reader()
    assert [row.attempt for row in reader.runs()] == [again.attempt]
    assert len(reader.rows("train")) == 2
    assert world.target(ref).attempt == again.attempt


def test_runs_of_several_experiments_are_listed_together() -> None:
    world = World()
    for experiment in ("b", "a"):
        published(world, experiment=experiment)
    assert [row.experiment for row in world.reader().runs()] == ["a", "b"]
    assert world.reader().experiments() == ["a", "b"]
    assert experiment_exists(world.store, "a")


def test_an_attempt_that_is_not_sealed_is_seen_by_no_name() -> None:
    world, what = World(), planned({"a": b"1"}, publish_names={"a": "a.txt"})
    kill_before(world, "m1", what, lambda call: call.op == "create" and "outcome" in call.key)
    reader = world.reader()
    urn = what.run.envelope().urn
    assert reader.runs() == []
    for reference in (f"train/{what.expected.run_id}", "train@latest", "a.txt", urn):
        with pytest.raises(NotFoundError):
            reader.resolve(reference)


def test_a_seal_marker_without_a_sealed_outcome_counts_for_nothing() -> None:
    world, ref, _ = a_world()
    world.store.damage(outcome_key(world.target(ref).attempt), None)
    with pytest.raises(NotFoundError):
        world.reader().resolve(ref)


def test_a_urn_leads_to_a_run_that_still_stands_when_another_with_the_content_was_retired() -> None:
    world = World()
    run, first = published(world, FILES, name="first", finished_at="2026-01-01T00:00:00Z")
    _, second = published(world, FILES, name="second", finished_at="2026-01-02T00:00:00Z")
    urn = run.envelope().urn
    assert world.target(urn).run_id == second.run_id
    retire(world, second.attempt)
    assert world.target(urn).run_id == first.run_id
    retire(world, first.attempt)
    with pytest.raises(NotFoundError):
        world.target(urn)


@pytest.mark.parametrize("file", [RUN_FILE, MANIFEST_FILE, SUMS_FILE])
def test_an_altered_record_is_never_believed(file: str) -> None:
    world, ref, _ = a_world()
    target = world.target(ref)
    key = run_key(target.experiment, target.run_id, file)
    body = world.store.read(key)
    world.store.damage(
        key, body.replace(b"d/x.bin", b"d/y.bin") if file != RUN_FILE else body.replace(b"success", b"failed")
    )
    with pytest.raises(IntegrityError):
        world.reader().load(target)


def test_a_run_folder_that_was_replaced_as_a_whole_is_never_believed() -> None:
    world, ref, _ = a_world()
    target = world.target(ref)
    run, _ = a_run({"m.json": b"forged"})
    bodies = {RUN_FILE: run.run_json, MANIFEST_FILE: run.manifest_json, SUMS_FILE: run.sums().encode()}
    for file, body in bodies.items():
        world.store.damage(run_key(target.experiment, target.run_id, file), bytes(body))
    with pytest.raises(IntegrityError, match="but the attempt sealed"):
        world.reader().load(target)


def test_a_sealed_run_without_its_envelope_is_damage_not_absence() -> None:
    world, ref, _ = a_world()
    target = world.target(ref)
    world.store.damage(run_key(target.experiment, target.run_id, RUN_FILE), None)
    with pytest.raises(IntegrityError, match="is gone"):
        world.reader().resolve(ref)


def test_chunks_are_the_bytes_or_an_error_at_the_end() -> None:
    world, ref, _ = a_world()
    reader = world.reader()
    view = reader.load(reader.resolve(ref))
    entry = view.entry("d/x.bin")
    assert b"".join(reader.chunks(view, entry)) == b"bytes"
    world.store.damage(reader.stored(view, entry).key, b"bytez")
    with pytest.raises(DigestMismatchError, match=r"d/x\.bin"):
        list(reader.chunks(view, entry))


def test_a_file_that_is_not_in_the_run_is_told_with_where_to_look() -> None:
    world, ref, _ = a_world()
    with pytest.raises(NotFoundError, match="sealrun show"):
        world.reader().load(world.target(ref)).entry("nope")


def test_refs_that_lack_a_file_are_damage() -> None:
    world, ref, _ = a_world()
    target = world.target(ref)
    key = refs_key(AttemptId(target.attempt))
    digest = world.reader().load(target).entry("m.json").sha256
    world.store.damage(key, world.store.read(key).replace(digest.encode(), b"0" * 64, 1))
    view = world.reader().load(target)
    with pytest.raises(IntegrityError, match="does not say where"):
        world.reader().stored(view, view.entry("m.json"))
