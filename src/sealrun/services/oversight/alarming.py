"""What stands and should be known: a durable list in the journal that every process of a state folder sees.

Each alarm is a fact of its own, so that a command and a daemon may raise and clear side by side. The event is recorded
before the fact: a crash between the two tells of it twice, never not at all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from sealrun.domain.moments import rfc3339, shown_time
from sealrun.domain.oversight.alarming import CLEARED, RAISED, AlarmRules, Kind, Seen, Trouble, help_of, judge, key_of
from sealrun.domain.oversight.alarming import KINDS as _KINDS
from sealrun.domain.oversight.board import Alarm, Severity
from sealrun.domain.ready import ready
from sealrun.ports import Clock, Journal

_log = logging.getLogger("sealrun.alarms")
_PREFIX = "alarm:"
_changing = threading.Lock()


def raise_alarm(
    journal: Journal,
    clock: Clock,
    kind: Kind,
    subject: str,
    severity: Severity,
    reason: str,
) -> Alarm:
    """Have an alarm stand, durably on return. One that stands keeps its `since`, and a new reason is no new event.

    The event ``alarm.raised`` is recorded when it begins to stand, and when it becomes worse. `reason` holds no secret.
    """
    subject, reason = _text(subject), _text(reason)
    key = key_of(kind, subject)
    with _changing:
        before = _read(journal, key)
        since = rfc3339(clock.now()) if before is None else before.since
        alarm = Alarm(
            key=key,
            kind=kind,
            subject=subject,
            severity=severity,
            reason=reason,
            since=since,
            help=help_of(kind),
        )
        if alarm == before:
            return alarm
        if before is None or (before.severity, severity) == ("warning", "critical"):
            _log.warning("alarm: %s %s: %s", kind, subject, reason)
            _tell(journal, RAISED, alarm)
        journal.facts.set_fact(_PREFIX + key, msgspec.to_builtins(alarm))
    return alarm


def clear_alarm(journal: Journal, clock: Clock, kind: str, subject: str) -> bool:
    """Have an alarm stand no more, and record ``alarm.cleared``; False, and nothing else, if it did not stand."""
    return _clear(journal, clock, key_of(kind, _text(subject)))


def standing(journal: Journal) -> tuple[Alarm, ...]:
    """What stands: the worst first, then what stands longest."""
    facts = journal.facts.facts(_PREFIX).values()
    found = (msgspec.convert(fact, ready(Alarm)) for fact in facts if fact is not None)
    helped = (msgspec.structs.replace(alarm, help=help_of(alarm.kind)) for alarm in found)  # of this very version
    return tuple(sorted(helped, key=lambda alarm: (alarm.severity != "critical", alarm.since, alarm.key)))


class Alarms:
    """Judges again and again from what is observed. One for each daemon: what flaps is remembered between looks."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        """Remember nothing but what stands."""
        self._journal = journal
        self._clock = clock
        self._seen: Mapping[str, Seen] = {}

    def round(self, observe: Callable[[Sequence[Alarm]], Sequence[Trouble]], rules: AlarmRules) -> None:
        """Look once: `observe` is told what stands, and says what is wrong now. Raises what it raises."""
        stood = standing(self._journal)
        judged = judge(observe(stood), stood, self._seen, rules, self._clock.now().timestamp())
        self._seen = judged.seen
        known = {alarm.key for alarm in stood}
        for trouble in judged.stands:
            severity = trouble.severity or _KINDS[trouble.kind].severity
            if trouble.kind == "run-missing" and trouble.key not in known:
                self._journal.events.record(
                    "run.missing", trouble.subject, watch=trouble.subject, reason=trouble.reason
                )
            raise_alarm(self._journal, self._clock, trouble.kind, trouble.subject, severity, trouble.reason)
        for key in judged.over:
            _clear(self._journal, self._clock, key)
        for key, last in judged.quiet.items():
            _quieten(self._journal, key, shown_time(last))


def _clear(journal: Journal, clock: Clock, key: str) -> bool:
    with _changing:
        alarm = _read(journal, key)
        if alarm is None:
            return False
        _log.info("alarm is over: %s %s", alarm.kind, alarm.subject)
        _tell(journal, CLEARED, alarm, at=rfc3339(clock.now()))
        journal.facts.drop_fact(_PREFIX + key)
    return True


def _quieten(journal: Journal, key: str, since: str) -> None:
    """Note that what an alarm is about is gone for now. It stands on: no event tells of it."""
    with _changing:
        alarm = _read(journal, key)
        if alarm is not None and alarm.quiet_since is None:
            quiet = msgspec.structs.replace(alarm, quiet_since=since)
            journal.facts.set_fact(_PREFIX + key, msgspec.to_builtins(quiet))


def _read(journal: Journal, key: str) -> Alarm | None:
    fact = journal.facts.fact(_PREFIX + key)
    return None if fact is None else msgspec.convert(fact, ready(Alarm))


def _tell(journal: Journal, event: str, alarm: Alarm, *, at: str | None = None) -> None:
    fields = {"severity": alarm.severity, "reason": alarm.reason, "since": alarm.since, "help": alarm.help}
    over = {} if at is None else {"cleared": at}
    journal.events.record(event, alarm.subject, key=alarm.key, alarm=alarm.kind, **fields, **over)


def _text(text: str) -> str:
    """Names of folders need not be text; the journal's are."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
