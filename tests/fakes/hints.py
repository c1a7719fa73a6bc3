"""A journal's memory of where digests were stored, without the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sealrun.domain.address import Digest, Key


class FakeHints:
    """`ports.Hints` in a dictionary; tests plant wrong hints with `learn`."""

    def __init__(self) -> None:
        self.known: dict[str, dict[Digest, tuple[Key, int]]] = {}

    def keys_of(self, registry_id: str, digests: Iterable[Digest]) -> Mapping[Digest, Key]:
        known = self.known.get(registry_id, {})
        return {digest: known[digest][0] for digest in digests if digest in known}

    def sizes_known(self, registry_id: str) -> Callable[[int], bool]:
        sizes = {size for _, size in self.known.get(registry_id, {}).values()}
        return sizes.__contains__

    def learn(self, registry_id: str, keys: Mapping[Digest, tuple[Key, int]]) -> None:
        self.known.setdefault(registry_id, {}).update(keys)

    def forget(self, registry_id: str, digests: Iterable[Digest]) -> None:
        for digest in digests:
            self.known.get(registry_id, {}).pop(digest, None)
