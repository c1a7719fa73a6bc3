"""What is asked for over HTTP is done by the services that the commands use, and recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sealrun.adapters.machine.clock import SystemClock
from sealrun.bootstrap.daemon.acting import Actor
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.curation.gating import Gate
from sealrun.domain.errors import NotFoundError, RequirementError, SealrunError, UsageError
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.delivery.pausing import paused_registry, paused_watch

CLOCK = SystemClock()


class Line:
    """A delivery line, as far as an actor needs one."""

    def __init__(self, registry: str) -> None:
        self.registry = registry
        self.woken = threading.Event()

    def wake(self) -> None:
        self.woken.set()


class Intake:
    """An intake, as far as an actor needs one."""

    def __init__(self, watch: WatchSpec) -> None:
        self.watch = watch
        self.marked: list[str | None] = []

    def mark(self, path: str | None) -> None:
        self.marked.append(path)


class Running:
    """What runs, as far as an actor needs it."""

    def __init__(self, watches: tuple[WatchSpec, ...]) -> None:
        self.lines = [Line("main"), Line("cold")]
        self.intakes = [Intake(watch) for watch in watches]


class House:
    """Two directory registries, two watches, an actor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registries = {name: RegistrySpec(name=name, url=str(folder / name)) for name in ("main", "cold")}
        self.watches = tuple(
            WatchSpec(name=name, path=str(folder / name), experiment="e", registries=("main",)) for name in ("a", "b")
        )
        self.gates: Mapping[str, Gate] = {}
        self.running = Running(self.watches)
        self.parts = self.open_parts()
        self.actor = Actor(self.parts.journal, CLOCK, lambda: self.running, self.open_parts)  # type: ignore[arg-type,return-value] # as far as it needs it

    def open_parts(self) -> Parts:
        return Parts(self.folder / "state", self.registries, self.watches, gates=self.gates)

    def publish(self, number: int) -> tuple[str, str, str]:
        run = self.folder / f"run-{number}"
        (run / ".sealrun").mkdir(parents=True)
        (run / "model.bin").write_bytes(bytes([number]) * 100)
        finished = f"2026-01-0{number}T00:00:00Z"
        (run / ".sealrun/done.json").write_text(f'{{"finished_at": "{finished}", "status": "success"}}')
        ref = self.parts.producer.publish(str(run), "e").ref
        return ("main", *ref.partition("/")[::2])

    def events(self) -> list[Mapping[str, Any]]:
        kinds = ("action.", "registry.paused", "registry.resumed", "watch.paused", "watch.resumed")
        found = self.parts.journal.events.recent(100)
        return [event for event in reversed(found) if str(event["kind"]).startswith(kinds)]

    def stands(self, pointer: str) -> str:
        return self.parts.consumer().show(f"e@{pointer}").target.run_id


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with house.parts:
        yield house


def test_a_registry_is_paused_and_resumed_and_its_line_is_woken(house: House) -> None:
    said = house.actor.pause("registry", "main", {"reason": "moving", "for": "2h", "csrf": "x"})
    assert said.startswith("registry main is paused until ")
    found = paused_registry(house.parts.journal.facts, "main", CLOCK.now())
    assert found is not None
    assert found.reason == "moving (http)"
    assert house.actor.resume("registry", "main") == "registry main goes on"
    assert house.actor.resume("registry", "main") == "registry main was not paused"
    assert paused_registry(house.parts.journal.facts, "main", CLOCK.now()) is None
    assert [line.woken.is_set() for line in house.running.lines] == [True, False]
    assert [(event["kind"], event["by"]) for event in house.events()] == [
        ("registry.paused", "http"),
        ("registry.resumed", "http"),
    ]


def test_a_watch_is_paused_resumed_and_looked_at_anew(house: House) -> None:
    house.actor.pause("watch", "a", {})
    assert paused_watch(house.parts.journal.facts, "a", CLOCK.now()) is not None
    house.actor.resume("watch", "a")
    house.actor.rescan("b")
    assert [intake.marked for intake in house.running.intakes] == [[None], [None]]
    assert [event["kind"] for event in house.events()] == ["watch.paused", "watch.resumed", "action.rescan"]


