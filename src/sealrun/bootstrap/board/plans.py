"""What a collector would do now: the same plans as those of ``retire --dry-run`` and ``gc --dry-run``."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from sealrun.bootstrap.board.registries import RegistryLook
from sealrun.bootstrap.verbs.keeping import Keeper
from sealrun.domain.errors import CollectionRefusedError
from sealrun.domain.moments import shown_time
from sealrun.domain.oversight.board import CollectionLine, CollectionPlan
from sealrun.ports import Clock, Entropy
from sealrun.services.collection import collecting
from sealrun.settings.resolved import KeepingSettings

MOST_LINES = 500
"""Of each kind; the totals are of everything."""


def plan_collection(
    look: RegistryLook, keeping: KeepingSettings, next_at: str | None, clock: Clock, entropy: Entropy
) -> CollectionPlan:
    """Make the plans. Nothing is written, not even a probe of the store's clock. Takes as long as the commands do."""
    keeper = Keeper(look.spec, look.reader.store, keeping, clock, entropy)
    made_at = shown_time(clock.now().timestamp())
    retire = list(_first(_retired(keeper), MOST_LINES))
    try:
        plan = keeper.plan_collection(keeper.collector())
    except CollectionRefusedError as error:
        return CollectionPlan(
            registry=look.spec.name,
            made_at=made_at,
            next_at=next_at,
            retire=retire,
            condemn=(),
            sweep=(),
            total_bytes=0,
            refused=str(error),
        )
    return CollectionPlan(
        registry=look.spec.name,
        made_at=made_at,
        next_at=next_at,
        retire=retire,
        condemn=_condemned(plan),
        sweep=_swept(plan),
        total_bytes=plan.doomed.size,
        refused=plan.refused,
    )


def _retired(keeper: Keeper) -> Iterator[CollectionLine]:
    for plan in keeper.plan_policies(empty=False):
        for judged in plan.retired:
            run = judged.run
            reason = "; ".join(judged.reasons) or plan.why
            yield CollectionLine(what="run", name=f"{plan.experiment}/{run.run_id}", size=None, reason=reason)


def _condemned(plan: collecting.CollectionPlan) -> list[CollectionLine]:
    """Objects and packs that nothing needs, by the run that used them last; the largest first."""
    shares = heapq.nlargest(MOST_LINES, plan.shares, key=lambda share: share.size)
    return [
        CollectionLine(
            what="objects",
            name=share.ref or "attempts that sealed no run",
            size=share.size,
            reason=f"{share.objects} objects that nothing needs any more and that are older than the grace time",
        )
        for share in shares
    ]


def _swept(plan: collecting.CollectionPlan) -> list[CollectionLine]:
    """What is cleared away besides: uploads that were never finished, and old records."""
    lines = [
        CollectionLine(
            what="upload", name=upload.key, size=None, reason=f"begun {shown_time(upload.started)}, and never finished"
        )
        for upload in plan.unfinished[:MOST_LINES]
    ]
    lines += [
        CollectionLine(
            what="attempt",
            name=silent.attempt,
            size=silent.size,
            reason=f"never begun, and silent since {shown_time(silent.last)}: declared void, its objects go later",
        )
        for silent in plan.silent[: MOST_LINES - len(lines)]
    ]
    room = MOST_LINES - len(lines)
    return lines + [
        CollectionLine(what="record", name=found.key, size=found.size, reason="nobody can need it any more")
        for found in plan.residue.found[:room]
    ]


def _first(lines: Iterator[CollectionLine], most: int) -> Iterator[CollectionLine]:
    for number, line in enumerate(lines):
        if number == most:
            yield CollectionLine(what="run", name="and more", size=None, reason=f"only the first {most} are shown")
            return
        yield line
