"""Everything that follows a sealed outcome: seal marker, run folder, index row, pointers, then the end of the intent.

The redo half of the attempt protocol. It is a function of durable records only, so the publisher, a recovery on the
same machine and a stranger's recovery all call it, any number of times and at the same time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import msgspec

from sealrun.domain.address import (
    META_SUFFIX,
    AttemptId,
    Digest,
    Key,
    RunId,
    artifact_key,
    intent_key,
    latest_key,
    refs_key,
    run_key,
    seal_key,
)
from sealrun.domain.curation.artifacts import plain_tags, section_of
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.records import canonical_json
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.places import whole_objects
from sealrun.domain.registry.pointing import LATEST, Generation, PointerName, Target
from sealrun.domain.registry.publication import Outcome, Refs, Seal, Stored
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, Manifest
from sealrun.domain.runs.run import Envelope
from sealrun.domain.runs.sealed import SealedRun
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.index.indexing import Index
from sealrun.services.index.pointers import Looked, Pointers
from sealrun.services.storage.bodies import read_body
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import both, fan_out

_log = logging.getLogger("sealrun.announcing")


class SealedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed outcome with the records it names."""

    attempt: AttemptId
    sealed_at: str
    envelope: Envelope
    manifest: Manifest
    root: Digest
    objects: Mapping[Digest, Stored]

    @property
    def target(self) -> Target:
        """What a pointer to this run says."""
        return Target(
            experiment=self.envelope.experiment,
            run_id=self.envelope.run_id,
            attempt=self.attempt,
            root_sha256=self.root,
            finished_at=self.envelope.finished_at,
        )


def load_sealed(
    store: Store, outcome: Outcome, known: SealedRun | None = None, standing: Envelope | None = None
) -> SealedAttempt:
    """Read back what a sealed outcome names. `NotFoundError` or `IntegrityError` if the records are not all there.

    A manifest that has the very bytes of the one in `known` is not decoded again, nor is an envelope read that was just
    found `standing` there.
    """
    experiment, run_id, root = sealed_run_of(outcome)
    run_at, manifest_at = run_key(experiment, run_id, RUN_FILE), run_key(experiment, run_id, MANIFEST_FILE)
    refs_at = refs_key(outcome.attempt)

    def manifest() -> Manifest:
        body = read_body(store, manifest_at)
        same = known is not None and known.manifest_json == body
        return known.manifest() if known is not None and same else Manifest.read(body, manifest_at)

    acts: tuple[Callable[[], object], ...] = (
        lambda: Envelope.decode(store.read(run_at), run_at) if standing is None else standing,
        manifest,
        lambda: Refs.read(read_body(store, refs_at), refs_at).objects,
    )
    # Where requests take no time, one record after the other: of a long one, no two are in memory at once.
    found = fan_out(lambda act: act(), acts, store.capabilities.side_by_side)
    envelope, content, objects = cast("tuple[Envelope, Manifest, Mapping[Digest, Stored]]", tuple(found))
    return SealedAttempt(
        attempt=outcome.attempt,
        sealed_at=outcome.decided_at,
        envelope=envelope,
        manifest=content,
        root=root,
        objects=objects,
    )


def sealed_run_of(outcome: Outcome) -> tuple[str, RunId, Digest]:
    """Return the experiment, run id and ROOT_SHA256 of a sealed outcome."""
    if (
        outcome.decision != "sealed"
        or outcome.experiment is None
        or outcome.run_id is None
        or outcome.root_sha256 is None
    ):
        msg = f"attempt {outcome.attempt}: its outcome is not that of a sealed run"
        raise IntegrityError(msg)
    return outcome.experiment, outcome.run_id, outcome.root_sha256


