"""Where the new attempt of a repacking gets its bytes from: everything by reference, but for members of certain packs.

Those are read out of the packs themselves, several neighbours at once.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from typing import BinaryIO

from sealrun.domain.address import AttemptId, Digest, Key
from sealrun.domain.errors import DigestMismatchError, NotFoundError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Hint, Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Hints, Source, Store
from sealrun.services.access.members import MemberSource, MemberSources


class Emptying:
    """Bytes of one run that leaves some packs: `ports.Hints` and `Sources` of its new attempt."""

    def __init__(
        self,
        store: Store,
        held_by: AttemptId,
        places: Mapping[Digest, Stored],
        emptied: Collection[Key],
        hints: Hints,
    ) -> None:
        """The run lies at `places`, as `held_by` sealed it. No key in `emptied` is referenced again."""
        self._places = places
        self._held_by = held_by
        self._emptied = emptied
        self._hints = hints
        self._store = store
        self._members = MemberSources(store, ())

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:
        """Where the bytes are now, or where an earlier run of the same round put them; see the port."""
        asked = list(digests)
        found = {
            digest: Hint(stored, self._held_by)
            for digest in asked
            if (stored := self._places.get(digest)) is not None and stored.key not in self._emptied
        }
        rest = [digest for digest in asked if digest not in found]
        elsewhere = {
            digest: hint
            for digest, hint in self._hints.places_of(registry_id, rest).items()
            if hint.stored.key not in self._emptied
        }
        leaving = ((digest, self._places[digest]) for digest in rest if digest not in elsewhere)
        self._members = MemberSources(self._store, leaving)
        return found | elsewhere

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:  # noqa: ARG002 - the port's
        """Any: where the bytes of this run are is known of them, whatever their size."""
        return frozenset(sizes)

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        """Pass on what was sealed: the next run with the same bytes references them."""
        self._hints.learn(registry_id, places, sealed_by)

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        """Pass on what turned out to be wrong, unless it was we who said it."""
        own = (digest for digest in digests if self._places[digest].key in self._emptied)
        self._hints.forget(registry_id, own)

    def source(self, entry: Entry) -> Source:
        """Return a member of a pack that is emptied; anything else should have been referenced where it is."""
        stored = self._places[entry.sha256]
        if stored.key not in self._emptied:
            msg = f"{stored.key}: holds {entry.path!r}, and may not be referenced any more; find out: sealrun verify"
            raise NotFoundError(msg)
        return _CheckedMember(self._members, entry.sha256, stored)


class _CheckedMember(MemberSource):
    """A member whose bytes are compared with its digest when they are read."""

    def open(self) -> BinaryIO:
        body = self._members.read(self._stored)
        if sha256(body) != self.digest:
            where = f"{self._stored.key}, {self.size} bytes at {self._stored.offset}"
            msg = f"{where}: are not those of {self.digest}; find the extent with: sealrun verify --all"
            raise DigestMismatchError(msg)
        return io.BytesIO(body)
