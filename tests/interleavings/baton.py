"""A deterministic scheduler: ordinary service code in real threads, one running at a time, switched at store calls."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple, Protocol, TypeVar

from tests.builders.worlds import World
from tests.deletions import check_past
from tests.fakes.gated import Call, GatedStore
from tests.invariants import check_invariants

from sealrun.ports import Store

T = TypeVar("T")
Task = Callable[[Store], object]


class Play(Protocol):
    """A small world in which several do their work at the same time."""

    world: World
    page: int | None

    def tasks(self) -> Mapping[str, Task]:
        """Who does what; each gets a store whose calls are scheduled."""
        ...

    def conclude(self, results: Mapping[str, object], /) -> None:
        """Check what everybody returned, let stragglers finish, check the end."""
        ...


class _StoppedError(BaseException):
    """The play is over before its end."""


class Step(NamedTuple):
    """One decision: who could have gone on, with which call, and who did."""

    options: Mapping[str, Call]
    before: str | None
    chosen: str


Choose = Callable[[int, Mapping[str, Call], "str | None"], str]


class Baton:
    """Runs the tasks of one play; whoever holds the baton makes one store call."""

    def __init__(self, play: Play, choose: Choose, seen: set[int]) -> None:
        self.steps: list[Step] = []
        self._play = play
        self._choose = choose
        self._seen = seen
        self._back = threading.Semaphore(0)
        self._go: dict[str, threading.Semaphore] = {}
        self._next: dict[str, Call] = {}
        self._results: dict[str, object] = {}
        self._failures: list[BaseException] = []
        self._stopped = False

    def run(self) -> dict[str, object]:
        """Play to the end and return what each task returned; whatever a task raises is raised here."""
        threads = []
        for name, task in self._play.tasks().items():
            self._go[name] = threading.Semaphore(0)
            threads.append(threading.Thread(target=self._work, args=(name, task), name=name, daemon=True))
            threads[-1].start()
            self._back.acquire()  # it runs up to its first call
        try:
            self._play_on()
        finally:
            self._stopped = True
            for go in self._go.values():
                go.release()
            for thread in threads:
                thread.join()
        return self._results

    def _play_on(self) -> None:
        before: str | None = None
        while self._next and not self._failures:
            options = dict(self._next)
            chosen = self._choose(len(self.steps), options, before if before in options else None)
            self.steps.append(Step(options, before if before in options else None, chosen))
            call = self._next.pop(chosen)
            self._go[chosen].release()
            self._back.acquire()
            before = chosen
            if call.writes and not self._failures:
                self._check()
        if self._failures:
            raise self._failures[0]

    def _check(self) -> None:
        """Check the invariants unless this very state was checked before, in this schedule or another."""
        state = hash(frozenset(self._play.world.store.bodies.items()))
        if state not in self._seen:
            self._seen.add(state)
            check_invariants(self._play.world.store)

    def _work(self, name: str, task: Task) -> None:
        try:
            self._results[name] = task(GatedStore(self._play.world.store, self._gate_of(name), self._play.page))
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that runs the play
            self._failures.append(error)
        self._back.release()

    def _gate_of(self, name: str) -> _TaskGate:
        return _TaskGate(self, name)

    def await_turn(self, name: str, call: Call) -> None:
        """Hand the baton back and wait for the next turn."""
        if self._stopped:
            raise _StoppedError
        self._next[name] = call
        self._back.release()
        self._go[name].acquire()
        if self._stopped:
            raise _StoppedError


class _TaskGate:
    """The gate of one task."""

    def __init__(self, baton: Baton, name: str) -> None:
        self._baton = baton
        self._name = name

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        self._baton.await_turn(self._name, call)
        return act()


class _Conflicts:
    """Which calls can matter to somebody else: switching before any other call is like switching a little later."""

    def __init__(self) -> None:
        self._calls: dict[str, set[Call]] = {}
        self._known: dict[tuple[str, Call], bool] = {}

    def learn(self, steps: Sequence[Step]) -> bool:
        """Take note of who made which calls; tell whether that was news."""
        news = False
        for step in steps:
            call, mine = step.options[step.chosen], self._calls.setdefault(step.chosen, set())
            if call not in mine:
                mine.add(call)
                news = True
        if news:
            self._known.clear()
        return news

    def matters(self, name: str, call: Call) -> bool:
        """Tell whether `call` of `name` conflicts with any call anybody else was ever seen to make."""
        if (name, call) not in self._known:
            self._known[name, call] = any(
                _conflict(call, other) for task, calls in self._calls.items() if task != name for other in calls
            )
        return self._known[name, call]


def _conflict(one: Call, other: Call) -> bool:
    if not one.writes and not other.writes:
        return False
    return one.key == other.key or _covers(one, other) or _covers(other, one)


def _covers(listing: Call, other: Call) -> bool:
    return listing.op.startswith("list") and other.key.startswith(listing.key)


def explore(make: Callable[[], Play], preemptions: int) -> int:
    """Play every schedule with at most that many preemptions (switches away from somebody who could go on).

    Switches are tried where they can matter; what can matter is learnt on the way, and everything is played again
    until nothing new is learnt. The first switch is also tried before every write, since the invariants, which are
    checked after each, look at everything. Returns the number of schedules; the first that breaks anything is raised.
    """
    conflicts, seen, played, allowed = _Conflicts(), set[int](), 0, 0
    while True:
        news = False
        todo: list[tuple[list[str], int]] = [([], allowed)]
        while todo:
            prefix, left = todo.pop()
            steps = _play(make(), _following(prefix), seen)
            played += 1
            news |= conflicts.learn(steps)
            todo += _branches(steps, len(prefix), left, conflicts, fresh=left == allowed)
        if not news and allowed == preemptions:
            return played
        allowed += not news  # learn from the short explorations before the long one


def sample(make: Callable[[], Play], seed: int, times: int) -> None:
    """Play `times` random schedules: at every call anybody may be next."""
    seen: set[int] = set()
    for number in range(times):
        dice = random.Random(seed * 1_000_003 + number)
        haste = dice.choice([0.1, 0.3, 0.6])

        def choose(
            _step: int,
            options: Mapping[str, Call],
            before: str | None,
            dice: random.Random = dice,
            haste: float = haste,
        ) -> str:
            if before is not None and dice.random() > haste:
                return before
            return dice.choice(sorted(options))

        try:
            _play(make(), choose, seen)
        except BaseException as error:
            error.add_note(f"random schedule {number} of seed {seed}")
            raise


def _following(prefix: Sequence[str]) -> Choose:
    def choose(step: int, options: Mapping[str, Call], before: str | None) -> str:
        return prefix[step] if step < len(prefix) else before or min(options)

    return choose


def _branches(
    steps: Sequence[Step], start: int, left: int, conflicts: _Conflicts, *, fresh: bool
) -> list[tuple[list[str], int]]:
    found = []
    for number in range(start, len(steps)):
        step = steps[number]
        forced = step.before is not None
        if step.before is not None:
            call = step.options[step.before]
            if not left or not (conflicts.matters(step.before, call) or (fresh and call.writes)):
                continue
        taken = [earlier.chosen for earlier in steps[:number]]
        found += [([*taken, name], left - forced) for name in step.options if name != step.chosen]
    return found


def _play(play: Play, choose: Choose, seen: set[int]) -> list[Step]:
    baton = Baton(play, choose, seen)
    try:
        results = baton.run()
        check_past(play.world.store)
        end = hash((frozenset(play.world.store.bodies.items()), repr(sorted(results.items(), key=itemgetter(0)))))
        if end not in seen:
            seen.add(end)  # what follows depends on nothing else: the clock stands still
            play.conclude(results)
    except BaseException as error:
        error.add_note("schedule: " + _told(baton.steps))
        raise
    return baton.steps


def _told(steps: Sequence[Step]) -> str:
    lines, last = [], None
    for step in steps:
        call = step.options[step.chosen]
        lines.append(("\n" if step.chosen != last else "") + f"{step.chosen}: {call.op} {call.key[-60:]}")
        last = step.chosen
    return "\n".join(lines)
