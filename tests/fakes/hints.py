"""A journal's memory of where digests were stored, without the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sealrun.domain.address import AttemptId, Digest
from sealrun.domain.registry.publication import Hint, Stored


class FakeHints:
    """`ports.Hints` in a dictionary; tests plant wrong hints with `learn`."""

    def __init__(self) -> None:
        self.known: dict[str, dict[Digest, Hint]] = {}

    def places_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Hint]:
        known = self.known.get(registry_id, {})
        return {digest: known[digest] for digest in digests if digest in known}

    def sizes_known(self, registry_id: str, sizes: Iterable[int]) -> Collection[int]:
        return {hint.stored.size for hint in self.known.get(registry_id, {}).values()}.intersection(sizes)

    def learn(self, registry_id: str, places: Mapping[Digest, Stored], sealed_by: AttemptId | None) -> None:
        hints = {digest: Hint(stored, sealed_by) for digest, stored in places.items()}
        self.known.setdefault(registry_id, {}).update(hints)

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        for digest in digests:
            self.known.get(registry_id, {}).pop(digest, None)
