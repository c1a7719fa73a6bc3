"""From a name to bytes: listings, references, manifests, restored folders. Nothing here needs to write to a store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import BinaryIO

import msgspec

from sealrun.domain.address import (
    EXPERIMENTS,
    AttemptId,
    experiment_prefix,
    refs_key,
    retired_key,
    run_key,
)
from sealrun.domain.curation.artifacts import CONTENT_EXPERIMENT, content_run_id
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError, RetiredError, UsageError
from sealrun.domain.pieces import Body
from sealrun.domain.reference import (
    NameReference,
    PointerReference,
    Reference,
    RunReference,
    UrnReference,
    parse_reference,
)
from sealrun.domain.registry.indexing import Rows, runs_of
from sealrun.domain.registry.pointing import Generation, PointerName, Target
from sealrun.domain.registry.publication import Refs, Retired, Stored
from sealrun.domain.runs.manifest import RUN_FILE, Entry
from sealrun.domain.runs.run import Envelope
from sealrun.domain.urn import Urn
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.access.loading import (
    OneFile,
    RunFiles,
    RunView,
    load_files,
    load_one,
    load_view,
    nowhere,
    read_records,
)
from sealrun.services.index.indexing import Index
from sealrun.services.index.pointers import Pointers
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.standing import attempts_of, find_standing
from sealrun.services.storage.streaming import stream

__all__ = ["Reader", "RunFiles", "RunView", "check_experiment", "experiment_exists", "no_such", "no_such_run"]

_CHUNK = 4 * 1024 * 1024
_AHEAD = 6
_ASKED = 32
_NAMED = 8


class Reader:
    """Reads one registry."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Read from `store`; works on a read-only one."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._pointers = Pointers(store, clock, entropy, by="reader")

    @property
    def store(self) -> Store:
        """The store that is read."""
        return self._store

    def of(self, store: Store) -> Reader:
        """Return the same reader of another store."""
        return Reader(store, self._clock, self._entropy)

    def experiments(self) -> list[str]:
        """Names of the experiments that hold anything, sorted."""
        return list(self._store.list_folders(EXPERIMENTS))

    def rows(self, experiment: str) -> Rows:
        """Rows of every sealed attempt that was not retired, oldest first."""
        return Index(self._store, self._clock, self._entropy, experiment).rows()

    def runs(self, experiment: str | None = None) -> Rows:
        """One row per run, of one experiment or of all, oldest first."""
        if experiment is not None:
            return runs_of(self.rows(experiment))
        return Rows(chain.from_iterable(runs_of(self.rows(name)).sound_lines() for name in self.experiments()))

    def pointers(self, experiment: str) -> list[Generation]:
        """Where each pointer of an experiment stands, by name."""
        names = self._pointers.names(experiment)
        found = (self._pointers.newest(PointerName.of_experiment(experiment, name)) for name in names)
        return [generation for generation in found if generation is not None]

    def history(self, experiment: str, pointer: str) -> list[Generation]:
        """A pointer's generations, newest first."""
        return list(self.history_of(PointerName.of_experiment(experiment, pointer)))

    def history_of(self, pointer: PointerName) -> Iterator[Generation]:
        """Yield generations of a pointer or of a published name, newest first; `IntegrityError` where it is broken."""
        return self._pointers.history(pointer)

    def resolve(self, text: str) -> Target:
        """Find what a reference names; `NotFoundError` says what is there instead."""
        return self.resolve_reference(parse_reference(text))

    def resolve_reference(self, reference: Reference) -> Target:
        """Find what a parsed reference names."""
        match reference:
            case RunReference(experiment, run_id, path):
                return self._run(experiment, run_id, path)
            case PointerReference(experiment, pointer, path):
                return self._pointed(PointerName.of_experiment(experiment, pointer), path)
            case NameReference(name, path):
                if path is not None:
                    msg = f"{name!r} names one file; it has no path {path!r} inside"
                    raise UsageError(msg)
                return self._pointed(PointerName.of_artifact(name), None)
            case UrnReference(urn, path):
                return self._content(urn, path)

    def load(self, target: Target) -> RunView:
        """Read the run's records and check them against its ROOT_SHA256; `IntegrityError` if they contradict it."""
        return load_view(self._store, target)

    def load_files(self, target: Target) -> RunFiles:
        """Do the same, and let the records go once they are decoded: for runs with very many files."""
        return load_files(self._store, target)

    def records(self, target: Target) -> Mapping[str, Body]:
        """Return run.json, manifest.json and MANIFEST.sha256 as they are stored, checked against ROOT_SHA256."""
        return read_records(self._store, target)

    def open(self, view: RunFiles, entry: Entry) -> BinaryIO:
        """Open the bytes of an entry, unverified: for ranged reads."""
        stored = self.stored(view, entry)
        if stored.offset is not None:
            return io.BytesIO(self._store.read(stored.key, stored.offset, stored.size))
        return self._store.open(stored.key)

    def chunks(self, view: RunFiles, entry: Entry) -> Iterator[bytes]:
        """Yield an entry's bytes in bounded pieces; at the end `DigestMismatchError` if they are not as sealed."""
        yield from self._verified(OneFile(view.ref, entry.path, entry.sha256, self.stored(view, entry)))

    def chunks_at(self, target: Target, path: str) -> Iterator[bytes]:
        """Do the same for the file at `path` of a run, and read no more of its records than that takes."""
        return self._verified(load_one(self._store, target, path))

    def stored(self, view: RunFiles, entry: Entry) -> Stored:
        """Where an entry's bytes are."""
        found = view.objects.get(entry.sha256)
        if found is None:
            raise nowhere(view.ref, entry.path, view.target)
        return found

    def _verified(self, file: OneFile) -> Iterator[bytes]:
        hasher = hashlib.sha256()
        for chunk in self._pieces(file.stored):
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != file.sha256:
            raise DigestMismatchError(
                f"{file.ref}:{file.path}: stored bytes do not match the seal; "
                f"find the extent with: sealrun verify {file.ref}"
            )

    def _pieces(self, stored: Stored) -> Iterator[bytes]:
        if stored.offset is not None:
            yield self._store.read(stored.key, stored.offset, stored.size)
        elif self._store.capabilities.links:
            with self._store.open(stored.key) as source:
                while chunk := source.read(_CHUNK):
                    yield chunk
        else:
            yield from map(bytes, stream(self._store, stored.key, stored.size, _AHEAD))

    def _run(self, experiment: str, run_id: str, path: str | None) -> Target:
        target = self._standing(experiment, run_id, path)
        if target is None:
            raise no_such_run(self._store, experiment, run_id)
        return target

    def _standing(self, experiment: str, run_id: str, path: str | None) -> Target | None:
        """The run as the newest attempt holds it that is not retired, or None."""
        standing = find_standing(self._store, experiment, run_id)
        if standing is None or standing.root_sha256 is None or standing.run_id is None:
            return None
        key = run_key(experiment, run_id, RUN_FILE)
        try:
            envelope = Envelope.decode(self._store.read(key), key)
        except NotFoundError as error:
            ref = f"{experiment}/{run_id}"
            msg = f"{ref} is sealed, but {key} is gone; find the extent with: sealrun verify {ref}"
            raise IntegrityError(msg) from error
        return Target(
            experiment=experiment,
            run_id=standing.run_id,
            attempt=standing.attempt,
            root_sha256=standing.root_sha256,
            finished_at=envelope.finished_at,
            path=path,
        )

    def _pointed(self, pointer: PointerName, path: str | None) -> Target:
        generation = self._pointers.newest(pointer)
        if generation is None:
            what = "pointer" if pointer.projection else "artifact"
            msg = f"no {what} {pointer.label!r} in {self._store.url}"
            raise NotFoundError(msg)
        target = generation.target
        return target if path is None else msgspec.structs.replace(target, path=path)

    def _content(self, urn: Urn, path: str | None) -> Target:
        put = self._standing(CONTENT_EXPERIMENT, content_run_id(urn), path)  # put by content: no index is read
        if put is not None:
            key = run_key(put.experiment, put.run_id, RUN_FILE)
            if Envelope.decode(self._store.read(key), key).urn == str(urn):
                return put
        for experiment in self.experiments():
            for row in reversed(self.rows(experiment)):
                target = self._standing(experiment, row.run_id, path) if row.urn == str(urn) else None
                if target is not None:
                    return target  # of one that was retired since, the content may stand elsewhere
        msg = f"no artifact {urn} in {self._store.url}"
        raise NotFoundError(msg)


