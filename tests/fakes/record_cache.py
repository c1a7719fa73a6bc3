"""Caches of records that keep everything in memory, and some that lie."""

from __future__ import annotations

from sealrun.domain.address import Key, attempt_of
from sealrun.domain.registry.publication import Refs


class FakeCache:
    """`ports.RecordCache` in a dictionary; `found` counts what it had."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Key, str], bytes] = {}
        self.found = 0

    def find(self, key: Key, md5: str, size: int) -> bytes | None:  # noqa: ARG002 - the port's
        body = self.kept.get((key, md5))
        self.found += body is not None
        return body

    def keep(self, key: Key, md5: str, body: bytes) -> None:
        self.kept[key, md5] = body


class LyingCache(FakeCache):
    """The same; once it is damaged, what it finds for refs are refs of no bytes at all."""

    def damage(self) -> None:
        """Put something else in the place of what is kept: well-formed, which is worse than torn."""
        for key, md5 in self.kept:
            if key.endswith("/refs.json"):
                self.kept[key, md5] = Refs(attempt=attempt_of(key), objects={}).encode()