class Announcer:
    """Carries out the redo half for one registry."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, by: str) -> None:
        """Announce as `by`, which ends up in the history of pointers."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._certainty = Certainty(store, clock, entropy)
        self._pointers = Pointers(store, clock, entropy, by)

    def announce(self, sealed: SealedAttempt) -> None:
        """Make a sealed run findable, then delete its intent. Durable on return, and harmless to repeat.

        A crash anywhere leaves the intent, and whoever finds it comes here again. The marker is first, since whatever
        leads to a run must find it; row, ``latest`` and published names do not need each other.
        """
        envelope, width = sealed.envelope, self._store.capabilities.side_by_side
        latest = PointerName.of_experiment(envelope.experiment, LATEST)
        looked, _ = both(partial(self._look, latest), partial(self._mark, sealed), width)
        row = Row.of(envelope, sealed.attempt, sealed.root, sealed.sealed_at)
        index = Index(self._store, self._clock, self._entropy, envelope.experiment)
        acts: list[Callable[[], object]] = [
            partial(index.add, row),
            partial(self._pointers.advance, latest, sealed.target, "run published", looked),
            *(partial(self._publish_names, sealed, name, paths) for name, paths in _by_name(envelope).items()),
        ]
        fan_out(lambda act: act(), acts, width)
        self._store.discard(intent_key(sealed.attempt))

    def _look(self, pointer: PointerName) -> Looked | None:
        """Look where a pointer stands that will be moved, where that takes time."""
        return None if self._store.capabilities.links else self._pointers.look(pointer)

    def _mark(self, sealed: SealedAttempt) -> None:
        marker = Seal(attempt=sealed.attempt, root_sha256=sealed.root)
        experiment, run_id = sealed.envelope.experiment, sealed.envelope.run_id
        self._certainty.create(seal_key(experiment, run_id, sealed.attempt), marker.encode())
        self._project_run_folder(sealed)

    def _project_run_folder(self, sealed: SealedAttempt) -> None:
        """Link a run folder's files to their objects where links cost nothing; a convenience that can be rebuilt."""
        if not self._store.capabilities.links:
            return
        experiment, run_id = sealed.envelope.experiment, sealed.envelope.run_id
        objects = whole_objects(sealed.objects)  # a part of a pack cannot be linked to
        for entry in sealed.manifest.entries if objects else ():
            stored = objects.get(entry.sha256)
            if stored is not None:
                self._store.copy(stored.key, artifact_key(experiment, run_id, entry.path))

    def _publish_names(self, sealed: SealedAttempt, name: str, paths: Sequence[str]) -> None:
        for path in paths:
            self._publish_name(sealed, path, name)

    def _publish_name(self, sealed: SealedAttempt, path: str, name: str) -> None:
        entry = sealed.manifest.find(path)
        if entry is None:
            return  # the settings name a file that this run does not have
        pointer, target = PointerName.of_artifact(name), msgspec.structs.replace(sealed.target, path=path)
        moved = self._pointers.advance(pointer, target, "published under this name")
        self.show_name(sealed, name, moved)

    def show_name(self, sealed: SealedAttempt, name: str, moved: Generation | None = None) -> None:
        """Bring the copy of a name in ``latest/`` up to date; `sealed` is what it was perhaps just `moved` to."""
        pointer = PointerName.of_artifact(name)
        shown = moved or self._pointers.newest(pointer)
        while shown is not None:
            self._project_name(sealed, name, shown)
            if self._pointers.is_newest(pointer, shown):
                return
            shown = self._pointers.newest(pointer)  # a later publisher's copy must not stay hidden behind ours

    def _project_name(self, ours: SealedAttempt, name: str, shown: Generation) -> None:
        """Copy what generation `shown` of a name stands on to where people look for it. A redo comes here, too."""
        target, sealed = shown.target, ours
        if (target.experiment, target.run_id, target.root_sha256) != _identity(ours):
            theirs = self._load_other(target.attempt)
            if theirs is None:
                return
            sealed = theirs
        entry = None if target.path is None else sealed.manifest.find(target.path)
        if entry is None:
            return
        key = latest_key(name)
        try:
            self._show(_stored(sealed, entry.sha256), key)
        except NotFoundError as error:
            if sealed is ours:
                raise
            _log.warning("attempt %s cannot be shown under its name: %s; verify the registry", target.attempt, error)
            return
        section = section_of(sealed.envelope.tags)
        meta = {
            "name": name,
            "published_at_utc": shown.moved_at,
            "ref": f"{target.experiment}/{target.run_id}:{target.path}",
            "sha256": entry.sha256,
            "size_bytes": entry.size,
            "tags": list(plain_tags(sealed.envelope.tags)),
            **({} if section is None else {"section": section}),
        }
        self._store.replace(Key(key + META_SUFFIX), canonical_json(meta))

    def _show(self, stored: Stored, key: Key) -> None:
        if stored.offset is None:
            self._store.copy(stored.key, key)
        else:
            self._store.replace(key, self._store.read(stored.key, stored.offset, stored.size))

    def _load_other(self, attempt: AttemptId) -> SealedAttempt | None:
        """Return another sealed attempt, or None if its records are damaged: that must not stop us."""
        outcome = read_outcome(self._store, attempt)
        try:
            return None if outcome is None else load_sealed(self._store, outcome)
        except (IntegrityError, NotFoundError) as error:
            _log.warning("attempt %s cannot be shown under its name: %s; verify the registry", attempt, error)
            return None


def _by_name(envelope: Envelope) -> dict[str, list[str]]:
    """Paths by the name they are published under, in order: of two under the same name, one follows the other."""
    paths: dict[str, list[str]] = {}
    for path, name in sorted(envelope.publish_names.items()):
        paths.setdefault(name, []).append(path)
    return paths


def _identity(sealed: SealedAttempt) -> tuple[str, RunId, Digest]:
    """What does not depend on the attempt: of a run that a repair seals again, the new bytes are shown."""
    return sealed.envelope.experiment, sealed.envelope.run_id, sealed.root


def _stored(sealed: SealedAttempt, digest: Digest) -> Stored:
    found = sealed.objects.get(digest)
    if found is None:
        msg = f"{refs_key(sealed.attempt)} does not say where {digest} is"
        raise NotFoundError(msg)
    return found
