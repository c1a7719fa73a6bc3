from __future__ import annotations

from pathlib import Path

import pytest
from tests.builders.runs import BytesSource

from sealrun.adapters.stores import open_remover, open_store
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.pulsing_store import PulsingStore
from sealrun.adapters.stores.surrounding import beneath
from sealrun.domain.address import AttemptId, Key, object_key
from sealrun.domain.errors import NotFoundError
from sealrun.ports import Store

ATTEMPT = AttemptId("20260101T000000Z-" + "0" * 16)


class Heart:
    """Counts its beats."""

    def __init__(self) -> None:
        self.beats = 0

    def __call__(self) -> None:
        self.beats += 1

    def since(self, before: int) -> int:
        return self.beats - before


@pytest.fixture
def heart() -> Heart:
    return Heart()


@pytest.fixture
def store(tmp_path: Path, heart: Heart) -> Store:
    return PulsingStore(open_store(str(tmp_path / "registry"), make=True), heart)


def test_every_answer_is_a_beat_and_an_error_is_an_answer(store: Store, heart: Heart) -> None:
    store.create(Key("registry.json"), b"{}")
    assert heart.beats >= 1
    before = heart.beats
    with pytest.raises(NotFoundError):
        store.read(Key("experiments/none"))
    assert heart.since(before) >= 1


def test_every_name_of_a_listing_is_a_beat(store: Store, heart: Heart) -> None:
    for number in range(5):
        store.create(Key(f"attempts/20260101T000000Z-{number:016}/intent.json"), b"{}")
    before = heart.beats
    assert len(list(store.list("attempts/"))) == 5
    assert heart.since(before) >= 5


def test_every_piece_that_is_read_to_be_stored_is_a_beat(store: Store, heart: Heart) -> None:
    sources = [BytesSource(bytes([number]) * 10) for number in range(5)]
    stored: list[int] = []
    before = heart.beats
    store.put_many(
        [(object_key(source.digest, ATTEMPT), source) for source in sources], lambda _key, size: stored.append(size)
    )
    assert heart.since(before) >= 3 * len(sources)
    assert stored == [10] * 5
    for source in sources:
        assert store.read(object_key(source.digest, ATTEMPT)) == source.body


def test_what_waits_in_a_stage_is_still_moved_and_not_copied(store: Store, tmp_path: Path) -> None:
    stage = store.stage()
    assert stage is not None
    incoming = stage.receive()
    incoming.write(b"staged")
    source = BytesSource(b"staged")
    kept = incoming.keep(source.digest)
    (waiting,) = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"staged"]
    inode = waiting.stat().st_ino
    key = object_key(source.digest, ATTEMPT)
    store.put_many([(key, kept)])
    stage.close()
    assert (tmp_path / "registry" / key).stat().st_ino == inode


def test_a_collector_may_delete_from_the_store_beneath(store: Store) -> None:
    assert isinstance(beneath(store), PosixStore)
    source = BytesSource(b"x")
    key = object_key(source.digest, ATTEMPT)
    store.put_many([(key, source)])
    assert open_remover(store).delete([key]) == {}
    assert store.stat(key) is None
