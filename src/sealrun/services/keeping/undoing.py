"""Undo a retirement: seal the same run again, by reference, while its bytes exist.

The run's records were never deleted, so the new attempt writes the same ones; it references every object that is still
there by the same reuse rule as any publisher, under an intent of its own. What is gone may come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

import msgspec

from sealrun.domain.address import (
    OBJECTS,
    AttemptId,
    Digest,
    Key,
    parse_name,
    parse_object_key,
    refs_key,
    retired_key,
    run_key,
)
from sealrun.domain.errors import NotFoundError, OutcomeUnknownError, SealrunError, UnavailableError
from sealrun.domain.grouping import in_groups
from sealrun.domain.registry.hinting import gathered
from sealrun.domain.registry.publication import Hint, Refs, Retired, Stored
from sealrun.domain.runs.contents import FEW, NOTHING, Chosen, Contents, Marked, Rest
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, Entry, Manifest
from sealrun.domain.runs.sealed import Published, SealedRun
from sealrun.ports import Clock, Entropy, Hints, Source, Store
from sealrun.services.access.reading import no_such_run
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.publishing import Publisher
from sealrun.services.publication.resealing import Succession
from sealrun.services.publication.reusing import Reuse
from sealrun.services.publication.uploading import Sources
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import attempts_of, find_standing, read_outcome
from sealrun.services.threads.fanning import fan_out

_NAMED = 5


class UndoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo would do: `there` is referenced again, `missing` has to come from elsewhere.

    `standing`: the run is there already, and nothing is to be done. `retired` says when, by whom and why it went; of
    several attempts, the newest.
    """

    experiment: str
    run_id: str
    standing: AttemptId | None
    retired: Retired | None
    there: Chosen = NOTHING
    missing: Chosen = NOTHING

    @property
    def ref(self) -> str:
        """The reference that names the run."""
        return f"{self.experiment}/{self.run_id}"


class Undoer:
    """Undoes retirements in one registry."""

    def __init__(
        self,
        store: Store,
        registry_id: str,
        hints: Hints | None,
        clock: Clock,
        entropy: Entropy,
        owner: str,
        packing: Packing | None = None,
    ) -> None:
        """Publish in the name of the state folder `owner`; its `hints` learn where the bytes are.

        What comes from elsewhere and is small is uploaded in packs, if there is a `packing`.
        """
        self._packing = packing
        self._store = store
        self._registry_id = registry_id
        self._hints = hints
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._certainty = Certainty(store, clock, entropy)
        self._succession = Succession(store, clock, entropy, owner, by=owner)

    def plan(self, experiment: str, run_id: str) -> UndoPlan:
        """Look at what is left of a run. Writes nothing. `NotFoundError` if it was never sealed here."""
        parse_name(experiment, "experiment")
        parse_name(run_id, "run id")
        retired = self._retired(experiment, run_id)
        standing = find_standing(self._store, experiment, run_id)
        if standing is not None:
            return UndoPlan(experiment=experiment, run_id=run_id, standing=standing.attempt, retired=retired)
        if retired is None:
            raise no_such_run(self._store, experiment, run_id)
        manifest = self._sealed_run(experiment, run_id).manifest()
        contents = manifest.digests()
        found = self._traces(retired.attempt, retired.attempt).there(contents)
        return UndoPlan(
            experiment=experiment,
            run_id=run_id,
            standing=None,
            retired=retired,
            there=Chosen(manifest.entries, contents, found),
            missing=Chosen(manifest.entries, contents, found, wanted=False),
        )

    def execute(self, plan: UndoPlan, sources: Sources | None = None) -> Published:
        """Seal the run again. Durable and findable on return; if it stands already, say so and write nothing.

        Bytes that are gone are asked of `sources`, which raises `NotFoundError` for what it has not. `NotFoundError`
        names the files that nobody has; then, and after any error but an outage, the new attempt is void and nothing
        of it is left to be announced. A crash or an outage leaves an intent, which pins the bytes until it is voided
        for silence; undo may be called again meanwhile.
        """
        run = self._sealed_run(plan.experiment, plan.run_id)
        retired = plan.retired.attempt if plan.retired is not None else None
        ticket, lacking = self._succession.ticket(), _Lacking(sources)
        hints = _UndoHints(self._traces(ticket.attempt, retired), run.manifest().digests(), self._hints)
        publisher = Publisher(
            self._store, self._registry_id, hints, self._clock, self._entropy, by=self._owner, packing=self._packing
        )
        try:
            return publisher.publish(run, ticket, lacking, revive=True)
        except (UnavailableError, OutcomeUnknownError):
            raise
        except SealrunError as error:
            self._succession.give_up(ticket, f"the undo failed: {error}")
            if lacking.first is None:
                raise
            raise self._gone(plan, lacking.first) from error

    def _traces(self, attempt: AttemptId, retired: AttemptId | None) -> _Traces:
        known = None if self._hints is None else partial(self._hints.places_of, self._registry_id)
        return _Traces(self._store, attempt, retired, known)

    def _retired(self, experiment: str, run_id: str) -> Retired | None:
        for attempt in attempts_of(self._store, experiment, run_id):
            key = retired_key(attempt)
            body = self._certainty.read(key)
            if body is not None:
                return Retired.decode(body, key)
        return None

    def _sealed_run(self, experiment: str, run_id: str) -> SealedRun:
        """The run's own records, as they were sealed. It lies in no folder any more."""
        run_json = self._store.read(run_key(experiment, run_id, RUN_FILE))
        manifest_json = read_body(self._store, run_key(experiment, run_id, MANIFEST_FILE))
        content = Manifest.read(manifest_json, MANIFEST_FILE)
        return SealedRun(folder="", run_json=run_json, manifest_json=manifest_json, content=content)

    def _gone(self, plan: UndoPlan, first: Entry) -> NotFoundError:
        missing = iter(self.plan(plan.experiment, plan.run_id).missing)
        paths = [entry.path for entry in islice(missing, _NAMED)] or [first.path]
        named, others = ", ".join(map(repr, paths)), sum(1 for _ in missing)
        more = f" and {others} more" if others else ""
        return NotFoundError(
            f"{plan.ref} cannot be brought back: the bytes of {named}{more} are gone from {self._store.url}, and no "
            "source has them; publish the run's folder again where it still exists"
        )


