"""What becomes of a sealed run whose files turn out to be other ones before a registry had them."""

from __future__ import annotations

import msgspec

from sealrun.domain.runs.sealed import SealedRun
from sealrun.ports import Clock, FolderRecord, Journal


class Resettled(msgspec.Struct, frozen=True):
    """`again`: the folder was marked to settle again. `reason`: why the old delivery is parked, for people."""

    again: bool
    reason: str


def settle_again(journal: Journal, run: SealedRun, sealed: int, why: str, *, is_there: bool, clock: Clock) -> Resettled:
    """Have intake look at the folder once more, unless it has or there is none; durable on return.

    What was sealed there last is forgotten from its record, so that settling to the same bytes queues the parked
    delivery again, and settling to others queues a new run.
    """
    holders = [d.registry for d in journal.deliveries.of(sealed) if d.state == "published"]
    saved = f"registry {holders[0]!r} holds the sealed bytes" if holders else "no registry holds the sealed bytes yet"
    records = [record for record in journal.folders.all() if record.path == run.folder]
    if any(record.sealed is not None and record.sealed > sealed for record in records):
        return Resettled(again=False, reason=f"{run.folder}: superseded by a newer seal of the folder; {saved}")
    if not is_there:
        return Resettled(again=False, reason=f"{run.folder}: the source folder is gone, and {saved}")
    for record in records:
        _forget_seal(journal, record, why, clock)
    if not records:
        return Resettled(again=False, reason=f"{why} ({saved}; no watch looks at it: publish it again)")
    return Resettled(again=True, reason=f"{why} ({saved}; the folder settles again)")


def _forget_seal(journal: Journal, record: FolderRecord, why: str, clock: Clock) -> None:
    changed = msgspec.structs.replace(
        record,
        state="settling",
        reason=f"changed before it was published: {why}",
        since=clock.now().timestamp(),
        fingerprint="",
        manifest_sha256=None,
    )
    journal.folders.set(changed)
    journal.events.record("run.changed", record.path, watch=record.watch, reason=why)
