"""Machines that share one registry: each with its own state folder, journal and hints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from tests.builders.runs import Sources, a_run
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.stage import MemoryStage
from tests.fakes.store import ModelStore

from sealrun.domain.address import AttemptId, Key, attempt_id, object_key, pack_key, retired_key
from sealrun.domain.errors import ConflictError
from sealrun.domain.records import sha256
from sealrun.domain.registry.packing import Digesting, PackOptions, PackWriter
from sealrun.domain.registry.pointing import Generation, Target
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Source, Stage, StagedPack, Store
from sealrun.services.access.reading import Reader
from sealrun.services.index.indexing import Index
from sealrun.services.index.moving import PointerMover
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.recovering import Found, Recovery

REGISTRY_ID = "0" * 32
_A_DAY_S = 24 * 3600.0
EVERYTHING_PACKED = PackOptions(least=1)


class World:
    """One registry and everybody who uses it. With `packs` they pack small files, all of them in the same way.

    With `stages` the store has a stage, where packs wait; without, they wait in a spool.
    """

    def __init__(self, *, links: bool = True, packs: PackOptions | None = None, stages: bool = False) -> None:
        self.clock = FakeClock()
        self.store = ModelStore(lambda: self.clock.now().timestamp(), links=links, stages=stages)
        self.packs = packs
        self._machines: dict[str, Machine] = {}

    def machine(self, name: str) -> Machine:
        """The machine `name`; its journal outlives its processes."""
        return self._machines.setdefault(name, Machine(self, name))

    def reader(self, store: Store | None = None) -> Reader:
        """A reader of the registry."""
        return Reader(store or self.store, self.clock, FakeEntropy(sum(b"reader")))

    def target(self, ref: str) -> Target:
        """Where a reference leads."""
        return self.reader().resolve(ref)


class Delivery(msgspec.Struct):
    """What a journal keeps of one run on its way; tickets survive a crash."""

    serial: int = 0
    ticket: AttemptTicket | None = None
    published: Published | None = None


class Machine:
    """One state folder. Every call is a new process: nothing but the journal is remembered between calls."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.hints = FakeHints()
        self.deliveries: dict[SealedRun, Delivery] = {}
        self.entropy = FakeEntropy(sum(name.encode()))

    def ticket(self, run: SealedRun) -> AttemptTicket:
        """The ticket of the run's present attempt, made durable if it is new."""
        delivery = self.deliveries.setdefault(run, Delivery())
        if delivery.ticket is None:
            delivery.serial += 1
            delivery.ticket = self._ticket_of(run, delivery.serial)
            return msgspec.structs.replace(delivery.ticket, fresh=True)
        return delivery.ticket

    def publisher(self, store: Store | None = None) -> Publisher:
        """A publisher in a new process."""
        packs = self.world.packs
        return Publisher(
            store or self.world.store,
            REGISTRY_ID,
            self.hints,
            self.world.clock,
            self.entropy,
            by=self.name,
            packing=None if packs is None else Packing(packs, MemoryStage),
        )

    def publish(
        self,
        run: SealedRun,
        sources: Sources,
        store: Store | None = None,
        staged: Sequence[StagedPack] = (),
        *,
        ahead: bool = False,
    ) -> Published:
        """Deliver a run as the daemon does: the same attempt until it is void, then a new one.

        With `ahead` a new attempt sends everything before anybody has heard of it, the journal included.
        """
        delivery = self.deliveries.setdefault(run, Delivery())
        while True:
            sent = None
            if ahead and delivery.ticket is None:
                delivery.serial += 1
                ticket = msgspec.structs.replace(self._ticket_of(run, delivery.serial), fresh=True)
                sent = SentAhead(store or self.world.store, ticket, run, sources, packed=self.world.packs is not None)
                delivery.ticket = msgspec.structs.replace(ticket, fresh=False)
                staged = sent.packs
            else:
                ticket = self.ticket(run)
            try:
                publisher = self.publisher(store)
                delivery.published = publisher.publish(run, ticket, sources, staged=staged, ahead=sent)
            except ConflictError:
                delivery.ticket = None
                continue
            return delivery.published

    def recovery(self, store: Store | None = None, dead_after_s: float = _A_DAY_S) -> Recovery:
        """A recovery in a new process."""
        return Recovery(store or self.world.store, self.world.clock, self.entropy, self.name, dead_after_s)

    def recover(self, store: Store | None = None, dead_after_s: float = _A_DAY_S) -> list[Found]:
        """Resolve what can be resolved."""
        recovery = self.recovery(store, dead_after_s)
        return recovery.execute(recovery.plan())

    def mover(self, store: Store | None = None) -> PointerMover:
        """A mover of pointers in a new process."""
        return PointerMover(store or self.world.store, self.world.clock, self.entropy, self.name, by=self.name)

    def move(self, ref: str, pointer: str, store: Store | None = None) -> Generation | None:
        """Move a pointer of the run's experiment to the run."""
        used = store or self.world.store
        target = Reader(used, self.world.clock, self.entropy).resolve(ref)
        mover = self.mover(used)
        return mover.execute(mover.plan_set(target.experiment, pointer, target, f"moved by {self.name}"))

    def compact(self, experiment: str = "train", store: Store | None = None) -> int:
        """Fold the pending rows of an experiment."""
        return Index(store or self.world.store, self.world.clock, self.entropy, experiment).compact()

    def begin_attempt(self, run: SealedRun, _sources: Sources) -> AttemptTicket:
        """Leave an attempt that died while it uploaded: an intent, some objects, no outcome."""
        ticket = self.ticket(run)

        def dying(_entry: object) -> None:
            raise _DiedError

        try:
            self.publisher().publish(run, ticket, dying)  # type: ignore[arg-type] # dies before it returns a source
        except _DiedError:
            return ticket
        raise AssertionError("the attempt had nothing to upload")

    def _ticket_of(self, run: SealedRun, serial: int) -> AttemptTicket:
        now = self.world.clock.now()
        digits = sha256(f"{self.name}:{sha256(run.run_json)}:{serial}".encode())
        return AttemptTicket(
            attempt=attempt_id(now.strftime("%Y%m%dT%H%M%SZ"), digits[:16]),
            nonce=digits[16:48],
            created_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            owner=self.name,
        )


