"""From what verifying found to what a repair would do: which runs to seal again from what, and what to make again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from sealrun.domain.address import QUARANTINE, AttemptId, Digest, Key, RunId, quarantined_object, refs_key, run_key
from sealrun.domain.errors import IntegrityError, NotFoundError, SealrunError, StorageError
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Refs, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry, Manifest, Sums
from sealrun.domain.runs.sealed import SealedRun
from sealrun.domain.upkeep.damage import OF_BYTES, Damage
from sealrun.domain.upkeep.mending import HERE, FileRepair, Rebuild, Remaining, RepairPlan, RunRepair
from sealrun.ports import Replica, Store
from sealrun.services.mending.comparing import live_attempts
from sealrun.services.mending.replicas import GoodBytes, Known
from sealrun.services.publication.announcing import sealed_run_of
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.standing import read_outcome

RECORDS = (RUN_FILE, MANIFEST_FILE, SUMS_FILE)
_RunKey = tuple[str, str]


def read_sealed(store: Store, target: Target) -> SealedRun:
    """The records of a run, if they are those that were sealed; MANIFEST.sha256 is not asked: it follows from them.

    `IntegrityError` names the record that is damaged or missing, and says what to do: nobody may overwrite it.
    """
    keys = {file: run_key(target.experiment, target.run_id, file) for file in RECORDS}
    bodies = {file: _read(store, key) for file, key in keys.items()}
    run_json, manifest_json = bodies[RUN_FILE], bodies[MANIFEST_FILE]
    if run_json is not None and manifest_json is not None:
        try:
            manifest = Manifest.decode(manifest_json, keys[MANIFEST_FILE])
        except IntegrityError:
            manifest = None
        if manifest is not None and Sums.build(run_json, manifest_json, manifest).root == target.root_sha256:
            return SealedRun(folder="", run_json=run_json, manifest_json=manifest_json)
    raise IntegrityError(_what_is_wrong(keys, bodies, _lines(bodies[SUMS_FILE], target)))


def _what_is_wrong(keys: dict[str, Key], bodies: dict[str, bytes | None], lines: dict[str, Digest]) -> str:
    missing = [file for file in RECORDS[:2] if bodies[file] is None]
    wrong = missing or [file for file in lines if sha256(bodies[file] or b"") != lines[file]] or RECORDS[:2]
    names = " or ".join(keys[file] for file in wrong)
    known = f" whose sha256 is {lines[wrong[0]]}" if wrong[0] in lines else ""
    return (
        f"{names} {'is missing' if missing else 'is not what was sealed'}; records are written once, so no repair "
        f"writes it: put a copy{known} there with the store's own tools (every other registry that holds the run has "
        "one), then verify again"
    )


def _lines(sums: bytes | None, target: Target) -> dict[str, Digest]:
    """What MANIFEST.sha256 says of the records, if it is the one that was sealed."""
    try:
        found = Sums.decode(sums or b"", SUMS_FILE)
    except IntegrityError:
        return {}
    return {file: found.lines[file] for file in RECORDS[:2]} if found.root == target.root_sha256 else {}


def read_refs(store: Store, attempt: AttemptId) -> Mapping[Digest, Stored] | None:
    """Where an attempt's objects are, or None if its refs are damaged or gone."""
    key = refs_key(attempt)
    try:
        return Refs.read(read_body(store, key), key).objects
    except (IntegrityError, NotFoundError):
        return None


