from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.gated import Call, GatedStore
from tests.fakes.store import ModelStore

from sealrun.domain.address import AttemptId, intent_key, outcome_key
from sealrun.domain.errors import AccessDeniedError, OutcomeUnknownError, UnavailableError
from sealrun.services.storage.certainty import Certainty

T = TypeVar("T")
ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
KEY = outcome_key(ATTEMPT)


class Troubled:
    """A gate that raises what is left in `errors` instead of answering; `sent` says whether the call is carried out."""

    def __init__(self, *errors: Exception, sent: bool) -> None:
        self.errors = list(errors)
        self.sent = sent
        self.calls: list[Call] = []

    def __call__(self, call: Call, act: Callable[[], T]) -> T:
        self.calls.append(call)
        if not self.errors:
            return act()
        if self.sent:
            act()
        raise self.errors.pop(0)


def certainty(gate: Troubled, store: ModelStore, clock: FakeClock | None = None) -> Certainty:
    return Certainty(GatedStore(store, gate), clock or FakeClock(), FakeEntropy(1))


def test_a_creation_whose_answer_was_lost_turns_out_to_be_ours() -> None:
    store = ModelStore()
    assert certainty(Troubled(OutcomeUnknownError("lost"), sent=True), store).create(KEY, b"ours") == b"ours"


def test_the_loser_gets_the_winner_s_bytes() -> None:
    store = ModelStore()
    store.create(KEY, b"theirs")
    assert certainty(Troubled(sent=True), store).create(KEY, b"ours") == b"theirs"


def test_a_lost_answer_to_a_lost_race_still_gives_the_winner_s_bytes() -> None:
    store = ModelStore()
    store.create(KEY, b"theirs")
    gate = Troubled(OutcomeUnknownError("lost"), UnavailableError("down"), sent=False)
    assert certainty(gate, store).create(KEY, b"ours") == b"theirs"


def test_whoever_creates_first_is_told_so_unless_the_answer_was_lost() -> None:
    store = ModelStore()
    assert certainty(Troubled(sent=True), store).create_first(KEY, b"ours") == (b"ours", True)
    assert certainty(Troubled(sent=True), store).create_first(KEY, b"ours") == (b"ours", False)
    lost = certainty(Troubled(OutcomeUnknownError("lost"), sent=True), ModelStore())
    assert lost.create_first(KEY, b"ours") == (b"ours", False)
    unsent = certainty(Troubled(OutcomeUnknownError("down"), sent=False), ModelStore())
    assert unsent.create_first(KEY, b"ours") == (b"ours", True)


def test_two_records_without_a_nonce_and_with_the_same_bytes_both_count_as_written() -> None:
    store = ModelStore()
    both = [certainty(Troubled(sent=True), store).create(KEY, b"same") for _ in range(2)]
    assert both == [b"same", b"same"]


def test_a_record_deleted_between_the_creation_and_the_look_at_it_is_created_again() -> None:
    store, key = ModelStore(), intent_key(ATTEMPT)
    store.create(key, b"first")

    class Vanishing(Troubled):
        def __call__(self, call: Call, act: Callable[[], T]) -> T:
            if call.op == "read":
                store.discard(key)
            return super().__call__(call, act)

    assert certainty(Vanishing(sent=True), store).create(key, b"second") == b"second"


def test_a_store_that_stays_ambiguous_is_given_up_on_and_the_error_says_so() -> None:
    gate = Troubled(*[OutcomeUnknownError("lost")] * 99, sent=True)
    with pytest.raises(OutcomeUnknownError, match="lost"):
        certainty(gate, ModelStore()).create(KEY, b"ours")
    assert len(gate.calls) == 6


def test_waits_grow_between_tries() -> None:
    clock = FakeClock()
    certainty(Troubled(*[UnavailableError("down")] * 3, sent=False), ModelStore(), clock).create(KEY, b"ours")
    assert clock.monotonic() > 0.2 + 0.2


def test_a_permanent_refusal_is_not_tried_again() -> None:
    gate = Troubled(AccessDeniedError("no"), sent=False)
    with pytest.raises(AccessDeniedError):
        certainty(gate, ModelStore()).create(KEY, b"ours")
    assert len(gate.calls) == 1


def test_reading_rides_out_a_hiccup_and_absence_is_none() -> None:
    assert certainty(Troubled(UnavailableError("down"), sent=False), ModelStore()).read(KEY) is None


def test_an_outage_is_never_passed_off_as_absence() -> None:
    with pytest.raises(UnavailableError):
        certainty(Troubled(*[UnavailableError("down")] * 99, sent=False), ModelStore()).read(KEY)
