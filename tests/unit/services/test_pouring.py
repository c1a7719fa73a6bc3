"""What is under way while members of a pack are restored from a store that is far away: counted, never timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier, Condition, Event, Lock

import pytest
from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.domain import turns
from sealrun.domain.address import Digest, Key, RunId, attempt_id
from sealrun.domain.errors import UnavailableError
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.domain.runs.run import Envelope
from sealrun.ports import Capabilities
from sealrun.services.access import pouring
from sealrun.services.access.pouring import pour
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.storage import streaming

PACK = Key("store/packs/one.zip")
MEMBER = 1 << 10
SPAN = 16 * MEMBER
SPANS = 40
TARGET = Target(
    experiment="train",
    run_id=RunId("r1"),
    attempt=attempt_id("20260101T000000Z", "0" * 16),
    root_sha256=Digest("0" * 64),
    finished_at="2026-01-01T00:00:00Z",
)


class Pack:
    """Of `ports.Store` what reading one pack takes. Counts the bytes that were read and are not written yet."""

    url = "memory://far"
    capabilities = Capabilities(write_once=True, verifies_uploads=True, links=False, parallel=8)

    def __init__(self, body: bytes) -> None:
        self.reads = self.held = self.most_held = 0
        self.broken = False
        self._body = body
        self._lock = Lock()

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        assert key == PACK
        assert length is not None
        with self._lock:
            self.reads += 1
            self.held += length
            self.most_held = max(self.most_held, self.held)
        if self.broken:
            raise UnavailableError("away")
        return self._body[offset : offset + length]

    def let_go(self, size: int) -> None:
        with self._lock:
            self.held -= size


class Writing:
    """Takes files, and counts how many at once. The first ones may be made to meet."""

    def __init__(self, store: Pack, meeting: AbstractContextManager[object] | None = None) -> None:
        self.files = self.now = self.most = 0
        self._store = store
        self._meeting = meeting or nullcontext()
        self._lock = Lock()

    def __call__(self, entry: Entry, chunks: Iterable[bytes | memoryview]) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        with self._meeting:
            assert b"".join(chunks) == a_body(entry.path)
        with self._lock:
            self.files += 1
            self.now -= 1
        self._store.let_go(entry.size)


class Meeting:
    """The first two who enter wait for each other."""

    def __init__(self) -> None:
        self._met = Barrier(2)
        self._lock = Lock()
        self._left = 2

    def __enter__(self) -> None:
        with self._lock:
            self._left -= 1
            waits = self._left >= 0
        if waits:
            self._met.wait(timeout=60)

    def __exit__(self, *_: object) -> None:
        return


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> tuple[Pack, Reader, RunFiles]:
    monkeypatch.setattr(pouring, "_FAR_SPAN", SPAN)
    monkeypatch.setattr(turns, "_PATIENCE_S", 60.0)
    paths = [f"{number:05}" for number in range(SPANS * (SPAN // MEMBER))]
    run, _ = a_run({path: a_body(path) for path in paths})
    manifest = Manifest.decode(bytes(run.manifest_json), "manifest.json")
    objects = {entry.sha256: Stored(PACK, MEMBER, MEMBER * at) for at, entry in enumerate(manifest.entries)}
    store = Pack(b"".join(map(a_body, paths)))
    view = RunFiles(
        target=TARGET, envelope=Envelope.decode(run.run_json, "run.json"), manifest=manifest, objects=objects
    )
    return store, Reader(store, FakeClock(), FakeEntropy()), view  # type: ignore[arg-type] # it is only read


def a_body(path: str) -> bytes:
    return path.encode().ljust(MEMBER, b".")


def test_each_span_is_read_once_and_few_of_them_are_in_memory(pack: tuple[Pack, Reader, RunFiles]) -> None:
    store, reader, view = pack
    writing = Writing(store)
    pour(reader, view, view.manifest.entries, writing)
    assert writing.files == len(view.manifest.entries)
    assert store.reads == SPANS
    assert store.most_held <= 4 * SPAN


def test_one_thread_at_a_time_writes_small_files(pack: tuple[Pack, Reader, RunFiles]) -> None:
    store, reader, view = pack
    writing = Writing(store)
    pour(reader, view, view.manifest.entries, writing)
    assert writing.most == 1


def test_larger_files_are_written_side_by_side(
    pack: tuple[Pack, Reader, RunFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_SMALL", MEMBER)
    store, reader, view = pack
    writing = Writing(store, Meeting())
    pour(reader, view, view.manifest.entries, writing)
    assert writing.files == len(view.manifest.entries)
    assert 2 <= writing.most <= 4


def test_where_files_are_slow_to_write_nobody_waits_for_a_turn(
    pack: tuple[Pack, Reader, RunFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PATIENCE_S", 0.0001)
    store, reader, view = pack
    writing = Writing(store, Meeting())
    pour(reader, view, view.manifest.entries, writing)
    assert writing.files == len(view.manifest.entries)
    assert 2 <= writing.most <= 4


def test_nobody_reads_on_once_somebody_has_failed(pack: tuple[Pack, Reader, RunFiles]) -> None:
    store, reader, view = pack
    store.broken = True
    with pytest.raises(UnavailableError):
        pour(reader, view, view.manifest.entries, Writing(store))
    assert store.reads <= store.capabilities.parallel


class TwoLong:
    """Of `ports.Store` what reading two long objects takes; tells how many pieces of each were asked for."""

    url = "memory://far"
    capabilities = Capabilities(write_once=True, verifies_uploads=True, links=False, parallel=8)

    def __init__(self, bodies: dict[Key, bytes]) -> None:
        self.asked: Counter[Key] = Counter()
        self.changed = Condition()
        self._bodies = bodies

    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        with self.changed:
            self.asked[key] += 1
            self.changed.notify_all()
        return self._bodies[key][offset : offset + (length or 0)]


def test_the_last_long_file_has_the_room_of_those_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (pouring, streaming):
        monkeypatch.setattr(room, "PIECE", MEMBER)
    longer, shorter = b"l" * 60 * MEMBER, b"s" * 2 * MEMBER
    run, _ = a_run({"longer": longer, "shorter": shorter})
    manifest = Manifest.decode(bytes(run.manifest_json), "manifest.json")
    keys = {entry.path: Key(f"store/objects/{entry.path}") for entry in manifest.entries}
    store = TwoLong({keys["longer"]: longer, keys["shorter"]: shorter})
    view = RunFiles(
        target=TARGET,
        envelope=Envelope.decode(run.run_json, "run.json"),
        manifest=manifest,
        objects={entry.sha256: Stored(keys[entry.path], entry.size) for entry in manifest.entries},
    )
    alone, counting, given = Event(), Lock(), [0]
    give = streaming.Spare.give

    def noted(self: streaming.Spare, pieces: int) -> None:
        give(self, pieces)
        with counting:
            given[0] += pieces
            if given[0] == 5:  # both helpers and the worker of the shorter file have left their room
                alone.set()

    monkeypatch.setattr(streaming.Spare, "give", noted)

    def write(entry: Entry, chunks: Iterable[bytes | memoryview]) -> None:
        pieces = iter(chunks)
        if entry.path == "longer":
            next(pieces)
            assert alone.wait(timeout=60)
            next(pieces)
            with store.changed:  # when the second was asked for, eight were on their way
                assert store.changed.wait_for(lambda: store.asked[keys["longer"]] == 1 + 8, timeout=60)
        assert len(b"".join(pieces)) > 0

    pour(Reader(store, FakeClock(), FakeEntropy()), view, manifest.entries, write)  # type: ignore[arg-type] # only read
    assert store.asked == {keys["longer"]: 60, keys["shorter"]: 2}
