"""When a run's source folder may be deleted: a pure plan with a reason for every folder, and the last comparison.

A plan says what is due by the journal and by how the folder looks. It deletes nothing and proves nothing: whoever
carries it out has every copy verified and every byte of the source read again first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from sealrun.domain.runs.declarations import utc_text
from sealrun.domain.runs.manifest import Entry, Link, Manifest
from sealrun.domain.watches.watch import ReclaimRule

DONE_MARKER = ".sealrun/done.json"
"""The one file that may go although no registry has it: what it said is in ``run.json``."""
_NAMED = 3


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one sealed source. Times are POSIX seconds.

    `ref` names the run, `sealed_at` is when the journal last saw its folder sealed. `published` maps registries to when
    they got it; `unpublished` lists those that have not, with their state. `readers` are other deliveries that still
    take bytes from the folder. `problem` is what is wrong with how it looks now. `refused_until`: an attempt failed not
    long ago, for `refusal`. `paused`: a person holds the watch back.
    """

    watch: str
    path: str
    ref: str
    rule: ReclaimRule
    sealed_at: float
    published: dict[str, float]
    unpublished: dict[str, str]
    readers: tuple[str, ...] = ()
    problem: str | None = None
    size: int | None = None
    files: int | None = None
    refused_until: float = 0.0
    refusal: str = ""
    paused: bool = False


class Reclaimable(msgspec.Struct, frozen=True, kw_only=True):
    """One source: whether it is due, and why or why not. `due_at` is None while that is not known."""

    watch: str
    path: str
    ref: str
    size: int | None
    files: int | None
    due: bool
    due_at: float | None
    reasons: tuple[str, ...]


class ReclaimPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Every sealed source of the watches that reclaim, by watch and path."""

    sources: tuple[Reclaimable, ...]

    @property
    def due(self) -> tuple[Reclaimable, ...]:
        """Those that are deleted once their copies are verified."""
        return tuple(source for source in self.sources if source.due)


def plan_reclaim(sources: Iterable[SourceFacts], now: float, *, patient: bool = True) -> ReclaimPlan:
    """Decide for every source. Not `patient`: also of what was refused not long ago, and of watches that are paused."""
    ordered = sorted(sources, key=lambda source: (source.watch, source.path))
    return ReclaimPlan(sources=tuple(_judge(source, now, patient=patient) for source in ordered))


def _judge(source: SourceFacts, now: float, *, patient: bool) -> Reclaimable:
    due_at = _due_at(source)
    against = _against(source)
    if due_at is not None and now < due_at:
        against.append(f"not before {utc_text(due_at)}")
    if patient and source.paused:
        against.append("its watch is paused")
    if not against and patient and now < source.refused_until:
        against.append(f"not tried again before {utc_text(source.refused_until)}: {source.refusal}")
    why = () if due_at is None else (f"published to {', '.join(sorted(source.published))}, due {utc_text(due_at)}",)
    return Reclaimable(
        watch=source.watch,
        path=source.path,
        ref=source.ref,
        size=source.size,
        files=source.files,
        due=not against,
        due_at=due_at,
        reasons=tuple(against) or why,
    )


def _due_at(source: SourceFacts) -> float | None:
    """Count from the last registry that got it; a folder that came back later counts from then."""
    if not source.published or source.unpublished:
        return None
    return max(source.sealed_at, *source.published.values()) + source.rule.after_s


def _against(source: SourceFacts) -> list[str]:
    against = [
        f"registry {name!r} does not have it yet ({state})" for name, state in sorted(source.unpublished.items())
    ]
    if len(source.published) < source.rule.copies and not against:
        against.append(f"{len(source.published)} registries have it, {source.rule.copies} are asked for")
    against.extend(f"its files are still needed: {reader}" for reader in source.readers)
    if source.problem is not None:
        against.append(source.problem)
    return against


def uncovered_problem(uncovered: Collection[str]) -> str | None:
    """Say that a folder stays for what no registry has, or return None. Paths are those inside the folder."""
    if not uncovered:
        return None
    named = ", ".join(map(repr, sorted(uncovered)[:_NAMED]))
    more = f" and {len(uncovered) - _NAMED} more" if len(uncovered) > _NAMED else ""
    return f"holds files that no registry has: {named}{more}"


def difference(
    manifest: Manifest,
    entries: Iterable[Entry],
    links: Iterable[Link],
    directories: Iterable[str],
    *,
    begun: bool = False,
) -> str | None:
    """Say how what a source holds now differs from its seal, or return None. Empty folders that were excluded may be.

    `begun`: a deletion that was interrupted goes on, so anything may be missing already, but nothing be different.
    """
    sealed = {entry.path: entry for entry in manifest.entries}
    found = {entry.path: entry for entry in entries}
    linked = {link.path: link.target for link in manifest.links}
    links_found = {link.path: link.target for link in links}
    problem = uncovered_problem((found.keys() - sealed.keys()) | (links_found.keys() - linked.keys()))
    if problem is not None:
        return problem
    changed = [path for path, entry in found.items() if entry != sealed[path]]
    changed += [path for path, target in links_found.items() if target != linked[path]]
    if changed:
        return f"changed since it was sealed: {min(changed)!r}"
    if begun:
        return None
    missing = sealed.keys() - found.keys() | linked.keys() - links_found.keys()
    missing |= set(manifest.directories) - set(directories)
    return f"changed since it was sealed: {min(missing)!r} is missing" if missing else None
