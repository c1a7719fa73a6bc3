"""One machine of a soak, as a process: it publishes, retires, undoes and moves pointers, or it collects, until told.

It may be killed or stopped at any instant. Started again with the same folder it finishes what it was doing.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.builders.worlds import SentAhead
from tests.e2e.soak.said import EXPERIMENTS, Acknowledged, Doing, Said, run_of, write_atomically

from sealrun.adapters.journal import open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover, open_store
from sealrun.domain.address import attempt_id
from sealrun.domain.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.services.access.reading import Reader
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.index.indexing import Index
from sealrun.services.index.moving import PointerMover
from sealrun.services.keeping.retiring import Retirer
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.publication.beginning import new_ticket
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.recovering import Recovery

REGISTRY_ID = "0" * 32
GRACE_S = 1.0
DEAD_AFTER_S = 3.0
POLICY = CollectionPolicy(grace_s=GRACE_S, max_delete_ratio=1.0, batch=20, abandoned_s=2.0, dead_after_s=DEAD_AFTER_S)
_WORK = {"publish": 50, "retire": 34, "undo": 5, "move": 12, "rollback": 3, "recover": 6, "compact": 4}


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine is started."""

    name: str
    url: str
    storage_options: dict[str, Any]
    folder: str
    stop: str
    collects: bool = False


