"""The collector at some size: that it works, and what it remembers for each object. The clock is not looked at."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.places import Directory
from benchmarks.registries import PER_RUN, SHARED, Made, fill

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover, open_store
from sealrun.domain.address import OBJECTS, AttemptId, Digest, Key, object_key
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.collection import CondemnedObject
from sealrun.domain.upkeep.marking import Doomed, Fingerprints, LastUses, Uses, part_of_key
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPlan, CollectionPolicy, Collector
from sealrun.services.mending.verifying import Verifier

_MANY = 10_000
_MOST_BYTES_PER_OBJECT = 300  # of 300 MiB for a million
_ATTEMPT = AttemptId("20260117T000000Z-0123456789abcdef")


def _registry(root: Path, objects: int) -> list[Made]:
    root.mkdir()
    return list(fill(Directory(root), objects))


def _collector(root: Path) -> Collector:
    store = open_store(str(root))
    policy = CollectionPolicy(grace_s=0.0, batch=400)
    return Collector(store, open_remover(store), SystemClock(), SystemEntropy(), "m1", policy)


def _peak_of_a_plan(root: Path) -> tuple[CollectionPlan, int]:
    tracemalloc.start()
    try:
        plan = _collector(root).plan()
        return plan, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _keys(count: int, begin: str) -> list[Key]:
    digests = (sha256(b"%d" % number) for number in range(count))
    return [object_key(Digest(begin + digest[len(begin) :]), _ATTEMPT) for digest in digests]


def test_of_ten_thousand_objects_those_are_swept_that_only_retired_runs_used(tmp_path: Path) -> None:
    made = _registry(tmp_path / "registry", _MANY)
    collector = _collector(tmp_path / "registry")
    expected = {key for run in made if run.retired for key in run.lonely}

    plan = collector.plan()
    report = collector.execute(plan)

    assert (len(made), plan.objects, plan.refused) == (_MANY // PER_RUN, _MANY, None)
    assert {found.key for found in plan.doomed} == expected
    assert (report.objects, dict(report.failures), report.tidied.failures) == (len(expected), {}, ())
    assert report.batches == -(-len(expected) // 400)
    left = {found.key for found in open_store(str(tmp_path / "registry")).list(OBJECTS)}
    assert left == {key for run in made for key in run.own} - expected


def test_the_registry_of_the_benchmark_verifies(tmp_path: Path) -> None:
    made = _registry(tmp_path / "registry", 20 * PER_RUN)
    reader = Reader(open_store(str(tmp_path / "registry")), SystemClock(), SystemEntropy())
    report = Verifier(reader).everything()
    assert report.damages == ()
    assert report.runs == sum(not run.retired for run in made)
    assert reader.resolve("bench@latest").run_id == made[-1].row.run_id
    assert made[1].row.files == PER_RUN + SHARED


def test_a_plan_takes_a_bounded_number_of_bytes_for_each_object(tmp_path: Path) -> None:
    for count in (1_000, _MANY):
        _registry(tmp_path / str(count), count)
    _peak_of_a_plan(tmp_path / "1000")  # what is loaded and compiled once does not count

    small, before = _peak_of_a_plan(tmp_path / "1000")
    large, after = _peak_of_a_plan(tmp_path / str(_MANY))

    assert (after - before) / (large.objects - small.objects) < _MOST_BYTES_PER_OBJECT


@pytest.mark.parametrize("begin", ["", "ab"], ids=["everywhere", "in one part"])
def test_what_a_collector_remembers_of_an_object_fits_into_a_few_words(begin: str) -> None:
    objects = 20_000
    keys = _keys(objects, begin)
    tracemalloc.start()
    try:
        needed, last_uses, doomed = Fingerprints(), LastUses(), Doomed()
        for start in range(0, objects, PER_RUN):
            for _ in range(3):  # three runs use it
                for part, word in Uses(keys[start : start + PER_RUN]):
                    needed.put(part, word)
                    last_uses.put(part, word, start)
        for key in sorted(keys):
            doomed.add(CondemnedObject(key=key, size=10, used_by="bench/run000001"))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held / objects < 150
    assert all(needed.holds(part_of_key(key), key) for key in sorted(keys)[:100])
    assert not needed.holds(part_of_key(keys[0]), f"{keys[0]}x")
    assert {last_uses.of(part_of_key(key), key) for key in keys[PER_RUN : 2 * PER_RUN]} == {PER_RUN}
    assert [found.key for found in doomed] == sorted(keys)


def test_the_benchmark_measures_every_step_and_writes_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["collection", "--objects", "1000", "--s3-objects", "0", "--quiet-wait", "0", "--base", str(tmp_path)]
    assert main([*options, "--json", str(tmp_path / "figures.json")]) == 0
    assert "| directory | 1,000 | 20 |" in capsys.readouterr().out
    (one,) = json.loads((tmp_path / "figures.json").read_text())
    assert one["plan"]["deleted"] == one["sweep"]["deleted"] == 2 * (PER_RUN - SHARED)
    assert one["delete"]["deleted"] == one["sweep"]["deleted"] + 2 * (PER_RUN + SHARED)
    assert not (tmp_path / "rooms").exists()
