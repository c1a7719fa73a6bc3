"""Which attempt, if any, holds a run: the one question that decides whether a run is there."""

from __future__ import annotations

from sealrun.domain.address import AttemptId, outcome_key, parse_attempt, retired_key, seals_prefix
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.publication import Outcome
from sealrun.ports import Glimpse, Store
from sealrun.services.threads.fanning import both


def attempts_of(store: Store, experiment: str, run_id: str) -> list[AttemptId]:
    """Attempts that left a seal marker in the run folder, newest first."""
    prefix = seals_prefix(experiment, run_id)
    names = (found.key.removeprefix(prefix).removesuffix(".json") for found in store.list(prefix))
    return sorted((parse_attempt(name) for name in names), reverse=True)


def read_outcome(store: Glimpse, attempt: AttemptId) -> Outcome | None:
    """The attempt's outcome, or None if it has none yet."""
    key = outcome_key(attempt)
    try:
        return Outcome.decode(store.read(key), key)
    except NotFoundError:
        return None


def find_standing(store: Store, experiment: str, run_id: str) -> Outcome | None:
    """The outcome of the newest attempt that sealed the run and is not retired, or None: then the run is not there.

    An attempt may be retired because a newer one took its place after the list was read: then it is read again.
    """
    seen: list[AttemptId] = []
    while (attempts := attempts_of(store, experiment, run_id)) != seen:
        for attempt in attempts:
            outcome, retired = _ending(store, attempt)
            if outcome is not None and outcome.decision == "sealed" and not retired:
                return outcome
        seen = attempts
    return None


def _ending(store: Store, attempt: AttemptId) -> tuple[Outcome | None, bool]:
    """The outcome of an attempt, which never changes, and whether it is retired: asked together where that takes time.

    A seal marker comes after the outcome, so that hardly ever one of the two was asked in vain.
    """
    return both(
        lambda: read_outcome(store, attempt),
        lambda: store.stat(retired_key(attempt)) is not None,
        store.capabilities.side_by_side,
    )


def find_retired(store: Store, experiment: str, run_id: str) -> Outcome | None:
    """The outcome of the newest attempt that sealed the run and was retired; asked where no attempt stands."""
    for attempt in attempts_of(store, experiment, run_id):
        outcome = read_outcome(store, attempt)
        if outcome is not None and outcome.decision == "sealed" and store.stat(retired_key(attempt)) is not None:
            return outcome
    return None
