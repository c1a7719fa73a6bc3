"""Anybody does anything to one registry, at any time and in any order: every promise holds after every step.

Three machines, each with a clock that is wrong by up to two days, publish, retire, undo, pin, move pointers, recover
and collect; each of these may be suspended between any two calls of the store and go on hours later, or die. Requests
are delivered twice, bytes rot. In some histories small files are packed, and in some every attempt that stands is
trusted to have what it sealed. ``SEALRUN_TEST_EXAMPLES`` says how many such histories are tried, at random then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.builders.runs import BytesSource
from tests.builders.worlds import EVERYTHING_PACKED, REGISTRY_ID, Machine, World
from tests.fakes.store import Kind, kind_of
from tests.faults.scenarios import Planned, planned
from tests.invariants import check_invariants, check_no_loss, unused_objects
from tests.stateful.expectations import Deed, Expectations, State
from tests.stateful.lives import HowFar, KilledError, Life, Moment, View

import sealrun.services.publication.reusing
from sealrun.domain.address import Digest, Key, outcome_key, parse_object_key
from sealrun.domain.errors import CollectionRefusedError, ConflictError, IntegrityError, NotFoundError, UsageError
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import Outcome, Stored
from sealrun.ports import Remover, Store
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import Retirer
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.mending.verifying import Verifier

_EXAMPLES = os.environ.get("SEALRUN_TEST_EXAMPLES")
_DAY_S = 24 * 3600.0
_RUNS = [
    planned({"a": b"1", "b": b"2", "own": b"own 0"}, name="r0", finished_at="2026-01-11T10:00:00Z"),
    planned({"a": b"1", "own": b"own 1"}, name="r1", finished_at="2026-01-12T10:00:00Z"),
    planned({"b": b"2", "own": b"own 2"}, name="r2", finished_at="2026-01-13T10:00:00Z"),
    planned({"c": b"3", "e": b"5"}, name="r3", finished_at="2026-01-14T10:00:00Z", publish_names={"c": "c"}),
    planned({"d": b"4"}, name="r4", finished_at="2026-01-15T10:00:00Z"),
]
_PEACEFUL = CollectionPolicy(max_delete_ratio=1.0)
_PACKS = [None, EVERYTHING_PACKED, PackOptions(below=5, size=400, least=1)]

machines = st.integers(0, 2)
runs = st.sampled_from([0, 1, 2, 0, 1, 2, 3, 4])
"""The last two are ``latest`` and a published name, and so are rarely retired."""
pointers = st.just("best")
_MOMENTS = [
    Moment("list", "gc/condemned/"),
    Moment("put_many", "store/"),
    Moment("create", "outcome.json"),
    Moment("create", "retired.json"),
    Moment("create", "gc/condemned/"),
    Moment("create", "verdict.json"),
    Moment("delete", "store/"),
    Moment("delete", "gc/condemned/"),
    Moment("discard", "intent.json"),
]
how_far: st.SearchStrategy[HowFar] = st.one_of(st.none(), st.none(), st.sampled_from(_MOMENTS), st.integers(0, 40))
"""When a process is suspended. None: never."""
policies = st.builds(
    CollectionPolicy,
    grace_s=st.sampled_from([0.0, 0.0, 0.0, 3600.0, _DAY_S]),
    max_delete_ratio=st.sampled_from([0.5, 1.0, 1.0, 1.0]),
    batch=st.sampled_from([1, 2, 50_000]),
    abandoned_s=st.sampled_from([0.0, 3600.0]),
)


class _Going(msgspec.Struct, eq=False):
    """A process that has not ended, and what is to be noted when it has."""

    life: Life
    what: str
    conclude: Callable[[Life], None]
    publishes: tuple[int, int] | None = None


class RegistryMachine(RuleBasedStateMachine):
    """One registry and everybody who uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.machines: list[Machine] = []
        self.going: list[_Going] = []
        self.expected = Expectations()
        self.rotten: dict[str, bytes] = {}
        self.patch = pytest.MonkeyPatch()

    @initialize(
        skews=st.lists(st.integers(-48, 48), min_size=3, max_size=3),
        packs=st.sampled_from(_PACKS),
        asked=st.sampled_from([0, 3]),
    )
    def clocks_are_wrong(self, skews: list[int], packs: PackOptions | None, asked: int) -> None:
        self.world.packs = packs
        self.patch.setattr(sealrun.services.publication.reusing, "_ASKED_PER_ATTEMPT", asked)
        self.machines = [
            Machine(View(self.world, skew * 3600.0), f"machine-{number}") for number, skew in enumerate(skews)
        ]
        for run in range(len(_RUNS)):
            self.publish(0, run, None)
        for number in (0, 4):
            self.machines[1].move("/".join(_key(number)), "best")

    # ------------------------------------------------------------ time and accidents

    @rule(hours=st.sampled_from([1, 2, 30, 80]))
    def time_passes(self, hours: int) -> None:
        self.world.clock.advance(hours * 3600.0)

    @precondition(lambda self: self.going)
    @rule(number=st.integers(0, 99), until=how_far, dies=st.sampled_from([False, False, False, True]))
    def a_suspended_process_goes_on_or_dies(self, number: int, until: HowFar, dies: bool) -> None:  # noqa: FBT001 - drawn
        going = self.going[number % len(self.going)]
        if not dies:
            self._let(going, until)
            return
        self.going.remove(going)
        going.life.kill()
        going.conclude(going.life)

    @rule(number=st.integers(0, 999))
    def an_upload_is_delivered_again(self, number: int) -> None:
        """Not one whose key was swept after its attempt was sealed: nothing repeats an acknowledged upload so late."""
        store = self.world.store
        keys = [
            key
            for key in store.history
            if kind_of(key) is Kind.OBJECT and (key in store.bodies or not self._is_sealed(key))
        ]
        if keys:
            key = Key(keys[number % len(keys)])
            store.put_many([(key, BytesSource(store.history[key]))])

    @rule(number=st.integers(0, 999))
    def a_delete_is_delivered_again(self, number: int) -> None:
        store = self.world.store
        deleted = [change.key for change in store.log if not change.written and kind_of(change.key) is Kind.OBJECT]
        if deleted:
            store.delete([Key(deleted[number % len(deleted)])])

    @precondition(lambda self: not self.rotten)
    @rule(number=st.integers(0, 999))
    def bytes_rot(self, number: int) -> None:
        store = self.world.store
        keys = [key for key in store.bodies if kind_of(key) is Kind.OBJECT]
        if keys:
            key = keys[number % len(keys)]
            self.rotten[key] = store.bodies[key]
            store.damage(key, bytes(len(store.bodies[key])))

    # ------------------------------------------------------------ everybody's work

    @rule(machine=machines, run=runs, until=how_far)
    def publish(self, machine: int, run: int, until: HowFar) -> None:
        if any(going.publishes == (machine, run) for going in self.going):
            return  # a journal lets one process at a time deliver a run
        who, what = self.machines[machine], _RUNS[run]
        delivery = who.deliveries.get(what.run)
        if delivery is not None and delivery.published is not None:
            delivery.ticket = delivery.published = None
        goes_on = delivery is not None and delivery.ticket is not None
        certain = not goes_on or self.expected.of(run) == "live"
        self._do(
            "publish",
            lambda store: who.publish(what.run, what.sources, store),
            until,
            deed=(run, "live"),
            certain=certain,
            publishes=(machine, run),
        )

    @rule(machine=machines, run=runs, until=how_far)
    def retire(self, machine: int, run: int, until: HowFar) -> None:
        who = self.machines[machine]

        def work(store: Store) -> bool:
            retirer = Retirer(store, who.world.clock, who.entropy, who.name, by=who.name)
            done = retirer.execute(retirer.plan_runs([_key(run)], "it is old"))
            return any(one.attempts and one.skipped is None for one in done)

        self._do("retire", work, until, deed=(run, "retired"), allowed=(UsageError, NotFoundError))

    @rule(machine=machines, run=runs, until=how_far)
    def undo(self, machine: int, run: int, until: HowFar) -> None:
        who = self.machines[machine]

        def work(store: Store) -> object:
            undoer = Undoer(store, REGISTRY_ID, who.hints, who.world.clock, who.entropy, who.name)
            return undoer.execute(undoer.plan(*_key(run)))

        self._do("undo", work, until, deed=(run, "live"), allowed=(NotFoundError, ConflictError))

    @rule(machine=machines, run=runs, pointer=pointers, back=st.booleans(), until=how_far)
    def move_a_pointer(self, machine: int, run: int, pointer: str, back: bool, until: HowFar) -> None:  # noqa: FBT001 - drawn
        who, ref = self.machines[machine], "/".join(_key(run))

        def roll_back(store: Store) -> object:
            mover = who.mover(store)
            return mover.execute(mover.plan_rollback("train", pointer, None, "it was better"))

        work = roll_back if back else lambda store: who.move(ref, pointer, store)
        self._do("move", work, until, allowed=(NotFoundError, UsageError))

    @rule(
        machine=machines, run=runs, what=st.sampled_from(["pin", "hold", "lift", "lift", "lift", "lift"]), until=how_far
    )
    def pin_or_unpin(self, machine: int, run: int, what: str, until: HowFar) -> None:
        who = self.machines[machine]

        def work(store: Store) -> object:
            pins = Pins(store, who.world.clock, who.entropy, who.name)
            if what == "lift":
                return pins.lift(*_key(run), "no more", holds=True)
            return pins.pin(*_key(run), "I like it", hold=what == "hold")

        self._do(what, work, until, allowed=(NotFoundError,))

    @rule(machine=machines, policy=policies, until=how_far)
    def collect(self, machine: int, policy: CollectionPolicy, until: HowFar) -> None:
        who = self.machines[machine]

        def work(store: Store) -> object:
            remover = cast("Remover", store)
            collector = Collector(store, remover, who.world.clock, who.entropy, who.name, policy)
            return collector.execute(collector.plan())

        self._do("collect", work, until, allowed=(CollectionRefusedError,))

    @rule(machine=machines, impatient=st.booleans(), until=how_far)
    def recover(self, machine: int, impatient: bool, until: HowFar) -> None:  # noqa: FBT001 - drawn
        """Impatient, it voids every attempt that is undecided, whoever is at work on it."""
        who = self.machines[machine]

        def work(store: Store) -> object:
            who.recover(store, -1.0 if impatient else _DAY_S)
            return who.compact(store=store)

        self._do("recover", work, until)

    @rule(policy=policies)
    def collect_in_the_end(self, policy: CollectionPolicy) -> None:
        """What is needed by nobody goes at once, whoever is suspended."""
        at_once = msgspec.structs.replace(policy, grace_s=0.0, max_delete_ratio=1.0)
        self.world.clock.advance(1.0)
        self.collect(2, at_once, None)

    # ------------------------------------------------------------ what must hold

    @invariant()
    def everything_holds(self) -> None:
        with self._healed():
            check_invariants(self.world.store)

    def teardown(self) -> None:
        """Let everybody finish, clear up, collect in peace: what is promised is there, and nothing else is."""
        try:
            if self.machines:
                self._conclude()
        finally:
            self.patch.undo()
            for going in self.going:
                going.life.kill()

    def _conclude(self) -> None:
        while self.going:
            self._let(self.going[0], None)
        self.everything_holds()
        janitor = Machine(self.world, "janitor")
        for _ in range(2):
            self.world.clock.advance(3 * _DAY_S)
            janitor.recover()
            collector = Collector(
                self.world.store, self.world.store, self.world.clock, janitor.entropy, "janitor", _PEACEFUL
            )
            collector.execute(collector.plan())
        self.everything_holds()
        self._check_verify()
        self._check_promises(self.world.reader())
        with self._healed():
            check_no_loss(self.world.store)
            garbage = list(unused_objects(self.world.store))
        assert not garbage, f"nobody needs {garbage}"

    def _check_promises(self, reader: Reader) -> None:
        listed = {row.run_id for row in reader.runs()}
        for number, run in enumerate(_RUNS):
            state, run_id = self.expected.of(number), run.expected.run_id
            if state != "unknown":
                assert (run_id in listed) == (state == "live"), f"{run_id} is promised to be {state}"
            if run_id in listed:
                self._read_back(reader, run)

    def _read_back(self, reader: Reader, run: Planned) -> None:
        view = reader.load(reader.resolve(f"train/{run.expected.run_id}"))
        damaged = {entry.path for entry in view.manifest.entries if view.objects[entry.sha256].key in self._damaged()}
        for entry in view.manifest.entries:
            if entry.path not in damaged:
                assert b"".join(reader.chunks(view, entry)) == run.expected.files[entry.path]
                continue
            try:
                body = b"".join(reader.chunks(view, entry))
            except IntegrityError:
                continue
            raise AssertionError(f"{entry.path} reads back as {body!r}, though it is damaged")

    def _check_verify(self) -> None:
        """Verify reports every object that rotted and that a live run uses, and nothing else."""
        reader = self.world.reader()
        used = {
            stored.key for row in reader.runs() for stored in _load(reader, f"{row.experiment}/{row.run_id}").values()
        }
        pointed = [generation for name in reader.experiments() for generation in reader.pointers(name)]
        used |= {stored.key for one in pointed for stored in reader.load(one.target).objects.values()}
        reported = {damage.key for damage in Verifier(reader).everything().damages}
        assert self._damaged() & used <= reported, f"verify reports {reported}, not {self._damaged() & used}"
        assert reported <= self._damaged()

    # ------------------------------------------------------------ how it is done

    def _do(
        self,
        what: str,
        work: Callable[[Store], object],
        until: HowFar,
        *,
        deed: tuple[int, State] | None = None,
        certain: bool = True,
        allowed: tuple[type[Exception], ...] = (),
        publishes: tuple[int, int] | None = None,
    ) -> None:
        before = self.expected.of(deed[0]) if deed else "unknown"
        doing = self.expected.begin(*deed) if deed else None
        life = Life(self.world.store, work)

        def conclude(ended: Life) -> None:
            self._note(ended, doing, before, certain=certain)
            if ended.error is not None and not isinstance(ended.error, (KilledError, *allowed)):
                raise ended.error

        self.going.append(_Going(life, what, conclude, publishes))
        self._let(self.going[-1], until)

    def _let(self, going: _Going, until: HowFar) -> None:
        if going.life.go_on(until):
            self.going.remove(going)
            going.conclude(going.life)

    def _note(self, life: Life, deed: Deed | None, before: State, *, certain: bool) -> None:
        if deed is None:
            return
        if isinstance(life.error, (KilledError, ConflictError)):
            self.expected.died(deed)
        elif life.error is not None or life.result is False:
            self.expected.dropped(deed, before)
        else:
            self.expected.done(deed, certain=certain)

    def _is_sealed(self, key: str) -> bool:
        at = outcome_key(parse_object_key(Key(key)).creator)
        body = self.world.store.bodies.get(at)
        return body is not None and Outcome.decode(body, at).decision == "sealed"

    def _damaged(self) -> set[str]:
        """Keys that hold other bytes than they should: not those that were deleted, or uploaded again, since."""
        bodies = self.world.store.bodies
        return {key for key, body in self.rotten.items() if bodies.get(key, body) != body}

    @contextmanager
    def _healed(self) -> Iterator[None]:
        """Look at the registry as if nothing had rotted."""
        damaged = {key: self.world.store.bodies[key] for key in self._damaged()}
        for key in damaged:
            self.world.store.bodies[key] = self.rotten[key]
        yield
        self.world.store.bodies.update(damaged)


def _key(run: int) -> tuple[str, str]:
    return "train", _RUNS[run].expected.run_id


def _load(reader: Reader, ref: str) -> Mapping[Digest, Stored]:
    return reader.load(reader.resolve(ref)).objects


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(
    max_examples=int(_EXAMPLES or 150),
    stateful_step_count=40,
    deadline=None,
    derandomize=_EXAMPLES is None,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
)
