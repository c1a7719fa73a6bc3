"""Compare what is derived with what it is derived from: index rows, pointers, convenience copies. Reads only."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

from sealrun.domain.address import (
    ATTEMPTS,
    EXPERIMENTS,
    META_SUFFIX,
    NAMES,
    AttemptId,
    Key,
    artifact_key,
    experiment_manifest_key,
    latest_key,
    pointers_prefix,
    retired_key,
    seal_key,
)
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.records import sha256
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.places import whole_objects
from sealrun.domain.registry.pointing import Generation, PointerName, Target
from sealrun.domain.upkeep.damage import Damage
from sealrun.ports import Store
from sealrun.services.access.loading import RunFiles
from sealrun.services.access.reading import Reader
from sealrun.services.index.bases import newest_of
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.standing import attempts_of, find_standing, read_outcome


def compare_index(
    reader: Reader, experiment: str, sealed: Collection[str], among: Callable[[str], bool] = lambda _: True
) -> Iterator[Damage]:
    """Compare rows with `sealed`: those runs `among` an experiment's that stand, by their folders."""
    without, lost = set(sealed), dict[str, tuple[Row, str]]()
    try:
        for row in reader.rows(experiment):
            without.discard(row.run_id)
            if row.run_id not in sealed and among(row.run_id) and (detail := _lost(reader, row)):
                lost[row.run_id] = row, detail
    except IntegrityError as error:
        yield Damage(ref=experiment, kind="index", detail=str(error))
        return
    for run_id in sorted(without):
        yield from unlisted(reader.store, experiment, run_id)
    for run_id, (row, detail) in lost.items():
        yield Damage(ref=f"{experiment}/{run_id}", kind="index", detail=detail, attempt=row.attempt)


def unlisted(store: Store, experiment: str, run_id: str) -> Iterator[Damage]:
    """Say that a run has no row, unless it was retired since or its row is on the way: then its intent stands."""
    standing = find_standing(store, experiment, run_id)
    if standing is None:
        return
    prefix = f"{ATTEMPTS}{standing.attempt}/"
    if not any(found.key.endswith("/intent.json") for found in store.list(prefix)):
        ref, detail = f"{experiment}/{run_id}", "sealed, but in no index row"
        yield Damage(ref=ref, kind="index", detail=detail, attempt=standing.attempt)


def _lost(reader: Reader, row: Row) -> str | None:
    """Say what is wrong about a row whose run is not found by its folder; None if it was retired."""
    store = reader.store
    try:
        outcome = read_outcome(store, row.attempt)
    except IntegrityError as error:
        return str(error)
    if outcome is None or outcome.decision != "sealed":
        return "has a row but is not sealed"
    if store.stat(retired_key(row.attempt)) is not None:
        return None
    if store.stat(seal_key(row.experiment, row.run_id, row.attempt)) is not None:
        return None  # its folder is there and was looked at
    return f"is sealed by attempt {row.attempt}, but its seal marker is gone from the run folder"


def end_of_log(reader: Reader, pointer: PointerName) -> Generation | None:
    """Return the newest generation after all were looked at, one at a time; `IntegrityError` if one is wrong."""
    history = reader.history_of(pointer)
    newest = next(history, None)
    deque(history, maxlen=0)
    return newest


def check_pointer(reader: Reader, pointer: PointerName) -> Target | Damage:
    """Return where a pointer stands, if its log is whole and it stands on a sealed run."""
    try:
        newest = end_of_log(reader, pointer)
        target = None if newest is None else newest.target
        outcome = None if target is None else read_outcome(reader.store, target.attempt)
    except (IntegrityError, NotFoundError) as error:
        return Damage(ref=pointer.label, kind="pointer", detail=str(error))
    if target is None:
        return Damage(ref=pointer.label, kind="pointer", detail="has no generation")
    sealed = outcome is not None and outcome.decision == "sealed" and outcome.root_sha256 == target.root_sha256
    if outcome is None or not sealed or (outcome.experiment, outcome.run_id) != (target.experiment, target.run_id):
        ref = f"{target.experiment}/{target.run_id}"
        detail = f"leads to {ref}, which attempt {target.attempt} did not seal like that"
        return Damage(ref=pointer.label, kind="pointer", detail=detail, attempt=target.attempt)
    return target


