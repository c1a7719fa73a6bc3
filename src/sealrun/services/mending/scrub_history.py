"""What verifications found: the last rounds of each registry, for people. The events tell of each damage by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import ScrubResult
from sealrun.domain.ready import ready
from sealrun.domain.upkeep.damage import VerifyReport
from sealrun.ports import Clock, Facts

MOST_ROUNDS = 200
MOST_DAMAGES = 50
_LONGEST = 500


def scrub_results(facts: Facts, registry: str) -> Sequence[ScrubResult]:
    """Return what is remembered of a registry, newest first."""
    known = facts.fact(_fact(registry))
    found = msgspec.convert(known, ready(list[ScrubResult])) if isinstance(known, list) else []
    return found[::-1]


def remember_scrub(
    facts: Facts, clock: Clock, registry: str, report: VerifyReport | None, problem: str | None = None
) -> None:
    """Remember a round, durably: what it found, or the `problem` that kept it from being one."""
    damages = () if report is None else report.damages
    said = [f"{damage.place}: {damage.kind}: {damage.detail}"[:_LONGEST] for damage in damages[:MOST_DAMAGES]]
    if len(damages) > MOST_DAMAGES:
        said.append(f"and {len(damages) - MOST_DAMAGES} more")
    result = ScrubResult(
        registry=registry,
        at=shown_time(clock.now().timestamp()),
        read_bytes=0 if report is None else report.bytes_read,
        runs=0 if report is None else report.runs,
        damage=said,
        problem=problem,
    )
    known = [result, *scrub_results(facts, registry)][:MOST_ROUNDS]
    facts.set_fact(_fact(registry), [msgspec.to_builtins(each) for each in reversed(known)])


def _fact(registry: str) -> str:
    return f"scrubs:{registry}"
