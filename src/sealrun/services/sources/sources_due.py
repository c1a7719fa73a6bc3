"""What the journal and a look at the folders tell about sources that may be deleted some day. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from sealrun.domain.errors import SealrunError
from sealrun.domain.records import sha256
from sealrun.domain.upkeep.reclaiming import SourceFacts, uncovered_problem
from sealrun.domain.watches.watch import ReclaimRule, WatchSpec
from sealrun.ports import Delivery, FolderRecord, FolderSource, Journal, SourceRemover, Survey
from sealrun.services.watching.detecting import fingerprint_of

REFUSED = "reclaim:refused"
"""The fact that remembers refusals: path → (until, reason)."""


NEVER_QUEUED = "never queued for it; publish it there, or take the registry out of the watch"


class WatchedSource(msgspec.Struct, frozen=True):
    """A watch and where its candidates are found."""

    watch: WatchSpec
    source: FolderSource


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed source as the journal knows it, with the deliveries of its seal."""

    place: WatchedSource
    rule: ReclaimRule
    record: FolderRecord
    deliveries: tuple[Delivery, ...]

    @property
    def ref(self) -> str:
        """The run, as the first registry that has it knows it."""
        done = next((each.published for each in self.deliveries if each.published is not None), None)
        return done.ref if done else f"{self.place.watch.experiment_of(self.record.path)}/{self.record.run_id}"


class Ledger:
    """One reading of the journal: which sources are sealed, and where their runs are."""

    def __init__(self, journal: Journal, places: Sequence[WatchedSource]) -> None:
        """Read the journal now."""
        self._journal = journal
        self._places = {place.watch.name: place for place in places}
        self._by_seal: dict[int, list[Delivery]] = {}
        for delivery in journal.deliveries.all():
            self._by_seal.setdefault(delivery.sealed, []).append(delivery)

    def cases(self) -> list[Case]:
        """Every sealed source of the watches that reclaim."""
        records = (record for name in self._places for record in self._journal.folders.all(name))
        cases = (self.case(record) for record in records if record.state == "sealed")
        return [case for case in cases if case is not None]

    def case(self, record: FolderRecord) -> Case | None:
        """What is known of one source, if its watch reclaims and it was sealed. A watch may have moved elsewhere."""
        place = self._places.get(record.watch)
        if place is None or place.watch.reclaim is None or record.sealed is None or record.manifest_sha256 is None:
            return None
        if not record.path.startswith(place.watch.path.rstrip("/") + "/"):
            return None
        deliveries = sorted(self._by_seal.get(record.sealed, ()), key=lambda delivery: delivery.id)
        return Case(place=place, rule=place.watch.reclaim, record=record, deliveries=tuple(deliveries))


class Waiting(NamedTuple):
    """A delivery that is not published now: where its bytes are, by the real path, and which content they are."""

    delivery: Delivery
    folder: str
    content: str


class Needs:
    """Who still takes bytes from which folder: deliveries that are not published."""

    def __init__(self, journal: Journal, remover: SourceRemover) -> None:
        """Ask `journal` every time; what a sealed run is never changes, so that is remembered.

        One folder may have several paths: commands know it by another than a watch that is reached by a link.
        """
        self._journal = journal
        self._real = remover.real
        self._runs: dict[int, tuple[str, str]] = {}

    def of(self, case: Case, waiting: Sequence[Waiting] | None = None) -> tuple[str, ...]:
        """Deliveries of other seals for which the folder, one inside it or one around it is the source of bytes.

        What is parked and of other content cannot be completed from this folder any more. `waiting` is what `waiting`
        said, where many cases are looked at.
        """
        found: list[str] = []
        path = self._real(case.record.path)
        for delivery, folder, content in self.waiting() if waiting is None else waiting:
            if delivery.sealed == case.record.sealed or not _touch(folder, path):
                continue
            if delivery.state == "queued" or content == case.record.manifest_sha256:
                found.append(f"sealed run {delivery.sealed} is {delivery.state} for registry {delivery.registry!r}")
        return tuple(found)

    def waiting(self) -> Sequence[Waiting]:
        """Every delivery that is not published now."""
        found = *self._journal.deliveries.all(state="queued"), *self._journal.deliveries.all(state="parked")
        runs = [self._run(delivery.sealed) for delivery in found]
        real = {folder: self._real(folder) for folder, _ in runs}
        return [Waiting(each, real[folder], content) for each, (folder, content) in zip(found, runs, strict=True)]

    def _run(self, sealed: int) -> tuple[str, str]:
        if sealed not in self._runs:
            run = self._journal.deliveries.run(sealed)
            self._runs[sealed] = (run.folder, sha256(run.manifest_json))
        return self._runs[sealed]


def facts_of_source(case: Case, refusals: Mapping[str, tuple[float, str]], *, paused: bool) -> SourceFacts:
    """Put together what a plan decides from, without what costs more than a look into the journal."""
    record = case.record
    until, refusal = refusals.get(record.path, (0.0, ""))
    done = [delivery for delivery in case.deliveries if delivery.state == "published"]
    lacking = dict.fromkeys(case.place.watch.registries, NEVER_QUEUED)  # of a registry that the watch got later
    return SourceFacts(
        watch=record.watch,
        path=record.path,
        ref=case.ref,
        rule=case.rule,
        sealed_at=record.since,
        published={delivery.registry: delivery.published_at or record.since for delivery in done},
        unpublished={
            name: state
            for name, state in {**lacking, **{each.registry: each.state for each in case.deliveries}}.items()
            if state != "published"
        },
        refused_until=until,
        refusal=refusal,
        paused=paused,
    )


def looked_at(case: Case, facts: SourceFacts, readers: tuple[str, ...], remover: SourceRemover) -> SourceFacts:
    """Add what a look at the folder tells: its size, and whether it is what was sealed and nothing more."""
    facts = msgspec.structs.replace(facts, readers=readers)
    path, unit = case.record.path, case.place.watch.unit
    try:
        survey = case.place.source.open(path).survey()
        everything = remover.look(path, unit)
    except SealrunError as error:
        return msgspec.structs.replace(facts, problem=str(error))
    problem = survey.problem
    if problem is None and fingerprint_of(Survey(survey.tree, None)) != case.record.fingerprint:
        problem = "changed since it was sealed"
    if problem is None:
        shown = survey.tree.files.keys() | {link.path for link in survey.tree.links}
        problem = uncovered_problem((everything.files.keys() | {link.path for link in everything.links}) - shown)
    sizes = [file.size for file in everything.files.values()]
    return msgspec.structs.replace(facts, problem=problem, size=sum(sizes), files=len(sizes))


def read_refusals(journal: Journal) -> dict[str, tuple[float, str]]:
    """Which sources were refused not long ago, until when they are left alone, and why."""
    fact = journal.facts.fact(REFUSED)
    return msgspec.convert(fact, dict[str, tuple[float, str]]) if isinstance(fact, dict) else {}


def _touch(one: str, other: str) -> bool:
    return one == other or one.startswith(other.rstrip("/") + "/") or other.startswith(one.rstrip("/") + "/")