class Machine:
    """One life of a machine."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.folder = Path(orders.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        self.store = open_store(orders.url, orders.storage_options, make=orders.url.startswith("/"))
        self.acknowledged = Acknowledged(self.folder)
        self.states = self.acknowledged.states()
        self.serial = max((said.serial for said in self.acknowledged), default=-1) + 1
        self.dice = random.Random(time.time_ns())
        self._doing = self.folder / "doing.json"

    def live(self) -> None:
        """Work until the stop file is there; what was begun is finished first."""
        work = self.collect if self.orders.collects else self.work
        while not (Path(self.orders.stop).exists() and not self._doing.exists()):
            try:
                work()
            except (UnavailableError, OutcomeUnknownError) as error:
                self.acknowledged.add(Said(op="outage", note=str(error)))

    # ------------------------------------------------------------ collecting

    def collect(self) -> None:
        """One collection."""
        remover = open_remover(self.store)
        collector = Collector(self.store, remover, self.clock, self.entropy, self.orders.name, POLICY)
        report = collector.execute(collector.plan())
        if report.failures:
            raise AssertionError(f"not deleted: {report.failures}")
        self.acknowledged.add(Said(op="collect", count=report.objects))
        time.sleep(self.dice.random() * 0.3)

    # ------------------------------------------------------------ everything else

    def work(self) -> None:
        """Do one thing, or go on with what an earlier life was doing."""
        again = self._doing.exists()
        if again:
            doing = msgspec.json.decode(self._doing.read_bytes(), type=Doing)
        else:
            chosen = self._choose()
            if chosen is None:
                return
            doing = chosen
            self._begin(doing)
        act: Callable[[Doing, bool], Said] = getattr(self, doing.op)
        said = act(doing, again)
        self.acknowledged.add(said)
        if said.state:
            self.states[said.ref] = said
        self._doing.unlink()
        self.serial = max(self.serial, doing.serial) + 1

    def _begin(self, doing: Doing) -> None:
        write_atomically(self._doing, msgspec.json.encode(doing))

    def _choose(self) -> Doing | None:
        op = self.dice.choices(list(_WORK), list(_WORK.values()))[0]
        doing = Doing(op=op, serial=self.serial, begun_at=self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if op in {"retire", "undo"}:
            state = "live" if op == "retire" else "retired"
            mine = [ref for ref, said in self.states.items() if said.state == state]
            return msgspec.structs.replace(doing, ref=self.dice.choice(mine)) if mine else None
        if op in {"move", "rollback"}:
            experiment = self.dice.choice(EXPERIMENTS)
            rows = Reader(self.store, self.clock, self.entropy).runs(experiment)
            if not rows:
                return None
            ref = f"{experiment}/{self.dice.choice(rows).run_id}"
            return msgspec.structs.replace(doing, ref=ref, pointer=self.dice.choice(["best", "active"]))
        return doing

    def publish(self, doing: Doing, again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        """Publish a run; half of them send their bytes ahead, as an attempt that a kill makes everybody forget."""
        run, sources = run_of(self.orders.name, doing.serial, doing.begun_at)
        if not again and self.dice.random() < 0.5:
            ticket = new_ticket(self.clock, self.entropy, self.orders.name)
            SentAhead(self.store, ticket, run, sources, packed=False)
            doing = msgspec.structs.replace(doing, ahead=msgspec.structs.replace(ticket, fresh=False))
            self._begin(doing)
        journal = open_journal(self.folder / "state", self.clock, self.entropy)
        publisher = Publisher(self.store, REGISTRY_ID, journal.hints, self.clock, self.entropy, by=self.orders.name)
        try:
            while True:
                try:
                    done = publisher.publish(run, self._ticket(doing), sources)
                except ConflictError:
                    doing = msgspec.structs.replace(doing, tries=doing.tries + 1)
                    self._begin(doing)
                    continue
                return Said(op="publish", serial=doing.serial, ref=f"{done.experiment}/{done.run_id}", state="live")
        finally:
            journal.close()

    def _ticket(self, doing: Doing) -> AttemptTicket:
        if doing.ahead is not None and not doing.tries:
            return doing.ahead
        digits = sha256(f"{self.orders.name}:{doing.serial}:{doing.tries}".encode())
        stamp = doing.begun_at.replace("-", "").replace(":", "")
        return AttemptTicket(
            attempt=attempt_id(stamp, digits[:16]),
            nonce=digits[16:48],
            created_at=doing.begun_at,
            owner=self.orders.name,
        )

    def retire(self, doing: Doing, again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        """Retire a run of ours. Refused after a kill, it may be retired all the same: then nobody asks for it again."""
        retirer = Retirer(self.store, self.clock, self.entropy, self.orders.name, by=self.orders.name)
        before = self.states[doing.ref]
        kept = msgspec.structs.replace(before, op="kept", state="unsure" if again else before.state)
        try:
            (done,) = retirer.execute(retirer.plan_runs([_run(doing.ref)], "soak")) or (None,)
        except UsageError:
            return kept
        except NotFoundError:
            if not again:
                raise
            return msgspec.structs.replace(before, op="retire", state="retired")
        if done is None or done.skipped is not None:
            return kept
        return msgspec.structs.replace(before, op="retire", state="retired")

    def undo(self, doing: Doing, _again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        before = self.states[doing.ref]
        journal = open_journal(self.folder / "state", self.clock, self.entropy)
        undoer = Undoer(self.store, REGISTRY_ID, journal.hints, self.clock, self.entropy, self.orders.name)
        try:
            undoer.execute(undoer.plan(*_run(doing.ref)))
        except NotFoundError:
            return msgspec.structs.replace(before, op="gone", state="unsure")
        except ConflictError:
            return msgspec.structs.replace(before, op="conflict", state="unsure")
        finally:
            journal.close()
        return msgspec.structs.replace(before, op="undo", state="live")

    def move(self, doing: Doing, _again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        mover = PointerMover(self.store, self.clock, self.entropy, self.orders.name, by=self.orders.name)
        try:
            target = Reader(self.store, self.clock, self.entropy).resolve(doing.ref)
            mover.execute(mover.plan_set(target.experiment, doing.pointer, target, "soak"))
        except (NotFoundError, ConflictError) as error:
            return Said(op="refused", note=str(error))
        return Said(op="move")

    def rollback(self, doing: Doing, _again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        mover = PointerMover(self.store, self.clock, self.entropy, self.orders.name, by=self.orders.name)
        try:
            mover.execute(mover.plan_rollback(_run(doing.ref)[0], doing.pointer, None, "soak"))
        except (NotFoundError, ConflictError, UsageError) as error:
            return Said(op="refused", note=str(error))
        return Said(op="rollback")

    def recover(self, _doing: Doing, _again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        """Void whoever is silent for a few seconds: whoever is stopped, too."""
        recovery = Recovery(self.store, self.clock, self.entropy, self.orders.name, DEAD_AFTER_S)
        return Said(op="recover", count=len(recovery.execute(recovery.plan())))

    def compact(self, _doing: Doing, _again: bool) -> Said:  # noqa: FBT001 - told to every kind of work
        return Said(
            op="compact",
            count=sum(Index(self.store, self.clock, self.entropy, name).compact() for name in EXPERIMENTS),
        )


def _run(ref: str) -> tuple[str, str]:
    experiment, _, run_id = ref.partition("/")
    return experiment, run_id


if __name__ == "__main__":
    Machine(msgspec.json.decode(sys.argv[1], type=Orders)).live()
