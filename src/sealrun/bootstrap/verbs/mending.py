"""The mender's side of the parts: verify a part in turn, and repair from replicas."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from sealrun.adapters.run_folders.replicas import FolderReplica, OriginalFolders
from sealrun.bootstrap.registries import Opener, RegistrySpec, find_spec, open_reader
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.errors import NoRegistryError, NotFoundError, SealrunError, UnavailableError, UsageError
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.upkeep.mending import RepairPlan, RepairReport
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.ports import Clock, Entropy, Journal, Replica, Source, Store
from sealrun.services.access.reading import Reader
from sealrun.services.mending.repairing import Repairer
from sealrun.services.mending.replicas import RegistryReplica, holds_its_bytes
from sealrun.services.mending.scrub_history import remember_scrub
from sealrun.services.mending.scrubbing import Scrubber, ScrubReport
from sealrun.services.mending.verifying import Verifier
from sealrun.services.oversight.damages import damage_texts, known_damage, note_damage
from sealrun.services.oversight.measuring import verified_fact
from sealrun.services.storage.opening import require_registry

Advance = Callable[[int], None]
ORIGINALS = "the original folders"
_log = logging.getLogger("sealrun.mending")


class Mender:
    """Repairs one registry from replicas. For a dry run nothing is probed there and nothing is written."""

    def __init__(
        self,
        spec: RegistrySpec,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        dry_run: bool,
    ) -> None:
        """Open the registry; what is done is told to the events of `journal`."""
        self._name = spec.name
        self._url = spec.url
        self._journal = journal
        self._dry_run = dry_run
        self._clock = clock
        self._entropy = entropy
        self._stores: list[Store] = []
        self._replicas: list[Replica] = []
        self._sealed: dict[tuple[str, str], set[int]] | None = None
        if dry_run:
            store = spec.open_store()
            self._stores.append(store)
            registry_id = require_registry(store, clock, entropy).registry_id
        else:
            opened = Opener(journal, clock, entropy).for_publishing(spec)
            store, registry_id = opened.store, opened.registry_id
            self._stores.append(store)
        self._registry_id = registry_id
        self._reader = Reader(store, clock, entropy)
        packing = spec.packing(store, journal.folder)
        self._repairer = Repairer(
            store, registry_id, journal.hints, clock, entropy, journal.state_id, whoami(), packing=packing
        )

    @property
    def url(self) -> str:
        """Where the registry is, fit for showing."""
        return self._reader.store.url

    @property
    def replicas(self) -> list[str]:
        """Names of the places where bytes are looked for, in order."""
        return [replica.name for replica in self._replicas]

    def use(self, wanted: Sequence[str], registries: Mapping[str, RegistrySpec], mirrors: Sequence[MirrorSpec]) -> None:
        """Look for bytes in the places that are `wanted`: registries and mirrors by name, URLs, paths.

        By default: the folders that were dropped, the mirrors of this registry, and every other registry in the
        settings. `NoRegistryError` or `UsageError` for a wanted place that is none.
        """
        if wanted:
            for place in wanted:
                self._replicas.append(self._place(place, registries, mirrors))
            return
        self._replicas.append(OriginalFolders(ORIGINALS, self._folders_of))
        self._replicas += [
            FolderReplica(mirror.name, mirror.path) for mirror in mirrors if mirror.registry == self._name
        ]
        for spec in registries.values():
            if spec.url != self._url:
                found = self._registry_if_there(spec)
                self._replicas += [] if found is None else [found]

    def sources(self, experiment: str, run_id: str) -> Callable[[Entry], Source]:
        """Where a run's bytes can be read elsewhere, for an undo: `NotFoundError` for those that nobody has."""

        def find(entry: Entry) -> Source:
            for replica in self._replicas:
                source = replica.find(experiment, run_id, entry)
                if source is not None and holds_its_bytes(source):
                    return source
            msg = (
                f"{experiment}/{run_id}:{entry.path}: its bytes are in none of: {', '.join(self.replicas) or 'nowhere'}"
            )
            raise NotFoundError(msg)

        return find

    def plan(self, ref: str | None = None, advance: Advance | None = None) -> RepairPlan:
        """Verify one run, or everything, and say what a repair would do."""
        verifier = Verifier(self._reader, copies=True, advance=advance)
        if ref is None:
            found = verifier.everything()
        else:
            target = self._reader.resolve(ref)
            found = verifier.whole_run(target.experiment, target.run_id)
        plan = self._repairer.plan(found, self._replicas)
        if ref is None and not self._dry_run:  # everything was looked at: what is not damaged any more is known now
            damaged = set(damage_texts(found.damages))
            note_damage(self._journal, self._clock, self._name, {}, lambda known: known not in damaged)
        return plan

    def repair(self, plan: RepairPlan) -> RepairReport:
        """Do what the plan says; durable on return, harmless to repeat."""
        report = self._repairer.execute(plan, self._replicas)
        for run in report.repaired:
            fields = {"attempt": run.attempt, "replaced": list(run.replaced), "pointers": list(run.pointers)}
            self._journal.events.record("run.repaired", run.ref, registry=self._name, **fields)
        for left in report.remaining:
            self._journal.events.record(
                "verify.damage", left.ref, registry=self._name, path=left.path, detail=left.detail
            )
        mended = {run.ref for run in report.repaired} | {made.ref for made in report.rebuilt}
        left_over = {left.ref: f"{left.path}: {left.detail}" if left.path else left.detail for left in report.remaining}
        note_damage(self._journal, self._clock, self._name, left_over, mended.__contains__)
        return report

    def close(self) -> None:
        """Close every store that was opened."""
        for store in self._stores:
            store.close()

    def _place(self, place: str, registries: Mapping[str, RegistrySpec], mirrors: Sequence[MirrorSpec]) -> Replica:
        for mirror in mirrors:
            if mirror.name == place and place not in registries:
                return FolderReplica(place, mirror.path)
        path = place.removeprefix("file://")
        is_folder = place not in registries and os.path.isdir(path)  # noqa: PTH112 - asked, not opened
        if is_folder and not os.path.exists(os.path.join(path, "registry.json")):  # noqa: PTH110, PTH118 - as above
            return FolderReplica(place, os.path.abspath(path))  # noqa: PTH100 - links stay as they are
        spec = find_spec(registries, os.path.abspath(path) if is_folder else place)  # noqa: PTH100 - as above
        if spec.url == self._url:
            msg = f"{place} is the registry that is to be repaired; name another place"
            raise UsageError(msg)
        return self._registry(spec, place)

    def _registry(self, spec: RegistrySpec, name: str) -> Replica:
        store = spec.open_store()
        self._stores.append(store)
        found = require_registry(store, self._clock, self._entropy)
        reader = Reader(store, self._clock, self._entropy)
        return RegistryReplica(name, reader, found.registry_id, self._journal.hints)

    def _registry_if_there(self, spec: RegistrySpec) -> Replica | None:
        """Open a registry that was not asked for: it may be down, or not made yet."""
        try:
            return self._registry(spec, spec.name)
        except NoRegistryError:
            return None
        except UnavailableError as error:
            _log.warning("%s cannot be asked for good bytes now: %s", spec.name, error)
            return _Unreachable(spec.name, error)

    def _folders_of(self, experiment: str, run_id: str) -> Iterator[str]:
        """Where this machine sealed a run from, by its deliveries to any registry."""
        if self._sealed is None:
            self._sealed = {}
            for delivery in self._journal.deliveries.all():
                if delivery.published is not None:
                    named = (delivery.published.experiment, delivery.published.run_id)
                    self._sealed.setdefault(named, set()).add(delivery.sealed)
        sealed = self._sealed.get((experiment, run_id), set())
        yield from (
            record.path for record in (self._journal.folders.all() if sealed else ()) if record.sealed in sealed
        )
        for number in sorted(sealed):
            with contextlib.suppress(NotFoundError):  # the journal remembers the run's records for a month
                yield self._journal.deliveries.run(number).folder


