from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from sealrun.adapters.caches.file_cache import LocalFileCache, user_cache_folder
from sealrun.domain.address import Digest
from sealrun.domain.records import sha256


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "sha256").rglob("*") if path.is_file())


def body(number: int, size: int = 1000) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def test_what_is_kept_is_found_whole_and_in_part(tmp_path: Path) -> None:
    cache = LocalFileCache(tmp_path / "cache")
    digest = sha256(body(1))
    assert cache.find(digest, 1000, 0, 1000) is None
    cache.keep(digest, body(1))
    assert LocalFileCache(tmp_path / "cache").find(digest, 1000, 0, 1000) == body(1)
    assert cache.find(digest, 1000, 6, 3) == body(1)[6:9]
    (file,) = kept(tmp_path / "cache")
    assert file.stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "cache" / "sha256" / digest[:2]).stat().st_mode & 0o077 == 0


def test_a_file_of_another_size_is_not_found(tmp_path: Path) -> None:
    cache = LocalFileCache(tmp_path)
    digest = sha256(body(1))
    cache.keep(digest, body(1))
    (file,) = kept(tmp_path)
    file.chmod(0o644)
    file.write_bytes(body(1)[:-1])
    assert cache.find(digest, 1000, 0, 999) is None


def test_the_least_lately_used_files_go_first(tmp_path: Path) -> None:
    cache = LocalFileCache(tmp_path, limit=10_000)
    digests = [sha256(body(number)) for number in range(30)]
    for number, digest in enumerate(digests):
        cache.keep(digest, body(number))
        for at, path in enumerate(sorted(kept(tmp_path), key=lambda found: found.stat().st_mtime_ns)):
            os.utime(path, (at, at))  # a clock that tells them apart
        assert cache.find(digests[0], 1000, 0, 1) is not None, "was used just now"
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= 10_000
    assert cache.find(digests[-1], 1000, 0, 1000) == body(29)
    assert cache.find(digests[1], 1000, 0, 1000) is None


def test_a_file_that_is_most_of_the_limit_is_not_kept(tmp_path: Path) -> None:
    cache = LocalFileCache(tmp_path / "cache", limit=4000)
    cache.keep(sha256(body(1)), body(1))
    assert not (tmp_path / "cache").exists()


def test_what_a_killed_process_left_behind_goes_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "sha256" / "ab"
    folder.mkdir(parents=True)
    old, new = folder / ".new-old", folder / ".new-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    LocalFileCache(tmp_path).keep(sha256(body(1)), body(1))
    assert not old.exists()
    assert new.exists()


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    cache = LocalFileCache(tmp_path / "cache")
    cache.keep(sha256(body(1)), body(1))
    assert cache.find(sha256(body(1)), 1000, 0, 1000) is None


def _keep_many(folder: Path, first: int) -> None:
    cache = LocalFileCache(folder, limit=20_000)
    for number in range(first, first + 60):
        digest = sha256(body(number))
        cache.keep(digest, body(number))
        found = cache.find(digest, 1000, 0, 1000)
        assert found is None or found == body(number)


def test_many_processes_share_a_cache(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_keep_many, args=(tmp_path, first)) for first in (0, 30, 1000)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert [each.exitcode for each in others] == [0, 0, 0]
    found = kept(tmp_path)
    assert found
    for path in found:
        assert sha256(path.read_bytes()) == Digest(path.parent.name + path.name)
    assert sum(path.stat().st_size for path in found) < 2 * 20_000


def test_the_folder_is_the_users_own(tmp_path: Path) -> None:
    assert user_cache_folder({"HOME": "/home/u"}) == Path("/home/u/.cache/sealrun")
    assert user_cache_folder({"HOME": "/home/u", "XDG_CACHE_HOME": "/c"}) == Path("/c/sealrun")
    assert user_cache_folder({"HOME": "/home/u", "XDG_CACHE_HOME": "not/absolute"}) == Path("/home/u/.cache/sealrun")
    assert user_cache_folder({"SEALRUN_CACHE": str(tmp_path)}) == tmp_path
