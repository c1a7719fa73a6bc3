"""What is sent is never in memory as a whole. Packs that wait in files of ours are sent from there, at every try."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.servers.endpoint import Endpoint
from tests.servers.proxy import losing_answers
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.stores.s3 import S3Store
from sealrun.adapters.stores.s3_multipart import Limits
from sealrun.adapters.stores.spooling import Spooled, SpoolStage
from sealrun.domain.address import AttemptId, object_key
from sealrun.domain.errors import RunChangedError
from sealrun.domain.oversight.hearing import HeardSource
from sealrun.domain.records import sha256

MIB = 1 << 20
ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[SpoolStage]:
    with closing(SpoolStage(str(tmp_path))) as opened:
        yield opened


def waiting(stage: SpoolStage, body: bytes) -> Spooled:
    incoming = stage.receive()
    incoming.write(body)
    return incoming.keep(sha256(body))


@pytest.mark.parametrize("heard", [False, True])
def test_what_waits_is_not_held_while_it_is_sent(
    seaweedfs_server: SeaweedFS, stage: SpoolStage, *, heard: bool
) -> None:
    sources = [waiting(stage, os.urandom(MIB) * 24) for _ in range(3)]
    told: list[int] = []
    with closing(S3Store(f"s3://{seaweedfs_server.create_bucket()}", seaweedfs_server.storage_options)) as store:
        items = [(object_key(source.digest, ATTEMPT), source) for source in sources]
        assert store.stat(items[0][0]) is None  # what is loaded once does not count
        tracemalloc.start()
        store.put_many([(key, HeardSource(source, told.append)) if heard else (key, source) for key, source in items])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert all(sha256(store.read(key)) == source.digest for key, source in items)
    assert sum(told) == (72 * MIB if heard else 0)
    assert peak < 16 * MIB


def test_what_was_sent_of_a_large_file_is_let_go_at_once_and_not_when_cycles_are_looked_for(
    seaweedfs_server: SeaweedFS, tmp_path: Path
) -> None:
    limits = Limits(single=16 * MIB, part=5 * MIB, parts_at_once=2, in_flight=16 * MIB)
    paths = [tmp_path / str(number) for number in range(4)]
    for path, size in zip(paths, (75, 15, 15, 15), strict=True):  # in parts, and whole
        path.write_bytes(os.urandom(MIB) * size)
    items = [(object_key(source.digest, ATTEMPT), source) for source in map(OnDisk, paths)]
    url = f"s3://{seaweedfs_server.create_bucket()}"
    with closing(S3Store(url, seaweedfs_server.storage_options, limits=limits)) as store:
        assert store.stat(items[0][0]) is None  # what is loaded once does not count
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            store.put_many(items)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            gc.enable()
        assert all(sha256(store.read(key)) == source.digest for key, source in items)
    assert peak < 40 * MIB


class OnDisk:
    """A file that is read as it is sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.digest = sha256(path.read_bytes())

    def open(self) -> BinaryIO:
        return self._path.open("rb", buffering=0)


@pytest.mark.parametrize("server", ["seaweedfs", "moto"])
def test_what_rotted_or_is_gone_is_not_sent(
    server: str, seaweedfs_server: SeaweedFS, moto_server: Endpoint, stage: SpoolStage
) -> None:
    endpoint = seaweedfs_server.admin if server == "seaweedfs" else moto_server
    incoming = stage.receive()
    incoming.write(b"something else")
    source = incoming.keep(sha256(b"something"))
    key = object_key(source.digest, ATTEMPT)
    with closing(S3Store(f"s3://{endpoint.create_bucket()}", endpoint.storage_options)) as store:
        with pytest.raises(RunChangedError, match="not the ones that were hashed"):
            store.put_many([(key, source)])
        stage.close()
        with pytest.raises(RunChangedError, match="their stage was closed"):
            store.put_many([(key, source)])
        assert store.stat(key) is None


def test_a_second_try_sends_all_of_it_again_and_nothing_stays_open(
    seaweedfs_server: SeaweedFS, stage: SpoolStage, tmp_path: Path
) -> None:
    source = waiting(stage, os.urandom(5 * MIB))
    key = object_key(source.digest, ATTEMPT)
    with losing_answers(seaweedfs_server.endpoint_url, lambda sent: sent[:4] == b"PUT ") as way:
        options = {**seaweedfs_server.storage_options, "endpoint_url": way.url}
        with closing(S3Store(f"s3://{seaweedfs_server.create_bucket()}", options)) as store:
            way.lose(1)
            store.put_many([(key, source)])
            assert way.lost == 1
            assert sha256(store.read(key)) == source.digest
    assert sum(_is_below(tmp_path, link) for link in Path("/proc/self/fd").iterdir()) == 1  # the stage's own


def _is_below(folder: Path, link: Path) -> bool:
    """Tell whether an open file is in a folder, or was when it had a name."""
    try:
        return os.readlink(link).startswith(f"{folder}/")  # noqa: PTH115 - a name that may be none
    except OSError:  # closed meanwhile
        return False
