from __future__ import annotations

import hashlib
from pathlib import Path

from sealrun.adapters.caches.record_cache import FOLDER, LocalRecordCache, open_record_cache
from sealrun.domain.address import Key

_URL, _KEY, _BODY = "s3://bucket/registry", Key("attempts/a/refs.json"), b"{}\n" * 50


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_a_record_is_found_again_by_its_key_and_digest_and_by_nothing_else(tmp_path: Path) -> None:
    cache = LocalRecordCache(tmp_path, _URL)
    md5, size = _md5(_BODY), len(_BODY)
    assert cache.find(_KEY, md5, size) is None
    cache.keep(_KEY, md5, _BODY)

    assert LocalRecordCache(tmp_path, _URL).find(_KEY, md5, size) == _BODY
    assert cache.find(Key("attempts/b/refs.json"), md5, size) is None
    assert cache.find(_KEY, _md5(b"other"), size) is None
    assert cache.find(_KEY, md5, size - 1) is None
    assert LocalRecordCache(tmp_path, _URL + "2").find(_KEY, md5, size) is None


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    cache = LocalRecordCache(tmp_path, _URL, limit=20_000)
    for number in range(100):
        body = b"%d" % number * 500
        cache.keep(Key(f"attempts/{number}/refs.json"), _md5(body), body)

    assert sum(path.stat().st_size for path in (tmp_path / FOLDER).rglob("*") if path.is_file()) <= 20_000


def test_whoever_only_looks_makes_no_state_folder(tmp_path: Path) -> None:
    assert open_record_cache(tmp_path / "none", _URL) is None
    assert open_record_cache(tmp_path, _URL) is not None
    assert list(tmp_path.iterdir()) == []