def experiment_exists(store: Store, experiment: str) -> bool:
    """Tell whether anything was ever published to an experiment."""
    return next(iter(store.list(experiment_prefix(experiment), limit=1)), None) is not None


def check_experiment(store: Store, experiment: str) -> None:
    """Raise `NotFoundError` for an experiment that holds nothing; it names those that do."""
    known = list(store.list_folders(EXPERIMENTS))
    if experiment not in known:
        raise no_such("experiment", experiment, known, store.url)


def no_such(what: str, name: str, known: Sequence[str], place: str) -> NotFoundError:
    """Say that there is none of that name, and which there are: those most alike first, where there are many."""
    from difflib import get_close_matches  # noqa: PLC0415 - where something is not there only

    like = get_close_matches(name, known, _NAMED, 0.5)
    named = [*like, *(each for each in known if each not in like)][:_NAMED]
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return NotFoundError(f"{place}: no {what} {name!r}; there are: {', '.join(named) or 'none'}{more}")


def no_such_run(store: Store, experiment: str, run_id: str) -> NotFoundError:
    """Say why a run is not there: it was retired, when, by whom and why; or it never was there."""
    ref = f"{experiment}/{run_id}"
    retired = _retirement(store, experiment, run_id)
    if retired is not None:
        said = f"{ref} was retired from {store.url} at {retired.retired_at} by {retired.by} ({retired.why})"
        if _bytes_are_there(store, retired.attempt):
            return RetiredError(f"{said}: bring it back with: sealrun undo {ref}")
        return NotFoundError(f"{said}: its bytes were collected since")
    hint = f"list its runs with: sealrun ls {experiment}"
    if experiment not in store.list_folders(EXPERIMENTS):
        hint = "no such experiment; list them with: sealrun ls"
    return NotFoundError(f"no sealed run {ref} in {store.url}: {hint}")


def _retirement(store: Store, experiment: str, run_id: str) -> Retired | None:
    """The retirement of the run's newest attempt that was retired."""
    for attempt in attempts_of(store, experiment, run_id):
        key = retired_key(attempt)
        try:
            return Retired.decode(store.read(key), key)
        except NotFoundError:
            continue
    return None


def _bytes_are_there(store: Store, attempt: AttemptId) -> bool:
    """Tell whether a retired run's bytes seem to be there: a message is not worth asking for each of a million files.

    ``sealrun undo --dry-run`` looks at all of them.
    """
    key = refs_key(attempt)
    try:
        objects = Refs.read(read_body(store, key), key).objects
    except NotFoundError:
        return False
    asked = (stored.key for stored in islice(objects.values(), _ASKED))
    return all(store.stat(asked_key) is not None for asked_key in asked)
