"""After a collection: what else retired runs and dead attempts left, and what nobody can need.

None of it is a root of anything: refs of dead attempts, links in the folders of retired runs, a probe's litter, uploads
that were never completed. A crash leaves some of it for the next collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sealrun.domain.address import PROBES, Key, refs_key, run_key
from sealrun.domain.errors import SealrunError
from sealrun.domain.grouping import in_groups
from sealrun.ports import Remover, Store, Unfinished
from sealrun.services.collection.marks import Dead, Marks
from sealrun.services.collection.residue import Residue
from sealrun.services.storage.standing import find_standing

_AT_ONCE = 1000


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What was tidied away, and what could not be."""

    links: int = 0
    records: int = 0
    uploads: int = 0
    litter: int = 0
    residue: int = 0
    failures: tuple[str, ...] = ()


class Tidier:
    """Tidies one registry."""

    def __init__(self, store: Store, remover: Remover) -> None:
        """Delete with `remover` what `store` shows."""
        self._store = store
        self._remover = remover
        self._failures: list[str] = []

    def tidy(
        self, marks: Marks, unfinished: Sequence[Unfinished], residue: Residue, *, before: float, whole: bool
    ) -> Tidied:
        """Tidy what is older than `before`, by the store's clock, and `residue`.

        Refs of dead attempts go only after a `whole` collection: while an object of theirs could not be deleted, they
        say which run used it last.
        """
        asked = marks.dead[: marks.asked_again]
        dead = [found for found in asked if found.attempt not in marks.pointed and not self._wanted(found, marks)]
        links = sum(self._links(found) for found in dead if found.ref is not None and self._is_gone(found, marks))
        records = self._delete(refs_key(found.attempt) for found in dead) if whole else 0
        litter = self._delete(found.key for found in self._store.list(PROBES) if found.modified <= before)
        uploads = sum(self._abort(upload) for upload in unfinished)
        left = self._delete(residue.keys)
        return Tidied(
            links=links,
            records=records,
            uploads=uploads,
            litter=litter,
            residue=left,
            failures=tuple(self._failures),
        )

    def _wanted(self, dead: Dead, marks: Marks) -> bool:
        """Tell whether an intent speaks of the run: a mover that was suspended may still come to point at it."""
        return (dead.experiment, dead.run_id) in marks.intended_runs

    def _is_gone(self, dead: Dead, marks: Marks) -> bool:
        """Tell whether no attempt holds the run any more: asked again now, since it may have been undone."""
        if dead.experiment is None or dead.run_id is None or (dead.experiment, dead.run_id) in marks.live_runs:
            return False
        return find_standing(self._store, dead.experiment, dead.run_id) is None

    def _links(self, dead: Dead) -> int:
        """Remove the links of a run folder: on a directory they hold the bytes of objects that are gone.

        An undo at this very moment loses convenience copies, which ``repair`` makes again, and nothing else.
        """
        if not self._store.capabilities.links or dead.experiment is None or dead.run_id is None:
            return 0
        return self._delete(
            found.key for found in self._store.list(run_key(dead.experiment, dead.run_id, "artifacts/"))
        )

    def _delete(self, keys: Iterable[Key]) -> int:
        count = 0
        for some in in_groups(keys, _AT_ONCE):
            failures = self._remover.delete(some)
            self._failures += failures.values()
            count += len(some) - len(failures)
        return count

    def _abort(self, upload: Unfinished) -> int:
        try:
            self._remover.abort(upload)
        except SealrunError as error:
            self._failures.append(str(error))
            return 0
        return 1