class _Lacking:
    """`Sources` that remember the first entry that nobody has."""

    def __init__(self, sources: Sources | None) -> None:
        self._sources = sources
        self.first: Entry | None = None

    def __call__(self, entry: Entry) -> Source:
        if self._sources is not None:
            try:
                return self._sources(entry)
            except NotFoundError:
                self.first = self.first or entry
                raise
        self.first = self.first or entry
        raise NotFoundError(f"{entry.path}: its bytes are gone")


class _Traces:
    """Finds bytes by digest: where the retired attempt's refs say, where the hints say, then by looking for any object.

    What is in packs cannot be found by looking: of those members are found of which the refs or the hints know.
    """

    def __init__(
        self,
        store: Store,
        attempt: AttemptId,
        retired: AttemptId | None,
        known: Callable[[Iterable[Digest]], Mapping[Digest, Hint]] | None,
    ) -> None:
        """Look for `attempt`, by the reuse rule, for what `retired` had; `known` asks the hints."""
        self._store = store
        self._attempt = attempt
        self._retired = retired
        self._known = known

    def find(self, sizes: Contents) -> Mapping[Digest, Hint]:
        """Return where the bytes are of those that are there, and which attempt sealed them there."""
        return gathered(self._find(sizes))

    def there(self, sizes: Contents) -> Marked:
        """Return which of them are there."""
        found = Marked(sizes)
        for digest, _ in self._find(sizes):
            found.add(digest)
        return found

    def _find(self, sizes: Contents) -> Iterator[tuple[Digest, Hint]]:
        """Yield them in the order of the run's files, in which their columns lie: any other reads a block for each."""
        reuse, found = Reuse(self._store, self._attempt), Marked(sizes)
        places = reuse.find(gathered(self._offered(sizes)), sizes)
        for digest in sizes:
            if stored := places.get(digest):
                found.add(digest)
                yield digest, Hint(stored, self._retired)
        if found.count < len(sizes) and self._known is not None:
            left = Rest(sizes, found)
            offered = self._known(iter(left))
            places = reuse.find(offered, sizes)
            for digest in left:
                if stored := places.get(digest):
                    found.add(digest)
                    yield digest, Hint(stored, offered[digest].sealed_by)
        if found.count < len(sizes):
            for some in in_groups(Rest(sizes, found), FEW):
                yield from self._found_by_looking(some, sizes, reuse)

    def _offered(self, sizes: Contents) -> Iterator[tuple[Digest, Hint]]:
        """What the retired attempt's refs say of them."""
        refs = {} if self._retired is None else self._refs(self._retired)
        return ((digest, Hint(stored, self._retired)) for digest in sizes if (stored := refs.get(digest)))

    def _found_by_looking(self, some: Sequence[Digest], sizes: Contents, reuse: Reuse) -> Iterator[tuple[Digest, Hint]]:
        for digest, copies in zip(some, fan_out(self._copies, some, self._store.capabilities.parallel), strict=True):
            places = (Stored(key, sizes[digest]) for key in copies)
            found = next((stored for stored in places if reuse.find({digest: Hint(stored)}, sizes)), None)
            if found is not None:
                yield digest, Hint(found)

    def _refs(self, attempt: AttemptId) -> Mapping[Digest, Stored]:
        """The retired attempt's refs, while no collection has taken them."""
        key = refs_key(attempt)
        try:
            return Refs.read(read_body(self._store, key), key).objects
        except NotFoundError:
            return {}

    def _copies(self, digest: Digest) -> list[Key]:
        """Every object with that digest whose creator sealed a run."""
        begin = f"{OBJECTS}{digest[:2]}/{digest[2:4]}/"
        keys = [found.key for found in self._store.list(begin) if parse_object_key(found.key).digest == digest]
        return [key for key in keys if _sealed(self._store, parse_object_key(key).creator)]


def _sealed(store: Store, creator: AttemptId) -> bool:
    outcome = read_outcome(store, creator)
    return outcome is not None and outcome.decision == "sealed"


class _UndoHints:
    """`Hints` for one attempt: what its publisher asks is looked up in the registry, what it learns is passed on."""

    def __init__(self, traces: _Traces, sizes: Contents, hints: Hints | None) -> None:
        self._traces = traces
        self._sizes = sizes
        self._hints = hints
        self._found: Mapping[Digest, Hint] | None = None

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:  # noqa: ARG002 - the port's
        """Looked up once; the publisher asks the reuse rule again once its intent is durable. Of many, all are told."""
        if self._found is None:
            self._found = self._traces.find(self._sizes)
        few, found = list(islice(digests, FEW)), self._found
        return found if len(few) == FEW else {digest: found[digest] for digest in few if digest in found}

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:  # noqa: ARG002 - the port's
        ours = {size for _, size in self._sizes.items()}
        return ours.intersection(sizes)

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        if self._hints is not None:
            self._hints.learn(registry_id, places, sealed_by)

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        if self._hints is not None:
            self._hints.forget(registry_id, digests)
