"""The mutation gate: each rule of the collection protocol, taken away alone, costs somebody bytes, and a play sees it.

Each mutant replaces methods in the test; the product knows nothing of it. Only lost bytes count here (I8): that the
records of a collection tell the truth (I4, I5, I7) is switched off, since it would notice most mutants much earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from tests import deletions
from tests.deletions import Violation, check_past
from tests.fakes.gated import GatedStore
from tests.fakes.store import ModelStore
from tests.interleavings import baton, collected
from tests.interleavings.baton import Play, explore
from tests.interleavings.packed import LateIntent, ResumedWithHints, packed
from tests.interleavings.searches import EXHAUSTIVE, PROVEN
from tests.invariants import check_no_loss

import sealrun.services.publication.reusing
import sealrun.services.publication.supplying
import sealrun.services.storage.attempts
from sealrun.domain.address import (
    AttemptId,
    Digest,
    Key,
    attempt_id,
    attempt_of,
    batch_key,
    condemned_key,
    intent_key,
    is_pack,
    outcome_key,
    refs_key,
    retired_key,
    run_key,
)
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import AttemptTicket, Hint, Intent, Outcome, Proposal, Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, Manifest
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject, Verdict
from sealrun.domain.upkeep.marking import Uses, part_of_digest
from sealrun.ports import ObjectStat, Store
from sealrun.services.collection.batches import VERDICT_FILE, Batches
from sealrun.services.collection.collecting import Collector
from sealrun.services.collection.marking import Marker
from sealrun.services.collection.marks import Marks
from sealrun.services.collection.sweeping import Sweeper, Swept
from sealrun.services.collection.tallying import Tally
from sealrun.services.index.moving import PointerMover
from sealrun.services.publication.placing import RunRecords
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.reusing import Reuse, _Sealed, read_condemned
from sealrun.services.publication.supplying import Supplier
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.overview import Overview, Records

Patch = pytest.MonkeyPatch


class Omission(NamedTuple):
    """A rule, how to take it away, and the search that must notice."""

    rule: str
    take_away: Callable[[Patch], None]
    play: type[Play]
    preemptions: int
    proven: bool = False


# ---------------------------------------------------------------- what publishers and movers do


def _stat_first(patch: Patch) -> None:
    def begin(self: Reuse, store: object, attempt: object, pinned: object) -> None:
        self._store, self._attempt, self._pinned = store, attempt, pinned  # type: ignore[assignment] # as given
        self._condemned, self._decisions, self._said = frozenset(), {}, {}

    find = Reuse.find

    def late(self: Reuse, hinted: Mapping[Digest, Hint], sizes: Mapping[Digest, int]) -> dict[Digest, Stored]:
        found = find(self, hinted, sizes)
        condemned = read_condemned(self._store)
        return {digest: stored for digest, stored in found.items() if stored.key not in condemned}

    patch.setattr(Reuse, "__init__", begin)
    patch.setattr(Reuse, "find", late)


def _intent_last(patch: Patch) -> None:
    create, kept = Certainty.create, dict[Key, bytes]()

    def late(self: Certainty, key: Key, body: bytes) -> bytes:
        if key.endswith("/intent.json"):
            kept[key] = body
            return body
        if key.endswith("/refs.json"):
            intent = intent_key(attempt_of(key))
            create(self, intent, kept[intent])
        return create(self, key, body)

    patch.setattr(Certainty, "create", late)


def _no_intent(patch: Patch) -> None:
    create = Certainty.create

    def without(self: Certainty, key: Key, body: bytes) -> bytes:
        return body if key.endswith("/intent.json") else create(self, key, body)

    patch.setattr(Certainty, "create", without)


def _condemned_not_read(patch: Patch) -> None:
    patch.setattr(sealrun.services.publication.reusing, "read_condemned", lambda _store: frozenset())


def _reuse_from_void(patch: Patch) -> None:
    patch.setattr(Reuse, "_decision", lambda _self, _creator: None)


def _no_stat(patch: Patch) -> None:
    patch.setattr(sealrun.services.publication.reusing, "_is_there", lambda _stored, _found: True)


def _sealed(*, of_unsealed: bool = False, of_retired: bool = False) -> Callable[[Patch], None]:
    def sealed(self: Reuse, attempt: AttemptId) -> _Sealed:
        if not of_unsealed and self._decision(attempt) != "sealed":
            return _Sealed({}, stands=False)
        try:
            found = Refs.decode(self._store.read(refs_key(attempt)), refs_key(attempt)).objects
        except NotFoundError:
            return _Sealed({}, stands=False)
        return _Sealed(found, of_retired or self._store.stat(retired_key(attempt)) is None)

    return lambda patch: patch.setattr(Reuse, "_sealed", sealed)


def _retired_before_intent(patch: Patch) -> None:
    supply, sealed, known = Supplier.supply, Reuse._sealed, dict[AttemptId, _Sealed]()

    def early(self: Supplier, records: RunRecords, *others: Any) -> Mapping[Digest, Stored]:  # noqa: ANN401 - passed on
        hinted = self._hints.places_of(self._registry_id, records.manifest.digests()).values()
        asker = Reuse.__new__(Reuse)
        asker._store, asker._decisions = self._store, {}
        known.clear()
        known.update({one: sealed(asker, one) for one in {hint.sealed_by for hint in hinted} if one is not None})
        return supply(self, records, *others)

    patch.setattr(Supplier, "supply", early)
    patch.setattr(Reuse, "_sealed", lambda _self, sealed_by: known[sealed_by])


def _anything_is_pinned(patch: Patch) -> None:
    begin = Reuse.__init__

    def trusting(self: Reuse, store: Store, attempt: AttemptId, _pinned: object = None) -> None:
        begin(self, store, attempt)

    patch.setattr(Reuse, "__init__", trusting)


def _packs_not_intended(patch: Patch) -> None:
    patch.setattr(sealrun.services.publication.supplying, "pack_digests", lambda _hinted: ())
    _anything_is_pinned(patch)


def _own_intent_believed(patch: Patch) -> None:
    create = Certainty.create

    def deaf(self: Certainty, key: Key, body: bytes) -> bytes:
        stands = create(self, key, body)
        return body if key.endswith("/intent.json") else stands

    patch.setattr(Certainty, "create", deaf)


def _move_without_packs(patch: Patch) -> None:
    def files(self: PointerMover, target: Target) -> tuple[Digest, ...]:
        key = run_key(target.experiment, target.run_id, MANIFEST_FILE)
        return tuple(Manifest.decode(self._store.read(key), key).digests())

    patch.setattr(PointerMover, "_digests", files)


def _seal_over_void(patch: Patch) -> None:
    decide = Publisher._decide

    def stubborn(
        self: Publisher, records: RunRecords, ticket: AttemptTicket, *, root: Digest | None, sealed: bool
    ) -> Outcome:
        stands = decide(self, records, ticket, root=root, sealed=sealed)
        if not sealed or stands.decision != "void":
            return stands
        run = records.envelope
        ours = msgspec.structs.replace(
            stands, decision="sealed", experiment=run.experiment, run_id=run.run_id, root_sha256=root
        )
        assert isinstance(self._store, GatedStore)
        assert isinstance(self._store._inner, ModelStore)
        key = outcome_key(ticket.attempt)
        self._store._inner.bodies[key] = self._store._inner.history[key] = ours.encode()
        return ours

    patch.setattr(Publisher, "_decide", stubborn)


def _move_without_intent(patch: Patch) -> None:
    def unwritten(_self: PointerMover, target: Target, digests: tuple[Digest, ...], proposal: Proposal) -> Intent:
        return Intent(
            attempt=attempt_id("20260117T150000Z", "d" * 16),
            nonce="n",
            owner="m1",
            purpose="move",
            experiment=target.experiment,
            run_id=target.run_id,
            created_at="",
            heartbeat_at="",
            digests=digests,
            proposal=proposal,
        )

    patch.setattr(PointerMover, "_pin", unwritten)


# ---------------------------------------------------------------- what collectors do


def _over_is_not_noticed(patch: Patch) -> None:
    """The last look at the batch, which alone would stop some of what is taken away here."""
    patch.setattr(Batches, "stands", lambda _self, _batch: True)


def _no_condemned_record(patch: Patch) -> None:
    def condemn(self: Batches, objects: tuple[CondemnedObject, ...]) -> tuple[Condemned, bytes]:
        name = attempt_id("20260117T150000Z", self._entropy.hex(16))
        condemned = Condemned(batch=name, by=self._owner, condemned_at="", objects=objects)
        return condemned, condemned.encode()

    patch.setattr(Batches, "condemn", condemn)
    _over_is_not_noticed(patch)


def _condemned_after_the_mark(patch: Patch) -> None:
    """Of the batches that share a mark, only the first is condemned before it."""
    condemn, mark = Batches.condemn, Marker.mark
    late: list[Callable[[], object]] = []

    def condemn_one(self: Batches, objects: tuple[CondemnedObject, ...]) -> tuple[Condemned, bytes]:
        if not vars(self).setdefault("condemned_one", False):
            vars(self)["condemned_one"] = True
            late.clear()
            return condemn(self, objects)
        name = attempt_id("20260117T150000Z", self._entropy.hex(16))
        condemned = Condemned(batch=name, by=self._owner, condemned_at="", objects=objects)
        late.append(lambda: self._certainty.create(condemned_key(name), condemned.encode()))
        return condemned, condemned.encode()

    def mark_first(self: Marker, marks: Marks) -> None:
        mark(self, marks)
        while late:
            late.pop()()

    patch.setattr(Batches, "condemn", condemn_one)
    patch.setattr(Marker, "mark", mark_first)


def _one_second_mark(patch: Patch) -> None:
    """Batches that are condemned later are decided by the mark of the first ones, too."""
    mark = Marker.mark

    def twice(self: Marker, marks: Marks) -> None:
        made = vars(marks).setdefault("made", 0)
        if made < 2:
            mark(self, marks)
        vars(marks)["made"] = made + 1

    patch.setattr(Marker, "mark", twice)


def _no_second_mark(patch: Patch) -> None:
    mark = Marker.mark

    def once(self: Marker, marks: Marks) -> None:
        if not marks.decided:
            mark(self, marks)

    patch.setattr(Marker, "mark", once)


class _SeenBefore:
    """A store that lists what it listed once: for a mark that does not look anew."""

    def __init__(self, store: Store, overview: Overview) -> None:
        self._store = store
        self.list, self.list_folders = overview.list, overview.list_folders

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a store has
        return getattr(self._store, name)


def _second_mark_from_the_first_look(patch: Patch) -> None:
    make = Collector._marker
    first: dict[Collector, Overview] = {}

    def marker(self: Collector, now: float, read_attempts: Any = None, overview: Any = None) -> Marker:  # noqa: ANN401
        made = make(self, now, read_attempts, overview)
        if overview is not None:
            first[self] = overview
        else:
            made._store = cast("Store", _SeenBefore(made._store, first[self]))
        return made

    patch.setattr(Collector, "_marker", marker)


def _kept_believed(patch: Patch) -> None:
    read = Records.read

    def believe(self: Records, stat: ObjectStat) -> bytes:
        kept = None if self._cache is None or stat.md5 is None else self._cache.find(stat.key, stat.md5, stat.size)
        return read(self, stat) if kept is None else kept

    patch.setattr(Records, "read", believe)


def _marks_in_order(*order: str) -> Callable[[Patch], None]:
    def mark(self: Marker, marks: Marks) -> None:
        pinned = self._pinned()
        steps: dict[str, Callable[[], object]] = {
            "intents": lambda: self._intents(marks),
            "pointers": lambda: self._pointers(marks),
            "outcomes": lambda: self._attempts(marks, pinned, {}),
        }
        for step in order:
            steps[step]()

    return lambda patch: patch.setattr(Marker, "mark", mark)


def _packs_in_intents_ignored(patch: Patch) -> None:
    needs = Marks.needs

    def blind(self: Marks, key: Key, digest: Digest) -> bool:
        return self.needed.holds(part_of_digest(digest), key) if is_pack(key) else needs(self, key, digest)

    patch.setattr(Marks, "needs", blind)


def _refs_into_packs_ignored(patch: Patch) -> None:
    patch.setattr(sealrun.services.storage.attempts, "Uses", lambda keys: Uses(key for key in keys if not is_pack(key)))


def _verdict_deleted(patch: Patch) -> None:
    finish = Sweeper.finish

    def hasty(
        self: Sweeper, condemned: Condemned, verdict: Verdict, advance: Callable[[int], None] | None = None
    ) -> Swept:
        self._remover.delete([batch_key(condemned.batch, VERDICT_FILE)])
        return finish(self, condemned, verdict, advance)

    patch.setattr(Sweeper, "finish", hasty)


def _verdict_cleared_at_once(patch: Patch) -> None:
    finish = Sweeper.finish

    def tidy(
        self: Sweeper, condemned: Condemned, verdict: Verdict, advance: Callable[[int], None] | None = None
    ) -> Swept:
        swept = finish(self, condemned, verdict, advance)
        self._remover.delete([batch_key(condemned.batch, VERDICT_FILE)])
        return swept

    patch.setattr(Sweeper, "finish", tidy)


def _over_and_not_noticed(patch: Patch) -> None:
    """Verdicts are cleared away as soon as their batch is over, and its owner, who slept, does not look at it."""
    _verdict_cleared_at_once(patch)
    _over_is_not_noticed(patch)


def _cancel_after_verdict(patch: Patch) -> None:
    def cancelled(_self: Batches, batch: str) -> Verdict:
        return Verdict(batch=batch, nonce="n", decision="cancel", decided_at="", by="c2")

    patch.setattr(Batches, "verdict", cancelled)


def _condemned_removed_early(patch: Patch) -> None:
    finish = Sweeper.finish

    def hasty(
        self: Sweeper, condemned: Condemned, verdict: Verdict, advance: Callable[[int], None] | None = None
    ) -> Swept:
        self._remover.delete([condemned_key(condemned.batch)])
        return finish(self, condemned, verdict, advance)

    patch.setattr(Sweeper, "finish", hasty)


def _own_verdict_believed(patch: Patch) -> None:
    def create(self: Batches, proposed: Verdict) -> Verdict:
        self._certainty.create(batch_key(proposed.batch, VERDICT_FILE), proposed.encode())
        return proposed

    patch.setattr(Batches, "_create", create)
    _over_is_not_noticed(patch)


def _pins_forgotten(patch: Patch) -> None:
    patch.setattr(Marker, "_pinned", lambda _self: set())


def _pins_once(patch: Patch) -> None:
    patch.setattr(Marker, "_pinned_since", lambda _self, _marks, _pinned: None)


def _tidied_at_once(patch: Patch) -> None:
    mark = Marker.mark

    def once(self: Marker, marks: Marks) -> None:
        if not marks.decided:
            mark(self, marks)
        marks.asked_again = len(marks.dead)

    patch.setattr(Marker, "mark", once)


def _undecided_taken(patch: Patch) -> None:
    not_needed = Tally.not_needed
    patch.setattr(Tally, "not_needed", lambda self, found, old: not_needed(self, found, old=True))  # noqa: ARG005


THE_TWELVE = [
    Omission("stat after the condemned list is read", _stat_first, collected.OldPlan, 2),
    Omission("the intent comes first", _intent_last, collected.Collected, 1),
    Omission("there is an intent", _no_intent, collected.Collected, 1),
    Omission("the condemned list is read", _condemned_not_read, collected.Collected, 1),
    Omission("there is a condemned record", _no_condemned_record, collected.Collected, 1),
    Omission("there is a second mark", _no_second_mark, collected.Collected, 1),
    Omission(
        "intents are read before outcomes",
        _marks_in_order("pointers", "outcomes", "intents"),
        collected.OldPlan,
        2,
    ),
    Omission("the owner of a batch that is over deletes nothing", _over_and_not_noticed, collected.TakenOver, 1),
    Omission("nothing is cancelled after its verdict", _cancel_after_verdict, collected.TakenOver, 1),
    Omission("a condemned record outlives its deletes", _condemned_removed_early, collected.Collected, 1),
    Omission("nothing of a void attempt is referenced", _reuse_from_void, collected.CollectedVoid, 1),
    Omission("no seal overwrites a void", _seal_over_void, collected.VoidedWhileCollected, 1),
]
MORE = [
    Omission("what an undecided attempt sent is kept", _undecided_taken, collected.SentAhead, 2),
    Omission("who was taken for dead before its intent seals nothing", _seal_over_void, collected.SentAhead, 2),
    Omission("a key is looked at", _no_stat, collected.Collected, 1),
    Omission("what is kept is compared with the listing", _kept_believed, collected.CollectedFromKept, 1),
    Omission("a second mark looks anew", _second_mark_from_the_first_look, collected.CollectedFromKept, 1),
    Omission("another's verdict is obeyed", _own_verdict_believed, collected.TakenOver, 1),
    Omission("a mover pins its target", _move_without_intent, collected.MovedWhileRetired, 1),
    Omission("pointers are roots", _marks_in_order("intents", "outcomes"), collected.MovedWhileRetired, 1),
    Omission("pins are asked for again", _pins_once, collected.PinnedWhileRetired, 1),
    Omission("nothing is tidied after a single mark", _tidied_at_once, collected.MovedWhileTidied, 1),
    Omission("pins are roots", _pins_forgotten, collected.PinnedWhileRetired, 1),
    Omission("all batches of a mark are condemned before it", _condemned_after_the_mark, collected.SharedMark, 1),
    Omission("a batch that is condemned later has a later mark", _one_second_mark, collected.OneMarkEach, 1),
]
_PACKED, _PACKED_MOVE = packed(collected.Collected), packed(collected.MovedWhileRetired)
PACKS = [
    Omission("an intent names packs", _packs_not_intended, _PACKED, 1),
    Omission("a resumed attempt takes only what its intent names", _anything_is_pinned, ResumedWithHints, 1),
    Omission("the intent that stands counts", _own_intent_believed, LateIntent, 1),
    Omission("a mover names packs", _move_without_packs, _PACKED_MOVE, 1),
    Omission("packs in intents are roots", _packs_in_intents_ignored, _PACKED, 1),
    Omission("packs in refs are roots", _refs_into_packs_ignored, _PACKED, 1),
]
PROOFS = [
    Omission("only what stands is trusted", _sealed(of_retired=True), collected.Collected, 1, proven=True),
    Omission(
        "the intent comes before the look at what stands",
        _retired_before_intent,
        collected.RetiredMeanwhile,
        1,
        proven=True,
    ),
    Omission(
        "only what was sealed is trusted",
        _sealed(of_unsealed=True),
        collected.CollectedVoidWithRefs,
        1,
        proven=True,
    ),
]
ALL = [*THE_TWELVE, *MORE, *PACKS, *PROOFS]


@pytest.mark.parametrize("omission", ALL, ids=lambda omission: omission.rule)
def test_bytes_are_lost_without_the_rule_that(omission: Omission, monkeypatch: Patch) -> None:
    monkeypatch.setattr(baton, "check_invariants", check_no_loss)
    monkeypatch.setattr(deletions, "deletion_faults", lambda _store: ())
    omission.take_away(monkeypatch)
    if omission.proven:
        monkeypatch.setattr(sealrun.services.publication.reusing, "_ASKED_PER_ATTEMPT", 0)
    with pytest.raises(Violation, match="I8"):
        explore(omission.play, omission.preemptions)


@pytest.mark.parametrize(
    ("take_away", "match"),
    [
        (_no_condemned_record, "I4: gc/.* is not about a condemned record that was durable before it"),
        (_condemned_removed_early, "I5: gc/.* is not deleted yet|I5: gc/.* before there was a verdict"),
        (_verdict_deleted, "I5: gc/.* was deleted"),
        (_own_verdict_believed, "I4: store/.* no durable verdict"),
        (_condemned_not_read, "I7: .* which a verdict swept before"),
    ],
)
def test_untrue_records_are_noticed_even_where_no_byte_is_lost(
    take_away: Callable[[Patch], None], match: str, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(baton, "check_invariants", check_past)
    take_away(monkeypatch)
    with pytest.raises(Violation, match=match):
        explore(collected.TakenOver, 1)


@pytest.mark.parametrize("play", [collected.TakenOver, collected.TwoCollectors], ids=lambda play: play.__name__)
def test_verdicts_may_be_cleared_away_as_soon_as_their_batch_is_over(play: type[Play], monkeypatch: Patch) -> None:
    _verdict_cleared_at_once(monkeypatch)
    assert explore(play, 1) > 1


def test_the_unchanged_code_passes_each_of_these_searches() -> None:
    """`test_together` makes them all, with every invariant."""
    assert len(THE_TWELVE) == 12
    for omission in ALL:
        assert (omission.play, omission.preemptions) in (PROVEN if omission.proven else EXHAUSTIVE)
