"""Every rule that the protocol leans on is taken away once: a suite that does not notice has a hole.

Each mutant replaces one method in the test; the product knows nothing of it. What must be noticed is named by `match`.
"""

from __future__ import annotations

import msgspec
import pytest
from tests.faults import scenarios
from tests.faults.lives import Mode, Scenario, cases, good_calls, live_through
from tests.interleavings import plays
from tests.interleavings.baton import Play, explore

import sealrun.services.index.pointers
from sealrun.domain.address import AttemptId, Digest, Key, generation_key, intent_key, object_key, pending_prefix
from sealrun.domain.registry.indexing import Rows, merge_rows
from sealrun.domain.registry.pointing import Generation, PointerName
from sealrun.domain.registry.publication import AttemptTicket, Intent, Outcome, Stored
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Source
from sealrun.services.index.indexing import Index
from sealrun.services.index.pointers import Looked, Pointers
from sealrun.services.publication.announcing import Announcer, SealedAttempt
from sealrun.services.publication.placing import Place, RunRecords
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.recovering import Found, Recovery
from sealrun.services.publication.supplying import Supplier
from sealrun.services.publication.uploading import Sources
from sealrun.services.storage.certainty import Certainty

Patch = pytest.MonkeyPatch


def _noticed_by_work(scenario: type[Scenario], match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        good_calls(scenario())


def _noticed_by_faults(scenario: type[Scenario], match: str, *modes: Mode) -> None:
    with pytest.raises(AssertionError, match=match):  # noqa: PT012 - any of the cases may be the one that notices
        for number, mode in cases(good_calls(scenario()), modes):
            live_through(scenario(), [{number: mode}])


def _noticed_by_play(play: type[Play], preemptions: int, match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        explore(play, preemptions)


# ---------------------------------------------------------------- the order of writes


def test_an_outcome_before_the_uploads_is_noticed(monkeypatch: Patch) -> None:
    uploads: list[tuple[Key, Source]] = []
    commit = Publisher._commit

    def attempt(
        self: Supplier, records: RunRecords, ticket: AttemptTicket, sources: Sources, *others: object
    ) -> dict[Digest, Stored]:
        assert not any(others), "it was begun before, or something waits or went ahead"
        self._certainty.create(intent_key(ticket.attempt), _intent(records, ticket).encode())
        first = {entry.sha256: entry for entry in records.manifest.entries}
        keys = {digest: object_key(digest, ticket.attempt) for digest in first}
        uploads.extend((keys[digest], sources(first[digest])) for digest in keys)
        return {digest: Stored(keys[digest], first[digest].size) for digest in keys}

    def hasty(
        self: Publisher,
        records: RunRecords,
        ticket: AttemptTicket,
        objects: dict[Digest, Stored],
        instead_of: AttemptId | None,
    ) -> tuple[Outcome, SealedAttempt]:
        done = commit(self, records, ticket, objects, instead_of)
        self._store.put_many(uploads)
        return done

    monkeypatch.setattr(Supplier, "supply", attempt)
    monkeypatch.setattr(Publisher, "_commit", hasty)
    _noticed_by_work(scenarios.FirstPublish, "I8")


def test_an_intent_deleted_before_the_announcement_is_noticed(monkeypatch: Patch) -> None:
    announce = Announcer.announce

    def hasty(self: Announcer, sealed: SealedAttempt) -> None:
        self._store.discard(intent_key(sealed.attempt))
        announce(self, sealed)

    monkeypatch.setattr(Announcer, "announce", hasty)
    _noticed_by_work(scenarios.FirstPublish, "I9")


def test_pending_rows_deleted_before_the_base_are_noticed(monkeypatch: Patch) -> None:
    compact = Index.compact

    def hasty(self: Index) -> int:
        kept = [(f.key, self._store.read(f.key)) for f in self._store.list(pending_prefix(self._experiment))]
        for key, _ in kept:
            self._store.discard(key)
        for key, body in kept:
            self._store.create(key, body)
        return compact(self)

    monkeypatch.setattr(Index, "compact", hasty)
    _noticed_by_work(scenarios.Compaction, "I9")


# ---------------------------------------------------------------- who decides


def test_believing_to_have_won_every_creation_is_noticed(monkeypatch: Patch) -> None:
    def create(self: Certainty, key: Key, body: bytes) -> bytes:
        self._until_certain(lambda: self._store.create(key, body))
        return body

    monkeypatch.setattr(Certainty, "create", create)
    _noticed_by_play(plays.SameNameTwice, 1, r"I\d|out of date")


def test_voiding_without_a_record_is_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Recovery, "_void", lambda self, found: self._store.discard(intent_key(found.intent.attempt)))
    _noticed_by_play(plays.VoidedAnyTime, 1, "I9")


def test_voiding_against_a_sealed_outcome_is_noticed(monkeypatch: Patch) -> None:
    original = Recovery._void

    def void(self: Recovery, found: Found) -> None:
        def discard(sealed: SealedAttempt) -> None:
            self._store.discard(intent_key(sealed.attempt))

        with monkeypatch.context() as inside:
            inside.setattr(self._announcer, "announce", discard)
            original(self, found)

    monkeypatch.setattr(Recovery, "_void", void)
    _noticed_by_play(plays.VoidedOnReturn, 2, "I9")


def test_taking_another_run_under_the_same_id_for_ours_is_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Place, "claim", lambda _self, records: (records, True))
    _noticed_by_play(plays.SameNameTwice, 1, "one of the two was lost")


