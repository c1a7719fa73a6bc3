"""Published names: who stands where, which section published it, and moving one by a person's word."""

from __future__ import annotations

from itertools import takewhile

from sealrun.domain.address import NAMES, Digest
from sealrun.domain.curation.artifacts import section_of
from sealrun.domain.errors import ConflictError, IntegrityError, NotFoundError
from sealrun.domain.reference import RunReference
from sealrun.domain.registry.pointing import Generation, PointerName, Target
from sealrun.domain.runs.sealed import Published
from sealrun.ports import Clock, Entropy, Store
from sealrun.services.access.reading import Reader, RunView
from sealrun.services.index.moving import PointerMover
from sealrun.services.index.pointers import Pointers
from sealrun.services.publication.announcing import Announcer, load_sealed
from sealrun.services.storage.standing import read_outcome
from sealrun.services.threads.fanning import fan_out

_WHY = "published under this name"


class Names:
    """The published names of one registry that was opened for publishing."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str, by: str) -> None:
        """Move names as state folder `owner`; `by` is written into their history."""
        self._store = store
        self._reader = Reader(store, clock, entropy)
        self._pointers = Pointers(store, clock, entropy, by)
        self._mover = PointerMover(store, clock, entropy, owner, by)
        self._announcer = Announcer(store, clock, entropy, by)

    def newest(self, name: str) -> Generation | None:
        """Where the name stands, or None if nothing was ever published under it."""
        return self._pointers.newest(PointerName.of_artifact(name))

    def refuse_other(self, name: str, content: Digest) -> None:
        """Raise `ConflictError` if the name stands on other content: somebody asked not to overwrite it."""
        generation = self.newest(name)
        if generation is None:
            return
        found = self._reader.load(generation.target)
        if found.path is None or found.entry(found.path).sha256 != content:
            msg = (
                f"{name!r} stands on {found.ref} in {self._store.url} since {generation.moved_at}, and is not to be "
                "overwritten; take another name, or publish with overwrite"
            )
            raise ConflictError(msg)

    def claim(self, name: str, published: Published, path: str) -> None:
        """Let the name stand on a file of a run, unless it stands elsewhere: `ConflictError`. One of many gets it."""
        target = self._target(published, path)
        content = self._reader.load(target).entry(path).sha256
        try:
            self._mover.move_name(name, target, _WHY, claim=True)
        except ConflictError:
            self.refuse_other(name, content)  # the same content by somebody else is as good
        self._show(name, target)

    def move(self, name: str, published: Published, path: str, after: int) -> None:
        """Let the name stand on a file of a run, unless it has stood there since generation `after`.

        A later publication under the name stays: it came after us. Durable on return; repeating is harmless.
        """
        target = self._target(published, path)
        if not self._stood_since(name, target, after):
            self._mover.move_name(name, target, _WHY)
            self._show(name, target)

    def _stood_since(self, name: str, target: Target, after: int) -> bool:
        """Tell whether the name stands on `target`, or was moved there later than generation `after`."""
        newest = self.newest(name)
        if newest is None or newest.target == target:
            return newest is not None
        later = takewhile(lambda it: it.generation > after, self._pointers.history(PointerName.of_artifact(name)))
        return any(generation.target == target for generation in later)

    def _target(self, published: Published, path: str) -> Target:
        reference = RunReference(published.experiment, published.run_id, path)  # type: ignore[arg-type] # as published
        return self._reader.resolve_reference(reference)

    def _show(self, name: str, target: Target) -> None:
        outcome = read_outcome(self._store, target.attempt)
        if outcome is None:
            msg = f"attempt {target.attempt}: holds {target.experiment}/{target.run_id}, but its outcome is gone"
            raise IntegrityError(msg)
        self._announcer.show_name(load_sealed(self._store, outcome), name)


def standing_names(reader: Reader, pointers: Pointers) -> list[tuple[Generation, RunView]]:
    """Every published name with what it stands on, by name."""
    store = reader.store

    def one(name: str) -> tuple[Generation, RunView] | None:
        generation = pointers.newest(PointerName.of_artifact(name))
        return None if generation is None else (generation, reader.load(generation.target))

    found = fan_out(one, list(store.list_folders(NAMES)), store.capabilities.parallel)
    return [pair for pair in found if pair is not None]


def newest_of_section(reader: Reader, pointers: Pointers, name: str, section: str) -> RunView | None:
    """The newest run that `section` published under the name and that was not retired, or None."""
    for generation in pointers.history(PointerName.of_artifact(name)):
        target = generation.target
        try:
            standing = reader.resolve_reference(RunReference(target.experiment, target.run_id, target.path))
        except NotFoundError:
            continue  # an earlier one, which nothing keeps from being retired
        view = reader.load(standing)
        if section_of(view.envelope.tags) == section:
            return view
    return None
