"""The collector: find what nothing needs, condemn it, look again, decide, delete.

Any number of collectors may work on one registry at once, each may be paused for days, and the clocks of their machines
may say anything: only the store's own clock is asked, and only about what is too young to be touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import msgspec

from sealrun.domain.address import Digest, Key, condemned_key, is_pack, parse_object_key
from sealrun.domain.errors import CollectionRefusedError, UsageError
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject
from sealrun.domain.upkeep.marking import Doomed, part_of_digest
from sealrun.domain.upkeep.repacking import RepackLimits, Sparse
from sealrun.ports import Clock, Entropy, Glimpse, ObjectStat, RecordCache, Remover, Store, Unfinished
from sealrun.services.collection.batches import Batches, checked
from sealrun.services.collection.marking import Marker
from sealrun.services.collection.marks import Marks
from sealrun.services.collection.residue import Residue, ended_batches, superseded
from sealrun.services.collection.silence import Silent, Unheard, Voider
from sealrun.services.collection.stocktaking import quarantine, take_stock
from sealrun.services.collection.sweeping import Sweeper, Swept
from sealrun.services.collection.tallying import RunShare, Tally
from sealrun.services.collection.tidying import Tidied, Tidier
from sealrun.services.publication.recovering import DEAD_AFTER_S
from sealrun.services.storage.attempts import ReadAttempts, read_here
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.overview import Overview, Records
from sealrun.services.storage.timing import store_time
from sealrun.services.threads.fanning import both

Advance = Callable[[int], None]


class CollectionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a collector may do. Times are seconds by the store's clock.

    `grace_s`: what is younger is not touched, counted from upload, retirement and void. `max_delete_ratio`: the
    share of all objects, and of all bytes, that one collection may delete; a pack counts as one object. `batch`: keys
    per batch. `together`: how many batches are condemned before one second mark decides about all of them; publishers
    read them all. `abandoned_s`: a batch without a verdict that is older is cancelled. `history_s`: for so long it can
    be told what a batch deleted. `repack`: which packs are to be written again. `dead_after_s`: an attempt that was
    never begun, and uploaded nothing for so long, is declared void.
    """

    grace_s: float = 24 * 3600.0
    max_delete_ratio: float = 0.2
    batch: int = 50_000
    together: int = 4
    abandoned_s: float = 3600.0
    history_s: float = 365 * 24 * 3600.0
    dead_after_s: float = DEAD_AFTER_S
    repack: RepackLimits = RepackLimits()


class CollectionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection would delete. `doomed` yields every key with its size and last user, in bounded memory.

    `objects` and `size` are of the whole store, in which a pack is one object. `young`: what is not needed either, but
    too young to be touched. `refused` says why `execute` would not begin. `sparse` is left alone by `execute`. `silent`
    attempts are declared void. `residue`: old records that nobody can need any more. `overview`: what was seen, for
    whoever tells more of it.
    """

    objects: int
    size: int
    young: int
    doomed: Doomed
    shares: tuple[RunShare, ...]
    unfinished: tuple[Unfinished, ...]
    marks: Marks
    now: float
    refused: str | None
    by_store_clock: bool
    sparse: Sparse = Sparse()
    residue: Residue = Residue()
    silent: tuple[Silent, ...] = ()
    overview: Glimpse | None = None


class CollectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection did."""

    objects: int
    size: int
    batches: int
    failures: Mapping[Key, str]
    tidied: Tidied
    voided: int = 0


class _Begun(msgspec.Struct, frozen=True):
    """A batch that is condemned: its record without its keys, and the digest of the whole record."""

    condemned: Condemned
    digest: Digest


