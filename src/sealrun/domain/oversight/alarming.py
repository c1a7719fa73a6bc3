"""What is an alarm, when one begins to stand and when it is over: pure, over what was observed.

An alarm stands on one subject (a registry, a watch, a timer, a folder), not on each run: its reason names those. So
there are never more of them than there are things in the settings. What comes and goes does not spam: trouble of some
kinds has to last before it is an alarm, and has to be gone for a while before the alarm is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from sealrun.domain.moments import read_time
from sealrun.domain.oversight.board import Alarm, Severity

Kind = Literal[
    "registry-unreachable",
    "registry-refused",
    "registry-full",
    "low-space",
    "watch-missing",
    "run-stale",
    "run-rejected",
    "run-missing",
    "damage",
    "collector-refused",
    "delivery-parked",
    "settings-refused",
    "http-unavailable",
    "timer-failing",
]
RAISED, CLEARED = "alarm.raised", "alarm.cleared"
RELOAD = "have it reload: systemctl reload sealrun, with --user for a service of your own, or SIGHUP to it"
"""What to do about a daemon that goes by other settings than those that are written."""
_NAMED = 3


class Nature(msgspec.Struct, frozen=True):
    """What holds of all alarms of a kind: how bad they are, and the first thing to do.

    `lasting`: trouble counts only once it has lasted for a time. `flaps`: it is over only once it was gone for a time.
    `judged`: what is observed now says whether it stands; else whoever raised it says when it is over.
    """

    severity: Severity
    do: str
    lasting: bool = False
    flaps: bool = False
    judged: bool = True


KINDS: Mapping[Kind, Nature] = {
    "registry-unreachable": Nature(
        "critical",
        "bring the server or the disk back; then: sealrun doctor --retry",
        lasting=True,
        flaps=True,
    ),
    "registry-refused": Nature("critical", "mend the credentials; then: sealrun doctor --retry", flaps=True),
    "registry-full": Nature(
        "critical", "make room there: sealrun gc --registry NAME --dry-run; then: sealrun doctor --retry", flaps=True
    ),
    "low-space": Nature("warning", "make room on that disk; what sealrun would free: sealrun gc --dry-run", flaps=True),
    "watch-missing": Nature("critical", "mount or make the folder again; nothing was marked as gone", flaps=True),
    "run-stale": Nature("warning", "ask what it waits for: sealrun detect FOLDER --explain"),
    "run-rejected": Nature("warning", "mend the folder by the reason given: sealrun detect FOLDER --explain"),
    "run-missing": Nature("warning", "look why no run came: the job that should have made it"),
    "damage": Nature("critical", "sealrun repair --registry NAME --dry-run, then without --dry-run", judged=False),
    "collector-refused": Nature("warning", "read the reason; look first: sealrun gc --dry-run", judged=False),
    "delivery-parked": Nature("critical", "mend what the reason names; then: sealrun doctor --retry"),
    "settings-refused": Nature("warning", "sealrun config validate; mend it, and reload the daemon", judged=False),
    "http-unavailable": Nature("warning", "free the address, or choose another: [http] listen", judged=False),
    "timer-failing": Nature("warning", "look into the daemon's log for that timer", lasting=True, flaps=True),
}


def key_of(kind: str, subject: str) -> str:
    """Return what names an alarm as long as it stands."""
    return f"{kind}:{subject}"


def help_of(kind: str) -> str:
    """Return the command that prints the section of the runbook about a kind: it is there wherever sealrun is."""
    return f"sealrun runbook {kind}"


def advice(kind: str) -> str:
    """Return the first thing to do about an alarm of this kind; nothing for a kind that a newer version raised."""
    return next((nature.do for known, nature in KINDS.items() if known == kind), "")


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now. `since` is POSIX seconds where that is known, else it is since it was first seen."""

    kind: Kind
    subject: str
    reason: str
    since: float | None = None
    severity: Severity | None = None

    @property
    def key(self) -> str:
        """What names the alarm that this may become."""
        return key_of(self.kind, self.subject)


class AlarmRules(msgspec.Struct, frozen=True, kw_only=True):
    """How long trouble lasts until it is an alarm, and is gone until the alarm is over: seconds.

    `low_bytes` and `low_share`: a disk with less free is low on space. The greater of the two counts, but never more
    than `low_most` of the disk: on a small one a tenth is plenty.
    """

    unreachable_after_s: float = 900.0
    clear_after_s: float = 120.0
    low_bytes: int = 1 << 30
    low_share: float = 0.01
    low_most: float = 0.1
    interval_s: float = 30.0


class Seen(msgspec.Struct, frozen=True):
    """Since when trouble was seen, without having been gone for long; and when it was last there."""

    first: float
    last: float


class Judged(msgspec.Struct, frozen=True):
    """What changes: trouble that is an alarm now (or still, perhaps with another reason), keys of alarms that are over.

    `quiet`: keys of alarms that are over unless they come back soon, and when each was last seen. `seen` is to be
    remembered until the next time.
    """

    stands: tuple[Trouble, ...]
    over: tuple[str, ...]
    quiet: Mapping[str, float]
    seen: Mapping[str, Seen]


def judge(
    troubles: Iterable[Trouble], standing: Iterable[Alarm], seen: Mapping[str, Seen], rules: AlarmRules, now: float
) -> Judged:
    """Judge from everything that is wrong at `now` (POSIX seconds), what stands, and what was seen before.

    Alarms that are not judged by observation are left alone, whatever is observed.
    """
    there = {trouble.key: trouble for trouble in troubles}
    known = {alarm.key for alarm in standing}
    memory = dict(seen)
    for key, trouble in there.items():
        before = memory.get(key)
        began = now if trouble.since is None else min(trouble.since, now)
        memory[key] = Seen(began if before is None else min(before.first, began), now)
    stands = tuple(
        trouble for key, trouble in there.items() if key in known or now - memory[key].first >= _lasts(trouble, rules)
    )
    over: list[str] = []
    quiet: dict[str, float] = {}
    for alarm in standing:
        nature = next((nature for kind, nature in KINDS.items() if kind == alarm.kind), None)
        if alarm.key in there or nature is None or not nature.judged:
            continue
        last = memory.setdefault(alarm.key, Seen(now, min(now, read_time(alarm.quiet_since) or now))).last
        if not nature.flaps or now - last >= rules.clear_after_s:
            over.append(alarm.key)
        else:
            quiet[alarm.key] = last
    kept = {
        key: each for key, each in memory.items() if key not in over and now - each.last < _longest(key, known, rules)
    }
    return Judged(stands, tuple(over), quiet, kept)


def _lasts(trouble: Trouble, rules: AlarmRules) -> float:
    return rules.unreachable_after_s if KINDS[trouble.kind].lasting else 0.0


def _longest(key: str, known: Iterable[str], rules: AlarmRules) -> float:
    """What stands is remembered as long as it does; what does not yet, until it was gone for long enough."""
    return float("inf") if key in known else max(rules.clear_after_s, 1e-9)


def several(what: str, names: Sequence[str], count: int) -> str:
    """Say how many there are of something, and name the first few."""
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return f"{count} {what}: {'; '.join(names[:_NAMED])}{more}"


def matters(severity: str, least: Severity | None) -> bool:
    """Tell whether an alarm is at least so bad."""
    return least != "critical" or severity == "critical"
