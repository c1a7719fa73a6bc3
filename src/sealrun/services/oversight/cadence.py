"""Remembers when runs of a watch came, from the journal's events, and says where one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from sealrun.domain.oversight.alarming import Trouble
from sealrun.domain.ready import ready
from sealrun.domain.watches.cadence import Expectation, History, due_by, missing, with_run
from sealrun.ports import Clock, Journal

_FACT = "cadence"
_AT_ONCE = 500


class _Known(msgspec.Struct, frozen=True):
    """What is remembered of all watches, up to the event of that number."""

    event: int
    watches: Mapping[str, History]


def run_due_by(journal: Journal, watch: str, expectation: Expectation) -> float | None:
    """Until when a run of a watch has to come, as a daemon last knew; None if that is not known, or not learned yet."""
    fact = journal.facts.fact(_FACT)
    known = None if fact is None else msgspec.convert(fact, ready(_Known)).watches.get(watch)
    return None if known is None else due_by(expectation, known)


class Cadence:
    """One for each daemon. Downtime does not count as a reason: times come from the journal, not from the start."""

    def __init__(self, journal: Journal, clock: Clock, started: float | None = None) -> None:
        """Begin to look now; `started`: what is there was looked around for since then (POSIX seconds)."""
        self._journal = journal
        self._clock = clock
        self._started = clock.now().timestamp() if started is None else started
        fact = journal.facts.fact(_FACT)
        self._known = _Known(0, {}) if fact is None else msgspec.convert(fact, ready(_Known))

    def missing(self, expected: Mapping[str, Expectation]) -> Sequence[Trouble]:
        """Say which of these watches, by name, miss a run. Takes in what was sealed since the last time."""
        self._take_in(expected)
        now = self._clock.now().timestamp()
        return [
            Trouble(kind="run-missing", subject=watch, reason=reason)
            for watch, expectation in expected.items()
            if (reason := missing(expectation, self._known.watches[watch], now, self._started)) is not None
        ]

    def _take_in(self, expected: Mapping[str, Expectation]) -> None:
        now = self._clock.now().timestamp()
        watches = dict(self._known.watches)
        for watch in expected:
            watches.setdefault(watch, History(now))
        number = self._known.event
        while found := self._journal.events.after(number, _AT_ONCE):
            number = int(found[-1]["id"])
            for event in found:
                name = event.get("watch")
                if event["kind"] == "run.sealed" and isinstance(name, str):
                    watches[name] = with_run(watches.get(name, History(float(event["at"]))), float(event["at"]))
        changed = watches != self._known.watches
        self._known = _Known(number, watches)
        if changed:
            self._journal.facts.set_fact(_FACT, msgspec.to_builtins(self._known))
