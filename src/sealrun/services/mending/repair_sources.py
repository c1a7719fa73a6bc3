"""Where the new attempt of a repair gets its bytes from: good objects by reference, the others from replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.publication import Hint, Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.upkeep.mending import FileRepair, RunRepair
from sealrun.ports import Hints, Replica, Source, Store
from sealrun.services.access.members import MemberSources
from sealrun.services.mending.diagnosing import read_refs
from sealrun.services.mending.replicas import holds_its_bytes


class RepairSources:
    """Good bytes of one run's files, by entry: from where the plan found them, or from any replica that has them."""

    def __init__(self, store: Store, run: RunRepair, replicas: Sequence[Replica]) -> None:
        """Look for files of `run` in damaged packs of `store`, where they are good, and in `replicas`."""
        self._run = run
        self._members = MemberSources(
            store, ((file.digest, file.salvage) for file in run.files if file.salvage is not None)
        )
        self._files = {file.digest: file for file in run.files}
        self._replicas = replicas

    def __call__(self, entry: Entry) -> Source:
        """Return where to read an entry; `NotFoundError` if nobody has it any more."""
        file = self._files.get(entry.sha256)
        planned = None if file is None else self._planned(file)
        if planned is not None:
            return planned
        for replica in self._replicas:
            source = replica.find(self._run.experiment, self._run.run_id, entry)
            if source is not None and holds_its_bytes(source):
                return source
        msg = f"{self._run.ref}:{entry.path}: its bytes were found when the repair was planned, and are gone now"
        raise NotFoundError(msg)

    def _planned(self, file: FileRepair) -> Source | None:
        """What the plan found; that it is still true is checked while it is uploaded."""
        if file.salvage is not None:
            source: Source | None = self._members.source(file.digest, file.salvage)
            return source
        for replica in self._replicas:
            if replica.name == file.source and file.origin is not None:
                experiment, run_id, path = file.origin
                source = replica.find(experiment, run_id, Entry(path, file.size, file.digest))
                if source is not None:
                    return source
        return None


class RepairHints:
    """`ports.Hints` for one new attempt: good objects of the broken one, what the plan found here, what is known.

    The reuse rule checks all of it again.
    """

    def __init__(self, store: Store, run: RunRepair, hints: Hints) -> None:
        """What is asked is answered for `run`; what is learned goes on to `hints`."""
        refs = read_refs(store, run.broken[0]) or {}
        self._damaged = {file.digest: file for file in run.files}
        self._good = {
            digest: Hint(stored, run.broken[0]) for digest, stored in refs.items() if digest not in self._damaged
        }
        self._hints = hints

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:
        """Places that may hold good bytes; see the port."""
        asked = list(digests)
        found = dict(self._hints.places_of(registry_id, asked))
        for digest in asked:
            file = self._damaged.get(digest)
            if digest in self._good:
                found[digest] = self._good[digest]
            elif file is not None and file.here is not None and file.here.offset is None:
                found[digest] = Hint(file.here)  # in a pack it was a hint that knew it, and is asked again
        return found

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:  # noqa: ARG002 - the port's
        """Any: where the bytes of this run are is known of them, whatever their size."""
        return frozenset(sizes)

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        """Pass on what was sealed: the next run with the same bytes references them."""
        self._hints.learn(registry_id, places, sealed_by)

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        """Pass on what turned out to be wrong."""
        self._hints.forget(registry_id, digests)
