"""Processes that read while runs are published, pointers move, and what was retired is collected without a grace."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from tests.conformance.libraries import KINDS, a_library
from tests.conformance.readers import WAYS, files_of, read_on

from sealrun import RegistryReader, open_registry

_ROUNDS = {"directory": 6, "seaweedfs": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_sees_one_run_or_is_told_that_it_went_away(kind: str, tmp_path: Path) -> None:
    library, rounds = a_library(kind, tmp_path / "library"), _ROUNDS[kind]
    refs = [library.publish(files_of(0))]
    context = multiprocessing.get_context("forkserver")  # from one that has no threads, and has imported everything
    context.set_forkserver_preload(["tests.conformance.readers", "sealrun.bootstrap.verbs.consuming"])
    over, answers = context.Event(), context.Queue()
    options = {**library.options, "cache": False}
    readers = [
        context.Process(target=read_on, args=(way, options, tmp_path / way, over, answers), daemon=True) for way in WAYS
    ]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, rounds):
            refs.append(library.publish(files_of(number)))
            library.forget(refs[-2])
    finally:
        over.set()
    told = [answers.get(timeout=120) for _ in readers]
    for reader in readers:
        reader.join()
    print([(each.kind, len(each.numbers), each.gone) for each in told])  # noqa: T201 - shown when the test fails
    for each in told:
        assert each.wrong is None, f"{each.kind}: {each.wrong}"
        assert each.numbers[-1] == rounds - 1  # nothing moved any more
        assert each.numbers == sorted(each.numbers)  # `latest` never moves back
        assert set(each.numbers) <= set(range(rounds))


def _get_in_child(registry: RegistryReader, to: Path) -> None:
    registry.get("train@latest", to)


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_process_restores_with_connections_of_its_own(kind: str, tmp_path: Path) -> None:
    library = a_library(kind, tmp_path / "library")
    library.publish({"number": "7"})
    options = {**library.options, "cache": False}
    with open_registry(**options) as registry:
        registry.get("train@latest", tmp_path / "mine")
        child = multiprocessing.get_context("fork").Process(target=_get_in_child, args=(registry, tmp_path / "its"))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        registry.get("train@latest", tmp_path / "again")
    assert [(tmp_path / name / "number").read_text() for name in ("mine", "its", "again")] == ["7"] * 3