def test_deliveries_are_tried_again(house: House) -> None:
    assert house.actor.retry("cold") == "0 deliveries to cold are tried again now"
    assert [line.woken.is_set() for line in house.running.lines] == [False, True]
    (event,) = house.events()
    assert (event["kind"], event["registry"], event["deliveries"], event["by"]) == ("action.retry", "cold", 0, "http")


def test_a_pointer_is_moved_and_moved_back(house: House) -> None:
    first, second = house.publish(1), house.publish(2)
    house.actor.promote(first, {"pointer": "active"})
    said = house.actor.promote(second, {"pointer": "active", "reason": "better"})
    assert said == f"e@active stands on e/{second[2]}"
    assert house.stands("active") == second[2]
    newest, *_ = house.parts.consumer().pointer_history("e", "active")
    assert newest.to_json()["why"] == "better"
    house.actor.roll_back("main", "e", "active", {})
    assert house.stands("active") == first[2]
    house.actor.roll_back("main", "e", "active", {"to": "2"})
    assert house.stands("active") == second[2]
    events = house.events()
    assert [event["kind"] for event in events] == ["action.promote"] * 2 + ["action.rollback"] * 2
    assert {event["by"] for event in events} == {"http"}


def test_what_the_settings_require_of_a_pointer_is_required_over_http_too(house: House) -> None:
    first = house.publish(1)
    house.gates = {"active": Gate(require=("checks",))}
    with pytest.raises(RequirementError):
        house.actor.promote(first, {"pointer": "active"})
    assert house.events() == []


def test_a_run_is_pinned_unpinned_and_brought_back(house: House) -> None:
    run = house.publish(1)
    house.publish(2)
    assert "is pinned until " in house.actor.pin(run, {"reason": "paper", "expires": "30d"})
    (pin,) = house.parts.keeper(dry_run=True).pins()
    assert (pin.run_id, pin.why) == (run[2], "paper")
    house.actor.pin(run, {"expires": "2126-01-01"})
    assert house.actor.unpin(run, {}) == f"2 pins of e/{run[2]} are lifted"
    keeper = house.parts.keeper()
    keeper.retire(keeper.plan_runs([f"e/{run[2]}"], "test"))
    assert house.actor.undo(run) == f"e/{run[2]} is back"
    assert house.actor.undo(run) == f"e/{run[2]} stands already"
    assert [event["kind"] for event in house.events()] == [
        *("action.pin", "action.pin", "action.unpin", "action.undo", "action.undo"),
    ]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("pause", ("registry", "mian", {})),
        ("pause", ("watch", "main", {})),
        ("resume", ("registry", "a")),
        ("retry", ("nowhere",)),
        ("rescan", ("main",)),
        ("promote", (("nowhere", "e", "r"), {"pointer": "active"})),
        ("promote", (("/etc", "e", "r"), {"pointer": "active"})),
        ("roll_back", ("http://evil.example", "e", "active", {})),
        ("pin", (("../main", "e", "r"), {})),
    ],
)
def test_only_what_the_settings_name_can_be_named(house: House, verb: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(NotFoundError, match="there is no"):
        getattr(house.actor, verb)(*arguments)
    assert house.events() == []


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("pause", ("registry", "main", {"for": "soon"})),
        ("pause", ("registry", "main", {"for": "0s"})),
        ("promote", (("main", "e", "r"), {})),
        ("promote", (("main", "e", "no-such-run"), {"pointer": "active"})),
        ("promote", (("main", "../e", "r"), {"pointer": "active"})),
        ("promote", (("main", "e", "r"), {"pointer": "../../x"})),
        ("roll_back", ("main", "e", "active", {"to": "minus one"})),
        ("roll_back", ("main", "e", "active", {"to": "0"})),
        ("roll_back", ("main", "e", "no-such-pointer", {})),
        ("pin", (("main", "e", "run"), {"expires": "yesterday"})),
        ("pin", (("main", "e", "no-such-run"), {})),
        ("undo", (("main", "e", "no-such-run"),)),
    ],
)
def test_a_field_or_a_name_that_cannot_be_right_is_refused_and_nothing_is_recorded(
    house: House, verb: str, arguments: tuple[Any, ...]
) -> None:
    house.publish(1)
    with pytest.raises((UsageError, NotFoundError)) as caught:
        getattr(house.actor, verb)(*arguments)
    assert isinstance(caught.value, SealrunError)
    assert house.events() == []
