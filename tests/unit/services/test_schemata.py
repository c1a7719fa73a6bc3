"""Schemas of users: kept write-once, side by side, and never changed in place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.builders.worlds import World
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.fakes.store import ModelStore

from sealrun.adapters.content.json_schema import JsonSchemaLanguage
from sealrun.domain.address import Key
from sealrun.domain.errors import ConfigurationError, ConflictError, IntegrityError, NotFoundError, UsageError
from sealrun.domain.schemas.user import schema_key
from sealrun.services.curation.schemata import Schemata

V1 = {"type": "object", "required": ["run_id"]}
V2 = {"type": "object", "required": ["run_id", "status"]}
LANGUAGE = JsonSchemaLanguage()
T = TypeVar("T")


def schemata(store: ModelStore, seed: int = 1) -> Schemata:
    return Schemata(store, FakeClock(), FakeEntropy(seed))


def test_two_versions_stand_side_by_side_and_the_first_is_what_it_was() -> None:
    store = World().store
    known = schemata(store)
    first = known.add("run-registry", "0.1", V1, LANGUAGE, "ana")
    before = dict(store.bodies)
    known.add("run-registry", "0.2", V2, LANGUAGE, "ana")
    assert store.bodies.items() >= before.items()
    assert [schema.id for schema in known.all("run-registry")] == ["run-registry/0.1", "run-registry/0.2"]
    assert known.read("run-registry/0.1") == first
    assert known.read("run-registry/0.2").schema == V2


def test_a_version_is_never_changed_and_adding_it_again_is_harmless() -> None:
    store = World().store
    first = schemata(store).add("r", "1", V1, LANGUAGE, "ana")
    before = dict(store.bodies)
    assert schemata(store, 2).add("r", "1", dict(reversed(V1.items())), LANGUAGE, "bob") == first
    with pytest.raises(ConflictError, match="never changed"):
        schemata(store, 2).add("r", "1", V2, LANGUAGE, "bob")
    assert store.bodies == before


def test_of_two_that_add_different_schemas_at_once_one_wins() -> None:
    store = World().store
    late = schemata(store, 2)
    original = store.read

    def read(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        try:
            return original(key, offset, length)
        except NotFoundError:
            if not store.bodies:  # the other one comes between the look and the creation
                schemata(store, 1)._certainty.create(key, schema_body(store, key))
            raise

    def schema_body(_store: ModelStore, key: Key) -> bytes:
        other = World().store
        schemata(other, 1).add("r", "1", V1, LANGUAGE, "ana")
        return other.bodies[key]

    store.read = read  # type: ignore[method-assign] # one race, by hand
    with pytest.raises(ConflictError, match="by ana"):
        late.add("r", "1", V2, LANGUAGE, "bob")


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "nonsense"},
        {"$ref": "https://example.org/x.json"},
        {"properties": {"a": {"$ref": "other.json#/x"}}},
        {"$schema": "https://example.org/other"},
        {"$ref": "#"},
        {"$schema": 7},
        {"required": "run_id"},
        {"pattern": "("},
        {"$ref": "#/$defs/nowhere"},
    ],
)
def test_what_is_no_schema_is_not_kept(broken: dict[str, object]) -> None:
    store = World().store
    with pytest.raises(UsageError, match=r"r/1|not in it|without end"):
        schemata(store).add("r", "1", broken, LANGUAGE, "ana")
    assert store.bodies == {}


def test_a_schema_that_was_tampered_with_is_refused() -> None:
    store = World().store
    schemata(store).add("r", "1", V1, LANGUAGE, "ana")
    key = schema_key("r", "1")
    store.bodies[key] = store.bodies[key].replace(b"run_id", b"runnid")
    with pytest.raises(IntegrityError, match="not the one that was added"):
        schemata(store).read("r/1")


def test_without_the_library_that_is_said_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store = World().store
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    monkeypatch.setitem(sys.modules, "jsonschema.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"sealrun\[schemas\]"):
        schemata(store).add("r", "1", V1, LANGUAGE, "ana")
    assert store.bodies == {}


def test_one_that_is_not_there_names_the_versions_that_are() -> None:
    store = World().store
    schemata(store).add("r", "1", V1, LANGUAGE, "ana")
    with pytest.raises(NotFoundError, match="versions of r: 1"):
        schemata(store).read("r/2")
    for wrong in ("r", "r/..", "../r/1", "r/a b"):
        with pytest.raises(UsageError):
            schemata(store).read(wrong)


def test_a_schema_may_be_of_an_older_dialect_that_is_known() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]}
    assert schemata(World().store).add("r", "1", old, LANGUAGE, "ana").schema == old
    assert LANGUAGE.checker(old)([1]) == []
    assert LANGUAGE.checker(old)(["x"]) != []


def test_what_conforms_is_told_from_what_does_not() -> None:
    problems = LANGUAGE.checker(V1)
    assert problems({"run_id": "r"}) == []
    assert "run_id" in problems({})[0]


@pytest.mark.parametrize("applied", [False, True])
def test_whoever_dies_while_adding_leaves_the_schema_or_nothing(applied: bool) -> None:  # noqa: FBT001 - a parameter
    calls = 0
    while True:
        store = World().store
        gate = _Dying(calls, applied=applied)
        try:
            Schemata(GatedStore(store, gate), FakeClock(), FakeEntropy(1)).add("r", "1", V1, LANGUAGE, "ana")
        except _DiedError:
            assert set(store.bodies) <= {schema_key("r", "1")}
            assert schemata(store, 2).add("r", "1", V1, LANGUAGE, "ana").schema == V1
            calls += 1
            continue
        break
    assert calls >= 2


class _DiedError(Exception):
    """The process died."""


class _Dying:
    """Lets some calls through; at the next one, which may or may not be applied, the process dies."""

    def __init__(self, calls: int, *, applied: bool) -> None:
        self._left = calls
        self._applied = applied

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        self._left -= 1
        if self._left >= 0:
            return act()
        if self._applied and call.writes:
            act()
        raise _DiedError
