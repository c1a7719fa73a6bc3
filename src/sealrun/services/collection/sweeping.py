"""Carry out a verdict: delete, look whether the keys are gone, write the log, end the batch.

Any collector may do it for any batch, any number of times and at the same time as others: what is deleted is in the
durable verdict, and a swept key is never referenced again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from sealrun.domain.address import Key, batch_key, condemned_key
from sealrun.domain.errors import IntegrityError
from sealrun.domain.grouping import in_groups
from sealrun.domain.upkeep.collection import Condemned, CondemnedObject, Verdict
from sealrun.domain.upkeep.marking import prefix_of_part
from sealrun.ports import Remover, Store
from sealrun.services.storage.certainty import Certainty
from sealrun.services.threads.fanning import fan_out

DELETED_FILE = "deleted.jsonl"
_AT_ONCE = 1000
_WORTH_A_LISTING = 25
_LISTED_PER_QUESTION = 20


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: the objects that are gone, and the reason for each key that is not."""

    batch: str
    gone: int
    size: int
    failures: dict[Key, str]


class Sweeper:
    """Finishes batches of one registry."""

    def __init__(self, store: Store, remover: Remover, certainty: Certainty) -> None:
        """Delete with `remover` what `store` shows."""
        self._store = store
        self._remover = remover
        self._certainty = certainty

    def finish(self, condemned: Condemned, verdict: Verdict, advance: Callable[[int], None] | None = None) -> Swept:
        """Obey `verdict`. The batch ends, and its log is written, only if every key is certainly gone.

        A crash before the log leaves a batch that the next collector finishes; a crash after it, a condemned record
        that the next one removes.
        """
        doomed = verdict.sweeps(condemned)
        failures = self._delete(doomed, advance)
        if not failures and doomed:
            log = b"".join(found.line(condemned.batch) for found in doomed)
            if self._certainty.create(batch_key(condemned.batch, DELETED_FILE), log) != log:
                msg = f"{batch_key(condemned.batch, DELETED_FILE)}: is not the log of its verdict; verify the registry"
                raise IntegrityError(msg)
        if not failures:
            record = condemned_key(condemned.batch)
            failures = dict(self._remover.delete([record]))
        gone = [found for found in doomed if found.key not in failures]
        return Swept(batch=condemned.batch, gone=len(gone), size=sum(found.size for found in gone), failures=failures)

    def _delete(self, doomed: Sequence[CondemnedObject], advance: Callable[[int], None] | None) -> dict[Key, str]:
        failures: dict[Key, str] = {}
        for some in in_groups(doomed, _AT_ONCE):
            failures.update(self._remover.delete([found.key for found in some]))
            if advance is not None:
                advance(sum(found.size for found in some))
        for key in self._still_there([found.key for found in doomed]):
            failures.setdefault(key, f"{key} was deleted, but is still there")
        return failures

    def _still_there(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of `keys`, sorted, that the store still shows."""
        found: list[Key] = []
        alone: list[Key] = []
        for prefix, group in groupby(keys, key=prefix_of_part):
            asked = list(group)
            if len(asked) >= _WORTH_A_LISTING and not self._store.capabilities.links:
                listed, asked = self._listed(prefix, asked)
                found += listed
            alone += asked
        for some in in_groups(alone, _AT_ONCE):
            stats = fan_out(self._store.stat, some, self._store.capabilities.parallel)
            found += [stat.key for stat in stats if stat is not None]
        return found

    def _listed(self, prefix: str, asked: Sequence[Key]) -> tuple[list[Key], list[Key]]:
        """Look for `asked`, sorted, by listing: return those that are there, and those that the listing did not reach.

        Where a page of keys costs as much as a few questions, that is cheaper, unless most keys are not the ones asked
        for. (In a directory it never is: a listing looks at each file just as a question does.)
        """
        wanted, found = frozenset(asked), []
        for count, stat in enumerate(self._store.list(prefix), start=1):
            if stat.key in wanted:
                found.append(stat.key)
            if count == len(asked) * _LISTED_PER_QUESTION:
                return found, [key for key in asked if key > stat.key]
        return found, []