class Collector:
    """Collects one registry. Must not be given a store whose creations are not exclusive."""

    def __init__(
        self,
        store: Store,
        remover: Remover,
        clock: Clock,
        entropy: Entropy,
        owner: str,
        policy: CollectionPolicy | None = None,
        read_attempts: ReadAttempts | None = None,
        cache: RecordCache | None = None,
    ) -> None:
        """Collect in the name of the state folder `owner`. The first mark reads attempts by `read_attempts`.

        By default it does that here, and takes what the `cache` keeps; second marks ask the store for everything.
        """
        self._records = Records(store, cache)
        self._store = store
        self._remover = remover
        self._clock = clock
        self._entropy = entropy
        self._policy = policy or CollectionPolicy()
        self._read_attempts = read_attempts or read_here(store, self._records)
        # In a directory a listing has begun before another thread has heard of it.
        self._width = store.capabilities.side_by_side
        certainty = Certainty(store, clock, entropy)
        self._voider = Voider(certainty, clock, entropy, owner)
        self._batches = Batches(store, certainty, clock, entropy, owner)
        self._sweeper = Sweeper(store, remover, certainty)

    def plan(self, *, write: bool = True) -> CollectionPlan:
        """Find what nothing needs. Deletes nothing, and without `write` writes nothing: then our clock is believed.

        Raises whatever a listing or a record raises: an incomplete view is no view.
        """
        now = store_time(self._store, self._clock, self._entropy) if write else self._clock.now().timestamp()
        marks = Marks(packs=self._policy.repack.below > 0)
        overview = Overview(self._store, self._records)
        marker = self._marker(now, self._read_attempts, overview)
        _, stock = both(
            lambda: marker.mark(marks),
            lambda: take_stock(self._store, self._remover, self._batches, self._width),
            self._width,
        )
        kept = stock.condemned | marks.needed_of(stock.quarantined)
        tally, unheard = Tally(marks, self._policy.repack), Unheard(marks)
        for found in stock.stored:
            tally.count(found)
            name = parse_object_key(found.key)
            decided = name.creator in marks.decided
            old = decided and found.modified <= now - self._policy.grace_s
            if not decided:
                unheard.count(found, name.creator)
            if found.key in kept:
                continue
            if not marks.needs(found.key, name.digest):
                tally.not_needed(found, old=old)
            elif old and is_pack(found.key) and not marks.intended.holds(part_of_digest(name.digest), name.digest):
                tally.needed_pack(found)
        return CollectionPlan(
            objects=tally.objects,
            size=tally.size,
            young=tally.young,
            doomed=tally.doomed,
            shares=tally.shares(),
            unfinished=self._old(stock.unfinished, now),
            marks=marks,
            now=now,
            refused=self._too_much(tally),
            by_store_clock=write,
            sparse=self._sparse(tally, marks),
            residue=self._residue(stock.batches, marks, now),
            silent=unheard.since(now - self._policy.dead_after_s),
            overview=overview,
        )

    def execute(self, plan: CollectionPlan, advance: Advance | None = None) -> CollectionReport:
        """Finish what others left, then condemn some batches, look again, decide and delete, until all is; tidy up.

        `CollectionRefusedError` before anything of this plan is condemned if it would delete more than the policy
        allows. A crash anywhere leaves batches that any collector finishes or cancels.

        `UsageError` for a plan that was made without writing: it believed our clock, which may be days ahead.
        """
        if not plan.by_store_clock:
            msg = "a plan of a dry run cannot be executed: it believed this machine's clock"
            raise UsageError(msg)
        swept = list(self.finish_others(plan.now, advance))
        if plan.refused is not None:
            raise CollectionRefusedError(f"{self._store.url}: {plan.refused}")
        marker = self._marker(plan.now)
        condemning, deciding = (plan.doomed.batches(self._policy.batch) for _ in range(2))
        while begun := [self._condemn(objects) for objects in islice(condemning, self._policy.together)]:
            marker.mark(plan.marks)
            swept += self._sweep(zip(begun, deciding), plan.marks, advance)  # noqa: B905 - the shorter one is `begun`
        if not plan.doomed.objects:
            marker.mark(plan.marks)
        failures = {key: why for batch in swept for key, why in batch.failures.items()}
        return CollectionReport(
            objects=sum(batch.gone for batch in swept),
            size=sum(batch.size for batch in swept),
            batches=len(swept),
            failures=failures,
            tidied=Tidier(self._store, self._remover).tidy(
                plan.marks,
                plan.unfinished,
                plan.residue,
                before=plan.now - self._policy.grace_s,
                whole=not failures,
            ),
            voided=self._voider.declare(plan.silent, plan.now),
        )

    def finish_others(self, now: float, advance: Advance | None = None) -> Iterator[Swept]:
        """Finish every batch that has a verdict; cancel those that were abandoned without one."""
        for batch in self._batches.standing():
            decided = self._batches.is_decided(batch.name)
            if not decided and now - batch.condemned_at <= self._policy.abandoned_s:
                continue
            body = self._batches.condemned(batch.name)
            if body is None:
                continue  # somebody finished it since it was listed
            condemned = Condemned.decode(body, condemned_key(batch.name))
            verdict = self._batches.verdict(batch.name) if decided else self._batches.cancel(batch.name)
            yield self._sweeper.finish(condemned, checked(verdict, sha256(body)), advance)

    def _marker(
        self, now: float, read_attempts: ReadAttempts | None = None, overview: Overview | None = None
    ) -> Marker:
        return Marker(
            self._store, grace_s=self._policy.grace_s, now=now, read_attempts=read_attempts, overview=overview
        )

    def _condemn(self, objects: tuple[CondemnedObject, ...]) -> _Begun:
        """Begin a batch. What it holds is read from the plan again when it is decided: many batches would not fit."""
        condemned, body = self._batches.condemn(objects)
        return _Begun(msgspec.structs.replace(condemned, objects=()), sha256(body))

    def _sweep(
        self, begun: Iterable[tuple[_Begun, tuple[CondemnedObject, ...]]], marks: Marks, advance: Advance | None
    ) -> Iterator[Swept]:
        """Verdict and sweep of each batch: all of them were condemned before `marks` were made."""
        quarantined = marks.needed_of(quarantine(self._store))
        for batch, objects in begun:
            spared = [
                found.key
                for found in objects
                if marks.needs(found.key, parse_object_key(found.key).digest) or found.key in quarantined
            ]
            condemned = msgspec.structs.replace(batch.condemned, objects=objects)
            cancel = len(spared) == len(objects)
            verdict = self._batches.decide(condemned.batch, batch.digest, spared, cancel=cancel)
            # Whoever slept until its batch was over, and the verdict on it cleared away, has decided nothing.
            if verdict.decision == "sweep" and not self._batches.stands(condemned.batch):
                continue
            yield self._sweeper.finish(condemned, checked(verdict, batch.digest), advance)

    def _residue(self, batches: Sequence[ObjectStat], marks: Marks, now: float) -> Residue:
        ended = ended_batches(batches, now - max(self._policy.history_s, self._policy.grace_s))
        bases = chain.from_iterable(superseded(found, now - self._policy.grace_s) for found in marks.bases)
        return Residue((*ended, *bases))

    def _old(self, unfinished: Iterable[Unfinished], now: float) -> tuple[Unfinished, ...]:
        """Uploads that were begun longer ago than the grace time: a live one is never that old."""
        return tuple(found for found in unfinished if found.started <= now - self._policy.grace_s)

    def _too_much(self, tally: Tally) -> str | None:
        """Say why so much is not deleted at once. What a run used that another attempt holds is no loss to anybody."""
        limit = self._policy.max_delete_ratio
        counted = (tally.lost_objects, tally.objects, "objects"), (tally.lost_size, tally.size, "bytes")
        for part, whole, what in counted:
            if whole and part / whole > limit:
                return f"the collection would delete {part} of {whole} {what} ({part / whole:.0%}), {self._advice()}"
        return None

    def _sparse(self, tally: Tally, marks: Marks) -> Sparse:
        """Choose what is written again. What is dead in all packs that could be is held to the same limit."""
        chosen = tally.sparse()
        refused = None
        if tally.size and chosen.freed / tally.size > self._policy.max_delete_ratio:
            share = f"{chosen.freed} of {tally.size} bytes ({chosen.freed / tally.size:.0%})"
            refused = f"repacking would free {share}, {self._advice()}"
        return Sparse(
            packs=chosen.packs,
            attempts=tuple(marks.standing[number] for number in chosen.users),
            later=chosen.later,
            refused=refused,
        )

    def _advice(self) -> str:
        return (
            f"more than max_delete_ratio allows ({self._policy.max_delete_ratio:.0%}); look at it with: "
            "sealrun gc --dry-run, and then undo what should not have been retired, or allow it once with: "
            "sealrun gc --max-delete-ratio 1"
        )
