"""A metered store: everything is passed on, everything is counted. (The conformance suite runs through it, too.)"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.builders.sources import Bytes, sha256

from sealrun.adapters.stores import open_remover, open_store
from sealrun.adapters.stores.metering_store import MeteredStore
from sealrun.adapters.stores.surrounding import beneath
from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.domain.address import Key
from sealrun.domain.errors import (
    AccessDeniedError,
    NoSpaceError,
    NotFoundError,
    OutcomeUnknownError,
    RunChangedError,
    SealrunError,
    UnavailableError,
)
from sealrun.domain.oversight.metering import (
    DOWNLOADED_BYTES,
    REQUESTS,
    UPLOADED_BYTES,
    UPLOADED_OBJECTS,
    Metric,
    requests_of,
)
from sealrun.ports import Source, Store

A, B = Key("experiments/e/runs/r/artifacts/a"), Key("experiments/e/runs/r/artifacts/b")


class Place:
    """A metered store in a directory."""

    def __init__(self, folder: Path) -> None:
        self.meters = ProcessMeters()
        self.store = MeteredStore(open_store(str(folder), make=True), self.meters, "main")

    def total(self, metric: Metric) -> float:
        return self.meters.totals(metric)[("main",)]

    def asked(self) -> dict[str, int]:
        return requests_of(self.meters.totals(REQUESTS), "main")

    def ended(self, operation: str) -> dict[str, float]:
        found = self.meters.totals(REQUESTS)
        return {outcome: count for (_, name, outcome), count in found.items() if name == operation and count}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "registry")
    yield made
    made.store.close()


def items(*pairs: tuple[Key, bytes]) -> list[tuple[Key, Source]]:
    return [(key, cast("Source", Bytes(body))) for key, body in pairs]


def test_one_call_stores_many_objects_and_their_bytes_and_the_callers_own_callback_hears_of_each(place: Place) -> None:
    heard: list[tuple[Key, int]] = []
    place.store.put_many(items((A, b"abc"), (B, b"de")), lambda key, size: heard.append((key, size)))
    assert sorted(heard) == [(A, 3), (B, 2)]
    assert place.asked() == {"put_many": 1}
    assert (place.total(UPLOADED_OBJECTS), place.total(UPLOADED_BYTES)) == (2, 5)


def test_of_a_call_that_fails_what_was_stored_before_is_counted_and_the_error_is_the_stores(place: Place) -> None:
    lying = cast("Source", Bytes(b"lie", digest=sha256(b"truth")))
    with pytest.raises(RunChangedError):
        place.store.put_many([*items((A, b"abc")), (B, lying)])
    assert place.ended("put_many") == {"error": 1}
    assert place.total(UPLOADED_OBJECTS) == len(list(place.store.list("experiments/")))


def test_bytes_that_are_read_are_counted_whichever_way_they_are_read(place: Place) -> None:
    place.store.put_many(items((A, b"one\ntwo\nthree\n")))
    assert place.store.read(A, 4, 4) == b"two\n"
    with place.store.open(A) as file:
        assert file.seek(4) == 4
        assert file.readline() == b"two\n"
        assert file.tell() == 8
        buffer = bytearray(3)
        assert file.readinto(buffer) == 3  # type: ignore[attr-defined] # every binary file has it
        assert bytes(buffer) == b"thr"
        assert file.read() == b"ee\n"
    assert file.closed
    assert place.total(DOWNLOADED_BYTES) == 4 + 4 + 3 + 3
    assert place.asked() == {"put_many": 1, "read": 1, "open": 1}


def test_absence_is_an_answer_of_its_own(place: Place) -> None:
    with pytest.raises(NotFoundError):
        place.store.read(A)
    assert place.store.stat(A) is None
    assert place.ended("read") == {"missing": 1}
    assert place.ended("stat") == {"ok": 1}


def test_a_listing_is_one_request_also_if_it_is_not_gone_through(place: Place) -> None:
    place.store.put_many(items((A, b"a"), (B, b"b")))
    assert [found.key for found in place.store.list("experiments/")] == [A, B]
    half = iter(place.store.list("experiments/"))
    assert next(half).key == A
    half.close()  # type: ignore[attr-defined] # a generator
    assert list(place.store.list("nothing/")) == []
    assert list(place.store.list_folders("experiments/")) == ["e"]
    assert place.ended("list") == {"ok": 3}
    assert place.asked()["list_folders"] == 1


class _Failing:
    """A store whose every listing breaks off after one key."""

    url = "memory://failing"

    def __init__(self, error: SealrunError) -> None:
        self._error = error

    def read(self, *_asked: object) -> bytes:
        raise self._error

    def list(self, prefix: str, **_asked: object) -> Iterator[str]:
        yield prefix
        raise self._error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UnavailableError("x"), "unavailable"),
        (OutcomeUnknownError("x"), "unknown"),
        (AccessDeniedError("x"), "refused"),
        (NoSpaceError("x"), "full"),
        (SealrunError("x"), "error"),
    ],
)
def test_each_kind_of_failure_is_counted_as_such_also_in_the_middle_of_a_listing(
    error: SealrunError, outcome: str
) -> None:
    meters = ProcessMeters()
    store = MeteredStore(cast("Store", _Failing(error)), meters, "main")
    with pytest.raises(type(error)):
        store.read(A)
    with pytest.raises(type(error)):
        list(store.list("a/"))
    counted = {key[1:]: count for key, count in meters.totals(REQUESTS).items() if count}
    assert counted == {("read", outcome): 1, ("list", outcome): 1}


def test_a_remover_counts_deletions_and_deletes(place: Place) -> None:
    place.store.put_many(items((A, b"a"), (B, b"b")))
    assert open_remover(place.store).delete([A, B]) == {}
    assert list(place.store.list("")) == []
    assert place.asked()["delete"] == 1


def test_the_store_beneath_is_at_hand_for_what_shall_not_be_counted(place: Place) -> None:
    assert isinstance(place.store, MeteredStore)
    assert beneath(place.store) is place.store.inner
    assert beneath(place.store.inner) is place.store.inner
    assert beneath(place.store).stat(A) is None
    assert place.asked() == {}
