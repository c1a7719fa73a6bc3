"""The probe passes the stores that keep their promises, and names what each of the others breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.builders.sources import sha256
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.stores import open_store
from sealrun.adapters.stores.memory import MemoryStore
from sealrun.domain.address import PROBES, Key
from sealrun.domain.errors import RunChangedError, UnavailableError
from sealrun.domain.pieces import Body
from sealrun.ports import Capabilities, Creation, ObjectStat, Source, Store
from sealrun.services.storage.probing import ProbeReport, probe


def a_report(store: Store, writers: int = 32) -> ProbeReport:
    return probe(store, clock=FakeClock(), entropy=FakeEntropy(), writers=writers)


def memory(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - arguments of whatever store is built
    return {"name": uuid4().hex, "clock": FakeClock().now().timestamp, **changes}


class IgnoresConditions(MemoryStore):
    """Accepts every condition and overwrites, as some gateways do."""

    def create(self, key: Key, body: Body) -> Creation:
        self.put(key, bytes(body))
        return Creation.CREATED


class SaysExistsAndOverwrites(MemoryStore):
    def create(self, key: Key, body: Body) -> Creation:
        answer = Creation.CREATED if self.stat(key) is None else Creation.EXISTS
        self.put(key, bytes(body))
        return answer


class ListsFromACache(MemoryStore):
    """Answers a listing for ever as it answered it first."""

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectStat]:
        cache: dict[str, list[ObjectStat]] = self.__dict__.setdefault("cache", {})
        return iter(cache.setdefault(prefix, list(super().list(prefix)))[:limit])


class ReadsFromACache(MemoryStore):
    def read(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        cache: dict[Key, bytes] = self.__dict__.setdefault("cache", {})
        if key not in cache:
            cache[key] = super().read(key, offset, length)
        return cache[key]


class RemembersAbsence(MemoryStore):
    def stat(self, key: Key) -> ObjectStat | None:
        absent: set[Key] = self.__dict__.setdefault("absent", set())
        found = None if key in absent else super().stat(key)
        if found is None:
            absent.add(key)
        return found


class AcceptsAnyBytes(MemoryStore):
    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        for key, source in items:
            self.put(key, source.open().read())
            if on_stored is not None:
                on_stored(key, source.size)


class NamesBytesBeforeItRefusesThem(AcceptsAnyBytes):
    def put_many(
        self, items: Iterable[tuple[Key, Source]], on_stored: Callable[[Key, int], None] | None = None
    ) -> None:
        for key, source in items:
            super().put_many([(key, source)], on_stored)
            if sha256(self.read(key)) != source.digest:
                raise RunChangedError(key)


class KeepsDeletedKeys(MemoryStore):
    def remove(self, key: Key) -> None:
        """Forget to."""


class ClaimsChecksums(MemoryStore):
    answer: bool | None = True

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(write_once=True, verifies_uploads=True, links=False, parallel=4)

    def refuses_wrong_checksum(self, key: Key) -> bool | None:
        assert key.startswith(PROBES)
        return self.answer


class BelievesChecksums(ClaimsChecksums):
    answer = False


class SingleWriter(MemoryStore):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(write_once=False, verifies_uploads=False, links=False, parallel=4)


class BreaksDown(MemoryStore):
    def replace(self, key: Key, body: Body) -> None:
        raise UnavailableError(f"{key}: {len(bytes(body))} bytes too many")


@pytest.mark.parametrize("kind", ["memory", "posix"])
def test_a_store_that_keeps_its_promises_passes_and_nothing_is_left_in_it(kind: str, tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}" if kind == "memory" else f"file://{tmp_path}/registry"
    store = open_store(url, make=kind == "posix")
    for _ in range(2):
        report = a_report(store)
        assert report.problems == ()
        assert report.safe
        assert "write-once among 32 writers" in report.features
        assert list(store.list("")) == []
        assert list(store.list_folders("")) == []
    store.close()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (IgnoresConditions, "created the same key 2 times: it ignores the condition 'If-None-Match: *'"),
        (IgnoresConditions, "32 writers created the same key at once and 32 were told that they won"),
        (SaysExistsAndOverwrites, "said that a key exists, and overwrote it all the same"),
    ],
)
def test_a_store_that_overwrites_is_refused_to_many_writers(broken: type[MemoryStore], said: str) -> None:
    report = a_report(broken(**memory()))
    assert not report.safe
    assert any(said in problem for problem in report.races)
    assert all("single_writer = true" in problem for problem in report.races)
    assert report.faults == ()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (ListsFromACache, "new keys and then listed"),
        (ReadsFromACache, "shows old bytes after a key was replaced"),
        (RemembersAbsence, "acknowledged a write and then did not show it"),
        (AcceptsAnyBytes, "stored bytes that do not have the digest they were sent with"),
        (NamesBytesBeforeItRefusesThem, "stored bytes that do not have the digest they were sent with"),
        (KeepsDeletedKeys, "shows a key after deleting it"),
        (BelievesChecksums, "accepted bytes with a wrong checksum"),
    ],
)
def test_a_store_that_breaks_a_promise_is_refused_with_the_reason(broken: type[MemoryStore], said: str) -> None:
    store = broken(**memory())
    report = a_report(store)
    assert not report.safe
    assert [problem for problem in report.faults if said in problem]
    assert all(problem.startswith(store.url) for problem in report.problems)


def test_a_server_that_refuses_a_wrong_checksum_is_credited_with_it() -> None:
    report = a_report(ClaimsChecksums(**memory()))
    assert report.safe
    assert "checksums verified by the server" in report.features


def test_a_store_that_says_it_is_for_one_writer_is_not_raced_but_told_so() -> None:
    report = a_report(SingleWriter(**memory()))
    assert not report.safe
    assert "single_writer = true" in report.races[0]
    assert report.faults == ()


def test_a_clock_that_is_far_off_is_measured_and_only_a_warning() -> None:
    ahead = FakeClock().now().timestamp() + 3600
    report = a_report(MemoryStore(**memory(clock=lambda: ahead)))
    assert report.safe
    assert report.clock_skew_s == pytest.approx(3600)
    assert "+3600 s" in report.warnings[0]


def test_a_store_that_breaks_down_raises_and_the_rest_is_cleaned_up() -> None:
    arguments = memory()
    with pytest.raises(UnavailableError):
        a_report(BreaksDown(**arguments))
    assert list(MemoryStore(**arguments).list("")) == []


def test_litter_of_killed_probes_is_removed_after_a_day_by_the_stores_clock() -> None:
    arguments = memory()
    now = FakeClock().now().timestamp()
    old = MemoryStore(arguments["name"], clock=lambda: now - 2 * 24 * 3600)
    old.create(Key("probe/killed/race"), b"old litter")
    old.create(Key("attempts/x/outcome.json"), b"old, and no litter")
    MemoryStore(**arguments).create(Key("probe/running/race"), b"somebody else's probe")
    a_report(MemoryStore(**arguments))
    assert [found.key for found in old.list("")] == ["attempts/x/outcome.json", "probe/running/race"]
