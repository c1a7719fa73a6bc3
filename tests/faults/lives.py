"""Processes that fail, die and come back: every scenario can be hurt at any store call, in any life."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from tests.builders.worlds import World
from tests.fakes.gated import Call, GatedStore
from tests.invariants import Expected, check_invariants, check_settled

from sealrun.domain.errors import OutcomeUnknownError, UnavailableError
from sealrun.ports import Store

T = TypeVar("T")
_MOST_LIVES = 6
_TWO_DAYS_S = 2 * 24 * 3600.0


class CrashError(BaseException):
    """The process is gone: nothing catches it, and every later call of the same life raises it again."""


class Mode(Enum):
    """How a call is hurt."""

    FAIL = "the store is unavailable for one call"
    LOST = "the call is carried out, its answer is lost"
    OUTAGE = "the store is unavailable from here on"
    LOST_THEN_OUTAGE = "the call is carried out, its answer is lost, and the store is unavailable from here on"
    CRASH = "the process dies before the call"
    CRASH_AFTER = "the process dies when the call was carried out"
    LATE = "the process dies, and the call is carried out a little later, in the next life"


_ONLY_WRITES = {Mode.LOST, Mode.LOST_THEN_OUTAGE, Mode.CRASH_AFTER, Mode.LATE}
_LATE_AFTER = 7
Hurt = Mapping[int, Mode]


class LateWrite(NamedTuple):
    """A request that is still on its way when its sender is dead."""

    due: int
    act: Callable[[], object]


class Wire:
    """A gate for one life: counts calls, and hurts the chosen ones."""

    def __init__(self, hurt: Hurt, late: Sequence[LateWrite] = (), watch: Callable[[], None] | None = None) -> None:
        self.calls: list[Call] = []
        self.late: list[LateWrite] = []
        self._arriving = list(late)
        self._hurt = hurt
        self._dead = False
        self._out = False
        self._watch = watch

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        if self._dead:
            raise CrashError
        if self._out:
            raise _silence(call, sent=False)
        number = len(self.calls)
        self.calls.append(call)
        self._deliver(number)
        mode = self._hurt.get(number)
        if mode is not None:
            self._strike(mode, call, act)
        answer = act()
        if self._watch is not None and call.writes:
            self._watch()
        return answer

    def flush(self) -> None:
        """Let everything arrive that is still on its way."""
        for write in self._arriving:
            write.act()
        self._arriving.clear()

    def _deliver(self, number: int) -> None:
        for write in [write for write in self._arriving if write.due <= number]:
            write.act()
            self._arriving.remove(write)

    def _strike(self, mode: Mode, call: Call, act: Callable[[], object]) -> None:
        if mode in {Mode.LOST, Mode.LOST_THEN_OUTAGE, Mode.CRASH_AFTER}:
            act()
        if mode is Mode.LATE:
            self.late.append(LateWrite(_LATE_AFTER, act))
        if mode in {Mode.CRASH, Mode.CRASH_AFTER, Mode.LATE}:
            self._dead = True
            raise CrashError
        self._out = mode in {Mode.OUTAGE, Mode.LOST_THEN_OUTAGE}
        raise _silence(call, sent=mode in {Mode.LOST, Mode.LOST_THEN_OUTAGE})


def _silence(call: Call, *, sent: bool) -> Exception:
    if sent and call.op == "create":
        return OutcomeUnknownError(f"{call.key}: no answer")
    return UnavailableError(f"{call.key}: unavailable")


class Scenario(Protocol):
    """Work of one process that is hurt, and the peaceful world around it.

    It may say in `PACKS` how small files are packed, and in `STAGES` that the store has a stage.
    """

    def prepare(self, world: World) -> None:
        """What happened before."""
        ...

    def act(self, world: World, store: Store) -> None:
        """The work. Called again, as by a restarted process, until it returns."""
        ...

    def finish(self, world: World) -> None:
        """What happens afterwards."""
        ...

    def expect(self, world: World, /) -> tuple[list[Expected], dict[str, str]]:
        """Runs and pointers that must be there in the end."""
        ...


def _world_of(scenario: Scenario) -> World:
    return World(packs=getattr(scenario, "PACKS", None), stages=getattr(scenario, "STAGES", False))


def good_calls(scenario: Scenario) -> list[Call]:
    """The store calls of the work when nothing goes wrong; invariants are checked after every write."""
    world = _world_of(scenario)
    scenario.prepare(world)
    wire = Wire({}, watch=lambda: check_invariants(world.store))
    scenario.act(world, GatedStore(world.store, wire))
    _conclude(scenario, world)
    return wire.calls


def live_through(scenario: Scenario, lives: Sequence[Hurt]) -> list[list[Call]]:
    """Hurt one life after the other, then let the work end in peace; check at every death and at the end.

    Returns the calls of each life.
    """
    world = _world_of(scenario)
    scenario.prepare(world)
    told: list[list[Call]] = []
    late: list[LateWrite] = []
    for life in range(_MOST_LIVES):
        wire = Wire(lives[life] if life < len(lives) else {}, late)
        try:
            scenario.act(world, GatedStore(world.store, wire))
        except (CrashError, UnavailableError, OutcomeUnknownError):
            check_invariants(world.store)
            told.append(wire.calls)
            late = wire.late
            continue
        told.append(wire.calls)
        wire.flush()
        check_invariants(world.store)
        _conclude(scenario, world)
        return told
    raise AssertionError(f"not done after {_MOST_LIVES} lives")


def _conclude(scenario: Scenario, world: World) -> None:
    scenario.finish(world)
    world.clock.advance(_TWO_DAYS_S)
    world.machine("sweeper").recover()
    runs, pointers = scenario.expect(world)
    check_settled(world.store, runs, pointers=pointers)


def cases(calls: Sequence[Call], modes: Sequence[Mode] = tuple(Mode)) -> list[tuple[int, Mode]]:
    """Every way of hurting one of `calls`: what only differs for writes is not tried on reads.

    A projection that arrives late cannot be told from a new one, so nothing is promised of it.
    """
    return [
        (number, mode)
        for number, call in enumerate(calls)
        for mode in modes
        if (call.writes or mode not in _ONLY_WRITES) and not (mode is Mode.LATE and call.op in {"replace", "copy"})
    ]
