"""Readers beside publishers, moving pointers, retention and the collector: nobody ever sees half of anything."""

from __future__ import annotations

import errno
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pytest
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun import SealedFolder, open_registry
from sealrun.fsspec_plugin import SealrunFileSystem

_ROUNDS = 6
_COMMON = bytes(range(256)) * 6000
"""More than a MiB, so not read whole unless asked for; every run has it, so it is stored once."""


@pytest.fixture(params=KINDS)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    return a_library(request.param, tmp_path / "library")


def _files(number: int) -> dict[str, bytes | str]:
    own = f"{number:04}".encode() * 300_000
    return {"first": f"{number}", "second": f"{number}", "own": own, "common": _COMMON}


def _read_on(library: Library, over: threading.Event) -> tuple[int, int]:
    """Read until it is over; return how often a run was read, and how often it went away meanwhile."""
    read = gone = 0
    while not over.is_set() or not read:
        fs = SealrunFileSystem(**{**library.options, "cache": False})
        try:
            number = int(fs.cat_file("train@latest/first"))
            assert fs.cat_file("train@latest/common", 1000, 1010) == _COMMON[1000:1010]
            with fs.open("train@latest/own") as file:
                file.seek(400)
                assert file.read(400_000) == f"{number:04}".encode() * 100_000
                assert file.read() == f"{number:04}".encode() * 199_900
            assert int(fs.cat_file("train@latest/second")) == number
            read += 1
        except OSError as error:
            if error.errno != errno.ESTALE:  # the run was retired and collected while it was read
                raise
            gone += 1
    return read, gone


def test_readers_see_whole_runs_while_they_are_published_retired_and_collected(library: Library) -> None:
    refs = [library.publish(_files(0))]
    over = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(_read_on, library, over) for _ in range(3)]
        try:
            for number in range(1, _ROUNDS):
                refs.append(library.publish(_files(number)))
                library.forget(refs[-2])
        finally:
            over.set()
        assert sum(reader.result()[0] for reader in readers) >= 3
    fs = SealrunFileSystem(**{**library.options, "cache": False})
    assert fs.cat_file("train@latest/common") == _COMMON
    assert [row.rpartition("/")[0] for row in fs.ls("train", detail=False)] == ["train"]
    with pytest.raises(FileNotFoundError, match="retired"):
        fs.info(refs[0])


Answers: TypeAlias = "multiprocessing.Queue[tuple[bytes, bytes, bytes]]"


def _read_in_child(fs: SealrunFileSystem, file: BinaryIO, run: SealedFolder, answers: Answers) -> None:
    answers.put((fs.cat_file("train@latest/first"), file.read(4), run.read_bytes("second")))


def test_a_child_process_goes_on_reading_with_connections_of_its_own(library: Library) -> None:
    library.publish(_files(7))
    fs = SealrunFileSystem(**library.options)
    file = fs.open("train@latest/own")
    run = open_registry(library.url, storage_options=library.storage_options or None, cache=False).resolve(
        "train@latest"
    )
    context = multiprocessing.get_context("fork")
    answers: Answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(fs, file, run, answers))
    child.start()
    assert answers.get(timeout=60) == (b"7", b"0007", b"7")
    child.join()
    assert fs.cat_file("train@latest/second") == run.read_bytes("second") == b"7"
    assert child.exitcode == 0