class SentAhead:
    """`services.publication.uploading.Sent`: all of a run, which was sent when this was made, in this very thread."""

    def __init__(self, store: Store, ticket: AttemptTicket, run: SealedRun, sources: Sources, *, packed: bool) -> None:
        self._keys: set[Key] = set()
        self.packs = [pack_of(MemoryStage(), run, sources)] if packed else []
        items: Iterable[tuple[Key, Source]] = (
            [(pack_key(pack.source.digest, ticket.attempt), pack.source) for pack in self.packs]
            if packed
            else {object_key(e.sha256, ticket.attempt): sources(e) for e in run.manifest().entries}.items()
        )
        store.put_many(items, lambda key, _size: self._keys.add(key))

    def hand_over(self) -> Collection[Key]:
        return self._keys

    def wait(self) -> Collection[Key]:
        return self._keys

    def give_up(self) -> None:
        """All has arrived."""


class _DiedError(Exception):
    """The process died."""


def published(
    world: World, files: dict[str, bytes] | None = None, machine: str = "m1", **facts: object
) -> tuple[SealedRun, Published]:
    """Publish a run in peace."""
    run, sources = a_run(files, **facts)  # type: ignore[arg-type] # the facts of `a_run`
    return run, world.machine(machine).publish(run, sources)


def staged_pack(world: World, run: SealedRun, sources: Sources, *, without: Iterable[str] = ()) -> StagedPack:
    """Make what hashing makes of a run where the store has a stage: a pack of its files that waits there."""
    stage = world.store.stage()
    assert stage is not None
    return pack_of(stage, run, sources, without=without)


def pack_of(stage: Stage, run: SealedRun, sources: Sources, *, without: Iterable[str] = ()) -> StagedPack:
    """Pack the files of a run into a stage."""
    incoming = stage.receive()
    writer, seen = PackWriter(Digesting(incoming.write)), set[str]()
    for entry in run.manifest().entries:
        if entry.path not in set(without) and entry.sha256 not in seen:
            seen.add(entry.sha256)
            with sources(entry).open() as file:
                writer.add(entry.sha256, file.read())
    facts = writer.finish()
    return StagedPack(incoming.keep(facts.digest), facts.members)


def intents(store: ModelStore) -> set[AttemptId]:
    """Attempts whose intent stands."""
    return {AttemptId(key.split("/")[1]) for key in store.bodies if key.endswith("/intent.json")}


def retire(world: World, attempt: str) -> None:
    """Take a run out of the live set, as retention does."""
    record = Retired(attempt=AttemptId(attempt), retired_at="2026-02-01T00:00:00Z", by="retention", why="too old")
    world.store.create(retired_key(AttemptId(attempt)), record.encode())