def test_a_compactor_that_deletes_rows_which_another_base_lacks_is_noticed(monkeypatch: Patch) -> None:
    def compact(self: Index) -> int:
        pending = self._pending()
        base = self._head()
        body = merge_rows(base.rows, (row for row, _ in pending.rows), pending.dropped).base()
        self._certainty.create(
            generation_key(f"experiments/{self._experiment}/index/base/", base.number + 1, ".jsonl"), body
        )
        self._project(base.number + 1, body)
        for _, key in pending.rows:
            self._store.discard(key)
        return len(pending.rows)

    monkeypatch.setattr(Index, "compact", compact)
    _noticed_by_play(plays.TwoCompactors, 2, "I9|out of date")


# ---------------------------------------------------------------- readers


def test_a_reader_that_reads_the_base_before_the_pending_rows_is_noticed(monkeypatch: Patch) -> None:
    def rows(self: Index) -> Rows:
        base = self._head().rows
        pending = self._pending()
        return merge_rows(base, (row for row, _ in pending.rows), pending.dropped)

    monkeypatch.setattr(Index, "rows", rows)
    _noticed_by_play(plays.Listed, 1, "not listed")


# ---------------------------------------------------------------- pointers


def test_latest_that_moves_back_is_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(sealrun.services.index.pointers, "should_advance", lambda _current, _candidate: True)
    _noticed_by_work(scenarios.LateOldRun, "moved back")


def test_an_overwritten_generation_is_noticed(monkeypatch: Patch) -> None:
    create = Certainty.create

    def overwrite(self: Certainty, key: Key, body: bytes) -> bytes:
        if "/pointers/" in key:
            self._store.replace(key, body)
            return body
        return create(self, key, body)

    monkeypatch.setattr(Certainty, "create", overwrite)
    _noticed_by_work(scenarios.FirstPublish, "create, and never again")


def test_a_lost_race_for_a_generation_that_is_not_noticed_by_the_mover_is_noticed(monkeypatch: Patch) -> None:
    create = Certainty.create

    def blind(self: Certainty, key: Key, body: bytes) -> bytes:
        stands = create(self, key, body)
        return body if "/pointers/" in key else stands

    monkeypatch.setattr(Certainty, "create", blind)
    _noticed_by_play(plays.TwoMovers, 1, "did not happen")


