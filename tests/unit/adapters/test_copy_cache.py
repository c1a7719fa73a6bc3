"""Copies that have paths: bounded, and never taken from a process that was given one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from sealrun.adapters.caches.copy_cache import CopyCache
from sealrun.domain.upkeep.caching import Cached, Cleaning, plan_cleaning

ALL = partial(plan_cleaning, keep=0)
HOLD = """
import os, sys
from pathlib import Path
from sealrun.adapters.caches.copy_cache import CopyCache
cache = CopyCache(Path(sys.argv[1]), 1 << 30)
for place in sys.argv[2].split():
    cache.hold(place)
if len(sys.argv) > 3:
    child = os.fork()
    if child:
        print(child, flush=True)
        os._exit(0)
    os.close(1)
else:
    print("holds", flush=True)
sys.stdin.read()
"""


def fetched(cache: CopyCache, number: int, size: int = 1000, area: str = "files") -> str:
    """Put a copy there, as if another process had, which has ended."""
    place = f"{area}/ab/{number:062x}"
    path = cache.folder / place / "name"
    path.parent.mkdir(parents=True)
    if area == "files":
        path.write_bytes(bytes(size))
    else:
        (path / "sub").mkdir(parents=True)
        (path / "sub" / "file").write_bytes(bytes(size))
    os.utime(path.parent, (number, number))
    return place


def there(cache: CopyCache) -> set[str]:
    return {each.place for each in cache.kept()}


def holder(cache: CopyCache, *places: str, forks: bool = False) -> subprocess.Popen[bytes]:
    more = ["forks"] if forks else []
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache.folder), " ".join(places), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_what_was_used_least_lately_goes_when_there_is_too_much(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path / "cache", limit=5000)
    places = [fetched(cache, number, area="folders" if number % 2 else "files") for number in range(1, 9)]
    os.utime(cache.folder / places[0])  # was used just now
    cache.added(1000)
    assert there(cache) == {places[0], *places[5:]}
    assert not list(cache.folder.glob(".going-*"))


def test_what_fits_stays(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=5000)
    places = {fetched(cache, number) for number in range(1, 6)}
    cache.added(5000)
    assert there(cache) == places


def test_nothing_that_a_running_process_asked_for_goes_and_all_of_it_once_it_has_ended(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    first, second, third = (fetched(cache, number) for number in (1, 2, 3))
    process = holder(cache, first, third)
    for place in (first, third):
        os.utime(cache.folder / place, (1, 1))
    cleaning = cache.clean(ALL)
    assert [each.place for each in cleaning.remove] == [second]
    assert there(cache) == {first, third}
    assert {each.held for each in cache.kept()} == {True}
    killed(process)  # not even asked to let go
    assert {each.held for each in cache.kept()} == {False}
    cache.clean(ALL)
    assert there(cache) == set()
    assert list((tmp_path / "leases").iterdir()) == []


def test_a_child_holds_what_its_parent_held(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    place = fetched(cache, 1)
    process = holder(cache, place, forks=True)
    assert process.wait() == 0
    assert cache.clean(ALL).held == 1
    killed(process)  # its pipes, that is: the child reads on until they end
    while cache.kept() and cache.kept()[0].held:
        pass  # until the child has ended, too
    cache.clean(ALL)
    assert there(cache) == set()


def test_what_this_process_asked_for_stays_whatever_the_limit(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    place = fetched(cache, 1)
    assert cache.hold(place) == tmp_path / place
    CopyCache(tmp_path, limit=10).added(1000)
    assert there(cache) == {place}


def test_what_was_asked_for_in_the_last_hour_stays_unless_it_is_told_to_go(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    process = holder(cache, fetched(cache, 1))  # which makes it recent
    killed(process)
    cache.added(1000)
    assert len(there(cache)) == 1
    cache.clean(ALL)
    assert there(cache) == set()


def test_an_open_file_is_read_on_when_its_name_is_gone(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    place = fetched(cache, 1)
    with (tmp_path / place / "name").open("rb") as file:
        cache.clean(ALL)
        assert there(cache) == set()
        assert len(file.read()) == 1000


def test_what_killed_processes_left_goes_and_what_is_being_fetched_stays(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=1 << 20)
    going, old, new = (
        tmp_path / ".going-x",
        tmp_path / "files/ab/cd/.fetching-old",
        tmp_path / "files/ab/cd/.fetching-new",
    )
    for path in (going, old, new):
        path.mkdir(parents=True)
    os.utime(old, (1, 1))
    cache.clean(partial(plan_cleaning, keep=1 << 20))
    assert [path.exists() for path in (going, old, new)] == [False, False, True]


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    cache = CopyCache(tmp_path / "cache", limit=10)
    with caplog.at_level(logging.WARNING, "sealrun.cache"):
        cache.hold("files/ab/cd")
        cache.added(1000)
    assert "no room can be made there" in caplog.text
    assert cache.kept() == []


def test_what_is_asked_for_while_it_is_looked_for_stays(tmp_path: Path) -> None:
    cache = CopyCache(tmp_path, limit=10)
    first, second = fetched(cache, 1), fetched(cache, 2)

    def plan(kept: list[Cached]) -> Cleaning:
        cache.hold(first)
        return ALL(kept)

    done = cache.clean(plan)
    assert [each.place for each in done.remove] == [second]
    assert done.held == 1
    assert there(cache) == {first}
