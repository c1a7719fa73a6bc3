"""What is read from a listing and from what is kept is what the store would have answered, whatever is kept."""

from __future__ import annotations

import pytest
from benchmarks.counting import CountingStore
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.record_cache import FakeCache

from sealrun.adapters.stores.memory import MemoryStore, forget_space
from sealrun.domain.address import Key
from sealrun.domain.errors import NotFoundError
from sealrun.ports import ObjectStat
from sealrun.services.storage.overview import PAGE, Overview, Records

_PARTS = st.lists(st.sampled_from(["a", "a-b", "b", "é", "\U0001f600", "z.json"]), min_size=1, max_size=3)


def _store(name: str, bodies: dict[str, bytes]) -> MemoryStore:
    forget_space(name)
    store = MemoryStore(name)
    for key, body in bodies.items():
        store.put(Key(key), body)
    return store


def _stat(store: MemoryStore, key: str) -> ObjectStat:
    stat = store.stat(Key(key))
    assert stat is not None
    return stat


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(_PARTS.map(lambda parts: "experiments/" + "/".join(parts)), st.binary(max_size=5)), st.data())
def test_an_overview_answers_as_the_store_did_when_it_was_listed(bodies: dict[str, bytes], data: st.DataObject) -> None:
    store = _store("overview", bodies)
    overview = Overview(store)
    overview.look("experiments/")
    prefixes = {"experiments/", "names/"} | {key.rsplit("/", 1)[0] + "/" for key in bodies}

    for prefix in sorted(prefixes):
        limit = data.draw(st.none() | st.integers(0, 3))
        assert list(overview.list(prefix, limit=limit)) == list(store.list(prefix, limit=limit))
        assert list(overview.list_folders(prefix)) == list(store.list_folders(prefix))
    assert {key: overview.read(Key(key)) for key in bodies} == bodies
    assert {key: overview.read(Key(key), 1, 2) for key in bodies} == {key: body[1:3] for key, body in bodies.items()}


@pytest.mark.parametrize("keys", [PAGE - 1, PAGE])
def test_few_keys_are_listed_once_and_many_whenever_somebody_asks(keys: int) -> None:
    counting = CountingStore(_store("many", {f"experiments/e/{n:06}": b"" for n in range(keys)}))
    overview = Overview(counting)
    overview.look("experiments/")
    for _ in range(3):
        assert len(list(overview.list("experiments/e/"))) == keys
        assert list(overview.list_folders("experiments/")) == ["e"]

    assert counting.counts["list"] == (1 if keys < PAGE else 7)


def test_a_record_that_came_since_is_asked_for(request: pytest.FixtureRequest) -> None:
    store = _store(request.node.name, {"experiments/e/a": b"1"})
    overview = Overview(store)
    overview.look("experiments/")
    store.put(Key("experiments/e/b"), b"2")

    assert overview.read(Key("experiments/e/b")) == b"2"
    with pytest.raises(NotFoundError):
        overview.read(Key("experiments/e/c"))


def test_what_is_kept_is_not_asked_for_again(request: pytest.FixtureRequest) -> None:
    store = _store(request.node.name, {"attempts/a/refs.json": b"refs"})
    counting, cache = CountingStore(store), FakeCache()
    records, stat = Records(counting, cache), _stat(store, "attempts/a/refs.json")

    assert [records.read(stat) for _ in range(3)] == [b"refs"] * 3
    assert counting.counts["get"] == 1


@pytest.mark.parametrize("other", [b"", b"ref", b"REFS", b"refs and more"])
def test_what_is_damaged_or_forged_costs_a_request_and_is_mended(other: bytes, request: pytest.FixtureRequest) -> None:
    store = _store(request.node.name, {"attempts/a/refs.json": b"refs"})
    counting, cache = CountingStore(store), FakeCache()
    records, stat = Records(counting, cache), _stat(store, "attempts/a/refs.json")
    assert stat.md5 is not None
    cache.kept[stat.key, stat.md5] = other

    assert [records.read(stat) for _ in range(3)] == [b"refs"] * 3
    assert counting.counts["get"] == 1


def test_a_store_that_tells_no_digest_or_says_something_else_in_its_place_is_asked_each_time(
    request: pytest.FixtureRequest,
) -> None:
    store = _store(request.node.name, {"attempts/a/refs.json": b"refs"})
    counting, cache = CountingStore(store), FakeCache()
    records, stat = Records(counting, cache), _stat(store, "attempts/a/refs.json")

    for md5 in (None, "0" * 32):
        said = ObjectStat(stat.key, stat.size, stat.modified, md5)
        assert [records.read(said) for _ in range(2)] == [b"refs"] * 2
    assert counting.counts["get"] == 4
    assert not cache.kept


def test_a_record_that_is_gone_and_kept_nowhere_is_missing(request: pytest.FixtureRequest) -> None:
    store = _store(request.node.name, {"attempts/a/refs.json": b"refs"})
    stat = _stat(store, "attempts/a/refs.json")
    store.remove(stat.key)

    with pytest.raises(NotFoundError):
        Records(store, FakeCache()).read(stat)