def compare_run_folder(store: Store, view: RunFiles) -> Iterator[Damage]:
    """Where run folders are projected: every file that is an object of its own must be there, with its size."""
    objects = whole_objects(view.objects)  # a part of a pack cannot be linked to
    if not store.capabilities.links or not objects:
        return
    experiment, run_id = view.target.experiment, view.target.run_id
    for entry in view.manifest.entries:
        if entry.sha256 not in objects:
            continue
        key = artifact_key(experiment, run_id, entry.path)
        found = store.stat(key)
        if found is None or found.size != entry.size:
            yield Damage(
                ref=view.ref,
                kind="projection",
                detail=f"{key} {'is missing' if found is None else 'has another size than its object'}",
                path=entry.path,
                key=key,
                attempt=view.target.attempt,
            )


def compare_pointer_copy(reader: Reader, pointer: PointerName) -> Iterator[Damage]:
    """The convenience copy of a pointer must show its newest generation; that of a name, what the name stands on."""
    newest = next(iter(reader.store.list(pointer.log, limit=1)), None)
    if newest is None:
        return
    body = reader.store.read(newest.key)
    if pointer.projection is not None:
        if _read(reader.store, pointer.projection) != body:
            yield Damage(ref=pointer.label, kind="projection", detail=f"{pointer.projection} is out of date")
        return
    target = Generation.decode(body, newest.key).target
    key = latest_key(pointer.label)
    try:
        entry = reader.load(target).entry(target.path or "")
    except (IntegrityError, NotFoundError):
        return  # the run itself is damaged, and is reported as such
    found, meta = reader.store.stat(key), _read(reader.store, Key(key + META_SUFFIX))
    if found is None or found.size != entry.size or _digest_in(meta) != entry.sha256:
        yield Damage(ref=pointer.label, kind="projection", detail=f"{key} is out of date", attempt=target.attempt)


def compare_index_copy(store: Store, experiment: str) -> Iterator[Damage]:
    """The convenience copy of an index must show its newest base."""
    newest = newest_of(store, experiment)
    key = experiment_manifest_key(experiment)
    if newest is not None and _digest_of(store, key) != _digest_of(store, newest.key):
        yield Damage(ref=experiment, kind="projection", detail=f"{key} is out of date")


def every_pointer(store: Store, experiments: Iterable[str] | None = None) -> Iterator[PointerName]:
    """Every pointer of some experiments, or of all and every published name."""
    for experiment in store.list_folders(EXPERIMENTS) if experiments is None else experiments:
        for name in store.list_folders(pointers_prefix(experiment)):
            yield PointerName.of_experiment(experiment, name)
    if experiments is None:
        yield from (PointerName.of_artifact(name) for name in store.list_folders(NAMES))


def live_attempts(store: Store, experiment: str, run_id: str) -> list[Target]:
    """Every attempt that seals the run and is not retired, newest first; the first is the one that holds it.

    None only if no other has come since they were listed: one may be replaced while we look (`standing.find_standing`).
    `finished_at` of these targets is empty: they are for loading, not for pointers. `IntegrityError` for an outcome
    that cannot be read.
    """
    found: list[Target] = []
    seen: list[AttemptId] = []
    while not found and (attempts := attempts_of(store, experiment, run_id)) != seen:
        seen, fresh = attempts, [attempt for attempt in attempts if attempt not in seen]
        found = _live(store, experiment, fresh)
    return found


def _live(store: Store, experiment: str, attempts: Iterable[AttemptId]) -> list[Target]:
    found: list[Target] = []
    for attempt in attempts:
        outcome = read_outcome(store, attempt)
        if outcome is None or outcome.decision != "sealed" or store.stat(retired_key(attempt)) is not None:
            continue
        if outcome.run_id is None or outcome.root_sha256 is None:
            msg = f"attempt {attempt}: its outcome names no run"
            raise IntegrityError(msg)
        found.append(
            Target(
                experiment=experiment,
                run_id=outcome.run_id,
                attempt=attempt,
                root_sha256=outcome.root_sha256,
                finished_at="",
            )
        )
    return found


def _read(store: Store, key: Key) -> bytes | None:
    try:
        return store.read(key)
    except NotFoundError:
        return None


def _digest_of(store: Store, key: Key) -> str | None:
    try:
        return sha256(read_body(store, key))
    except NotFoundError:
        return None


def _digest_in(meta: bytes | None) -> str | None:
    try:
        said = json.loads(meta or b"{}")
    except (ValueError, RecursionError):
        return None
    return said.get("sha256") if isinstance(said, dict) else None