def test_a_redo_that_forgets_the_projection_is_noticed(monkeypatch: Patch) -> None:
    move = Pointers._move

    def lazy(
        self: Pointers, pointer: PointerName, why: str, decide: object, looked: Looked | None
    ) -> Generation | None:
        with monkeypatch.context() as inside:
            head = self._head(pointer)
            if head is not None and decide(head[0].target) is None:  # type: ignore[operator] # the decision of `_move`
                inside.setattr(self, "_project", lambda *_: None)
            return move(self, pointer, why, decide, looked)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Pointers, "_move", lazy)
    _noticed_by_faults(scenarios.FirstPublish, "out of date", Mode.CRASH)


def test_a_slow_mover_that_hides_a_later_move_is_noticed(monkeypatch: Patch) -> None:
    def once(self: Pointers, pointer: PointerName, _generation: Generation, body: bytes) -> None:
        if pointer.projection is not None:
            self._store.replace(pointer.projection, body)

    monkeypatch.setattr(Pointers, "_project", once)
    _noticed_by_play(plays.TwoMovers, 1, "out of date")


def test_a_redo_that_forgets_the_copy_of_a_published_name_is_noticed(monkeypatch: Patch) -> None:
    publish_name = Announcer._publish_name

    def lazy(self: Announcer, sealed: SealedAttempt, path: str, name: str) -> None:
        newest = self._pointers.newest(PointerName.of_artifact(name))
        if newest is None or newest.target.attempt != sealed.attempt:
            publish_name(self, sealed, path, name)

    monkeypatch.setattr(Announcer, "_publish_name", lazy)
    _noticed_by_faults(scenarios.PublishedNames, "out of date", Mode.CRASH)


def test_a_slow_publisher_that_hides_a_later_copy_of_a_name_is_noticed(monkeypatch: Patch) -> None:
    def once(self: Announcer, sealed: SealedAttempt, path: str, name: str) -> None:
        pointer, target = PointerName.of_artifact(name), msgspec.structs.replace(sealed.target, path=path)
        shown = self._pointers.advance(pointer, target, "once") or self._pointers.newest(pointer)
        if shown is not None:
            self._project_name(sealed, name, shown)

    monkeypatch.setattr(Announcer, "_publish_name", once)
    _noticed_by_play(plays.SharedBytes, 2, "out of date|meta.json is wrong")


def test_a_compaction_that_forgets_the_projection_when_the_base_is_there_is_noticed(monkeypatch: Patch) -> None:
    compact = Index.compact

    def lazy(self: Index) -> int:
        with monkeypatch.context() as inside:
            base = self._head().rows
            pending = self._pending()
            if merge_rows(base, (row for row, _ in pending.rows), pending.dropped).base() == base.base():
                inside.setattr(self, "_project", lambda *_: None)
            return compact(self)

    monkeypatch.setattr(Index, "compact", lazy)
    _noticed_by_faults(scenarios.Compaction, "out of date", Mode.CRASH)


def test_an_attempt_that_ends_beside_a_standing_run_and_leaves_its_intent_is_noticed(monkeypatch: Patch) -> None:
    def keep(self: Publisher, outcome: Outcome, _ticket: AttemptTicket, run: SealedRun) -> Published:
        standing = self._sealed_by_others(outcome)
        assert standing is not None
        return self._already(standing, run)

    monkeypatch.setattr(Publisher, "_give_way", keep)
    monkeypatch.setattr(Recovery, "execute", lambda _self, _plan: [])
    _noticed_by_play(plays.SameRunTwice, 1, "left behind")


def _intent(records: RunRecords, ticket: AttemptTicket) -> Intent:
    """The intent that a publisher would write."""
    return Intent(
        attempt=ticket.attempt,
        nonce=ticket.nonce,
        owner=ticket.owner,
        purpose="publish",
        experiment=records.envelope.experiment,
        run_id=records.envelope.run_id,
        created_at=ticket.created_at,
        heartbeat_at=ticket.created_at,
        digests=tuple(sorted(records.manifest.digests())),
    )