class Diagnosis:
    """Makes one plan. Reads only."""

    def __init__(
        self, store: Store, damages: Sequence[Damage], replicas: Sequence[Replica], known: Known | None = None
    ) -> None:
        """Plan for `damages`, with bytes from the registry itself, where `known` is believed to tell, or `replicas`.

        The first replica is asked first.
        """
        self._store = store
        self._damages = damages
        self._objects = {damage.key: damage for damage in damages if damage.kind in OF_BYTES and damage.key is not None}
        self._good = GoodBytes(store, replicas, self._objects, known)
        self._known: dict[Digest, FileRepair] = {}
        self._hopeless: list[Remaining] = []
        self._rebuilds: list[Rebuild] = []

    def plan(self) -> RepairPlan:
        """Look for everything that is needed."""
        by_run: dict[_RunKey, list[Damage]] = {}
        for damage in self._damages:
            if damage.kind in {"seal", "refs", *OF_BYTES}:
                experiment, _, run_id = damage.ref.partition("/")
                by_run.setdefault((experiment, run_id), []).append(damage)
            else:
                self._derived(damage)
        planned = [run for key, damages in by_run.items() for run in self._run(key, damages)]
        runs = tuple(_settled(planned, self._known))
        mended = {run.ref for run in runs if run.possible}
        rebuilds = [rebuild for rebuild in self._rebuilds if rebuild.what != "announce" or rebuild.ref not in mended]
        return RepairPlan(
            quarantine=self._quarantine(),
            runs=runs,
            rebuilds=_distinct(rebuilds),
            hopeless=tuple(self._hopeless),
        )

    def _quarantine(self) -> tuple[tuple[Key, str, str, str], ...]:
        """Damaged objects that are not quarantined yet."""
        there = {quarantined_object(found.key) for found in self._store.list(QUARANTINE)} if self._objects else set()
        return tuple(
            (key, damage.ref, damage.path or "", damage.detail)
            for key, damage in self._objects.items()
            if key not in there
        )

    # -- runs

    def _run(self, key: _RunKey, damages: list[Damage]) -> Iterator[RunRepair]:
        """Plan for one run; what cannot be repaired is noted instead."""
        experiment, run_id = key
        try:
            live = live_attempts(self._store, experiment, run_id)
            broken = self._broken(live, damages)
        except SealrunError as error:
            if isinstance(error, StorageError):
                raise
            advice = "records are written once: put a copy of it there with the store's own tools, if there is one"
            self._give_up(damages[0].ref, f"{error}; {advice}")
            return
        if not broken:
            for damage in damages:
                self._give_up(
                    damage.ref, f"{damage.detail}; no record says who sealed it: restore the record, if you can"
                )
            return
        try:
            run = read_sealed(self._store, broken[0])
        except IntegrityError as error:
            self._give_up(damages[0].ref, str(error))
            return
        if self._only_sums(broken, damages):
            self._sums(broken[0], damages[0])
            return
        healthy = next((target.attempt for target in live if target not in broken), None)
        yield RunRepair(
            experiment=experiment,
            run_id=RunId(run_id),
            broken=tuple(target.attempt for target in broken),
            healthy=healthy,
            was_retired=not live,
            files=() if healthy is not None else tuple(self._files(broken[0], run.manifest(), damages)),
        )

    def _broken(self, live: list[Target], damages: list[Damage]) -> list[Target]:
        """Attempts of a run that hold it and are damaged, newest first; the retired last: a pointer keeps them."""
        attempts = {damage.attempt for damage in damages if damage.attempt is not None}
        found = [target for target in live if target.attempt in attempts]
        for attempt in sorted(attempts - {target.attempt for target in live}, reverse=True):
            outcome = read_outcome(self._store, attempt)
            if outcome is None:
                continue
            experiment, run_id, root = sealed_run_of(outcome)
            found.append(
                Target(experiment=experiment, run_id=run_id, attempt=attempt, root_sha256=root, finished_at="")
            )
        return found

    def _only_sums(self, broken: list[Target], damages: list[Damage]) -> bool:
        """Tell whether all that is wrong is the run's MANIFEST.sha256: its records and refs were read."""
        return all(damage.kind == "seal" for damage in damages) and all(
            read_refs(self._store, target.attempt) is not None for target in broken
        )

    def _sums(self, target: Target, damage: Damage) -> None:
        key = run_key(target.experiment, target.run_id, SUMS_FILE)
        if _read(self._store, key) is None:
            self._rebuilds.append(
                Rebuild(what="sums", ref=damage.ref, detail=f"{key} is missing", attempt=target.attempt)
            )
        else:
            advice = (
                "remove it with the store's own tools (it follows from run.json and manifest.json), then repair again"
            )
            self._give_up(
                damage.ref, f"{damage.detail}; records are written once, so no repair overwrites {key}: {advice}"
            )

    def _files(self, target: Target, manifest: Manifest, damages: list[Damage]) -> Iterator[FileRepair]:
        """Every content whose object is damaged, or nowhere said, with who has good bytes."""
        objects = read_refs(self._store, target.attempt) or {}
        details = {damage.path: damage.detail for damage in damages if damage.attempt == target.attempt}
        self._good.salvage({digest: stored for digest, stored in objects.items() if stored.key in self._objects})
        done: set[Digest] = set()
        for entry in manifest.entries:
            stored = objects.get(entry.sha256)
            if entry.sha256 in done or (stored is not None and stored.key not in self._objects):
                continue
            done.add(entry.sha256)
            file = FileRepair(
                path=entry.path,
                digest=entry.sha256,
                size=entry.size,
                detail=details.get(entry.path, f"{refs_key(target.attempt)} does not say where its bytes are"),
                key=None if stored is None else stored.key,
            )
            yield self._with_source(target, entry, file)

    def _with_source(self, target: Target, entry: Entry, file: FileRepair) -> FileRepair:
        known = self._known.get(entry.sha256)
        if known is None:
            salvage = self._good.salvaged(entry.sha256)
            here = None if salvage else self._good.here(entry)
            source = HERE if here or salvage else self._good.elsewhere(target.experiment, target.run_id, entry)
            if source is None:
                return file  # another run with the same bytes may be known to a replica: it is asked for that one, too
            origin = (target.experiment, str(target.run_id), entry.path)
            known = msgspec.structs.replace(file, source=source, origin=origin, here=here, salvage=salvage)
            self._known[entry.sha256] = known
        return _like(file, known)

    # -- what is derived

    def _derived(self, damage: Damage) -> None:
        if damage.kind == "pointer":
            self._give_up(
                damage.ref,
                f"{damage.detail}; generations are written once, so no repair overwrites one: put a copy of what is "
                f"damaged there with the store's own tools, or move the pointer on, if it can be read",
            )
        elif damage.attempt is None:
            what = "index" if damage.kind == "index" else "copy"
            self._rebuilds.append(Rebuild(what=what, ref=damage.ref, detail=damage.detail))  # type: ignore[arg-type] # one of the two
        else:
            self._announced(damage, damage.attempt)

    def _announced(self, damage: Damage, attempt: AttemptId) -> None:
        """Of a run that is sealed, everything derived follows from its outcome; a row of any other has to go."""
        try:
            outcome = read_outcome(self._store, attempt)
        except IntegrityError as error:
            self._give_up(damage.ref, f"{error}; outcomes are written once: put a copy of it there, if there is one")
            return
        if outcome is None or outcome.decision != "sealed":
            experiment = damage.ref.partition("/")[0]
            self._rebuilds.append(Rebuild(what="index", ref=experiment, detail=f"{damage.ref}: {damage.detail}"))
            return
        experiment, run_id, _ = sealed_run_of(outcome)
        ref = f"{experiment}/{run_id}"
        self._rebuilds.append(Rebuild(what="announce", ref=ref, detail=damage.detail, attempt=attempt))

    def _give_up(self, ref: str, detail: str) -> None:
        found = Remaining(ref=ref, detail=detail)
        if found not in self._hopeless:
            self._hopeless.append(found)


def _settled(runs: list[RunRepair], known: Mapping[Digest, FileRepair]) -> Iterator[RunRepair]:
    """A content that was found for one run is there for every other run, too."""
    for run in runs:
        files = tuple(
            _like(file, found) if (found := known.get(file.digest)) is not None else file for file in run.files
        )
        yield msgspec.structs.replace(run, files=files)


def _like(file: FileRepair, known: FileRepair) -> FileRepair:
    """A repair of `file` with what is `known` of its content."""
    return msgspec.structs.replace(
        file, source=known.source, origin=known.origin, here=known.here, salvage=known.salvage
    )


def _distinct(rebuilds: Iterable[Rebuild]) -> tuple[Rebuild, ...]:
    """One of each kind for each thing; the first detail stands for all."""
    kept: dict[tuple[str, str], Rebuild] = {}
    for rebuild in rebuilds:
        kept.setdefault((rebuild.what, rebuild.ref), rebuild)
    return tuple(kept.values())


def _read(store: Store, key: Key) -> bytes | None:
    try:
        return store.read(key)
    except NotFoundError:
        return None
