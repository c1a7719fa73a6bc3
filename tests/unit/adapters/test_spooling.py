"""Bytes that wait for an upload are there until their stage is closed, and leave no litter."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.builders.sources import sha256

from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.errors import NoSpaceError, RunChangedError

BODY = os.urandom(3 << 20)


def test_what_was_kept_is_read_back_by_many_at_once(tmp_path: Path) -> None:
    stage = SpoolStage(str(tmp_path))
    incoming = stage.receive()
    incoming.write(BODY[:100])
    incoming.write(memoryview(BODY)[100:])
    source = incoming.keep(sha256(BODY))
    assert (source.size, source.digest) == (len(BODY), sha256(BODY))

    def read(_number: int) -> bytes:
        with source.open() as opened:
            return opened.read(10) + opened.read()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(16))) == {BODY}
    stage.close()


def test_nothing_is_seen_in_the_folder_even_while_it_waits(tmp_path: Path) -> None:
    stage = SpoolStage(str(tmp_path))
    incoming = stage.receive()
    incoming.write(BODY)
    source = incoming.keep(sha256(BODY))
    assert list(tmp_path.iterdir()) == []
    with source.open() as opened:
        stage.close()
        assert opened.read() == BODY


def test_after_the_end_of_the_stage_the_folder_has_to_be_read_again(tmp_path: Path) -> None:
    stage = SpoolStage(str(tmp_path))
    incoming, late = stage.receive(), stage.receive()
    source = incoming.keep(sha256(b""))
    stage.close()
    stage.close()
    assert late.keep(sha256(b"")).size == 0
    with pytest.raises(RunChangedError, match="read again"):
        source.open()


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    stage = SpoolStage(str(tmp_path))
    for number in range(20):
        incoming = stage.receive()
        incoming.write(b"x")
        if number % 2:
            incoming.keep(sha256(b"x"))
        incoming.drop()
        incoming.drop()
    stage.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError, match="gone"):
        SpoolStage(str(tmp_path / "gone")).receive()
    stage = SpoolStage(str(tmp_path))
    incoming = stage.receive()
    full = os.open("/dev/full", os.O_WRONLY)
    incoming._descriptor, kept = full, incoming._descriptor
    with pytest.raises(NoSpaceError, match="make room"):
        incoming.write(b"x")
    incoming.drop()
    os.close(kept)
    stage.close()