class _Unreachable:
    """`ports.Replica` that could not be opened: what it has is unknown, which is not the same as nothing."""

    def __init__(self, name: str, error: UnavailableError) -> None:
        self.name = name
        self._error = error

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:  # noqa: ARG002 - the port's
        raise self._error


def scrub_next(
    spec: RegistrySpec,
    journal: Journal,
    clock: Clock,
    entropy: Entropy,
    share: float,
    budget_s: float | None = None,
    advance: Advance | None = None,
) -> ScrubReport:
    """Verify the next part of a registry, from where the last round ended, here or in the daemon, and remember it."""
    fact = f"verify:{spec.name}:{spec.url}"
    known = journal.facts.fact(fact)
    start = float(known) % 1.0 if isinstance(known, int | float) else 0.0
    try:
        reader = open_reader(spec, clock, entropy)
        with contextlib.closing(reader.store):
            found = Scrubber(reader, clock, advance=advance).scrub(start, share, budget_s)
    except SealrunError as error:
        remember_scrub(journal.facts, clock, spec.name, None, str(error))
        raise
    journal.facts.set_fact(fact, found.next)
    remember_scrub(journal.facts, clock, spec.name, found.report)
    journal.facts.set_fact(verified_fact(spec.name), clock.now().timestamp())
    return found


def note_round(spec: RegistrySpec, journal: Journal, clock: Clock, entropy: Entropy, found: ScrubReport) -> None:
    """Have the alarm follow what a round found. Damage that was known before is looked at again, wherever it lies."""
    damaged = damage_texts(found.report.damages)
    again = [ref for ref in known_damage(journal, spec.name) if ref not in damaged]
    sound: set[str] = set()
    if again:
        reader = open_reader(spec, clock, entropy)
        with contextlib.closing(reader.store):
            for ref in again:
                left = _damage_of(reader, ref)
                damaged |= {ref: left} if left is not None else {}
                sound |= {ref} if left is None else set()
    note_damage(journal, clock, spec.name, damaged, sound.__contains__)


def _damage_of(reader: Reader, ref: str) -> str | None:
    """What is wrong with a run now; None if nothing is, if it is gone or retired, or if the reference names no run.

    Pointers and indexes are compared in every round.
    """
    experiment, _, run_id = ref.partition("/")
    if not run_id or "@" in ref:
        return None
    try:
        return damage_texts(Verifier(reader).whole_run(experiment, run_id).damages).get(ref)
    except (NotFoundError, UsageError):
        return None
