"""What was made from a run: found by asking every run once, some at a time."""

from __future__ import annotations

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.builders.worlds import World

from sealrun.domain.address import Key, run_key
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.services.oversight.descendants import Descendants
from sealrun.services.oversight.run_lists import RunLists


def published(world: World, name: str, made_from: str | None = None) -> str:
    """Publish a run that says what it was made from; return its reference."""
    run, sources = a_run({"a": name.encode()}, name=name, run_id=name)
    done = world.machine("m").publish(run, sources)
    if made_from is not None:
        key = run_key("train", name, RUN_FILE)
        said = msgspec.structs.replace(Envelope.decode(world.store.bodies[key], key), producer={"inputs": [made_from]})
        world.store.bodies[key] = said.encode()
    return done.ref


def test_runs_are_asked_some_at_a_time_and_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    source = published(world, "a-source")
    made = [published(world, f"made-{number}", source) for number in range(3)]
    lists = RunLists(world.reader(), world.clock)
    asked: list[str] = []
    inner = world.store.read

    def read(key: Key, offset: int = 0, length: int | None = None) -> bytes:
        asked.append(key)
        return inner(key, offset, length)

    monkeypatch.setattr(world.store, "read", read)
    descendants = Descendants(world.store, most=2)
    rows = lists.all()
    asked.clear()
    found, searched = descendants.of([source], rows)
    assert (searched, len(found), len(asked)) == (2, 2, 2)
    found, searched = descendants.of([source], rows)
    assert (searched, sorted(ref for ref, _ in found), len(asked)) == (4, sorted(made), 4)
    assert {role for _, role in found} == {"input"}
    assert descendants.of([source], rows) == (found, 4)
    assert len(asked) == 4
    assert descendants.of([made[0]], rows) == ([], 4)


def test_a_run_that_is_not_listed_any_more_is_no_descendant() -> None:
    world = World()
    source = published(world, "a-source")
    published(world, "made", source)
    rows = RunLists(world.reader(), world.clock).all()
    descendants = Descendants(world.store)
    assert len(descendants.of([source], rows)[0]) == 1
    assert descendants.of([source], [each for each in rows if each[1].run_id == "a-source"])[0] == []
