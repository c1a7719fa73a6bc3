"""Records of registries, kept in a state folder by where they are and what the store said of them."""

from __future__ import annotations

from pathlib import Path

from sealrun.adapters.caches.file_cache import LocalFileCache
from sealrun.domain.address import Digest, Key
from sealrun.domain.records import sha256

FOLDER = "records"
_LIMIT = 256 << 20


class LocalRecordCache:
    """`ports.RecordCache` in a folder, of the registry at one URL: at most 256 MiB, the least lately used goes first.

    A name is made of the URL, the key and the MD5 that the store tells, so that another registry in the same place, or
    a record that is not the one that was kept, is simply not found.
    """

    def __init__(self, state: Path, url: str, limit: int = _LIMIT) -> None:
        """Keep records in the state folder `state`, for the registry at `url`. Nothing is made before there is one."""
        self._files = LocalFileCache(state / FOLDER, limit)
        self._url = url

    def find(self, key: Key, md5: str, size: int) -> bytes | None:
        """Return what was kept; see the port."""
        return self._files.find(self._name(key, md5), size, 0, size)

    def keep(self, key: Key, md5: str, body: bytes) -> None:
        """Keep a record; see the port."""
        self._files.keep(self._name(key, md5), body)

    def _name(self, key: Key, md5: str) -> Digest:
        return sha256(f"{self._url}\n{key}\n{md5}".encode("utf-8", "surrogateescape"))


def open_record_cache(state: Path, url: str) -> LocalRecordCache | None:
    """Return the cache in a state folder that is there: whoever only looks makes none."""
    return LocalRecordCache(state, url) if state.is_dir() else None
