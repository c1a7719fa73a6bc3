from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from tests.builders.folders import a_folder

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.watches.watch import WatchSpec

_HOUR_NS = 3_600_000_000_000


def source(root: Path, glob: str = "*", *, later_ns: int = 0) -> LocalFolderSource:
    """With `later_ns`, everything that is there was changed so long ago."""
    watch = WatchSpec(name="w", path=str(root), experiment="e", registries=(), glob=glob)
    return LocalFolderSource(watch, NoHashes(), wall_ns=lambda: time.time_ns() + later_ns)


def glanced(found: LocalFolderSource, run: Path) -> int | None:
    """Glance at one folder among others: what is told of it does not depend on them."""
    nothing, one = found.glance([str(run.parent / "no such"), str(run)])
    assert nothing is None
    return one


def test_candidates_are_sorted_absolute_paths(tmp_path: Path) -> None:
    for name in ("b", "a", os.fsdecode(b"\xff")):
        a_folder(tmp_path / name, {"x": "1"})
    listed = source(tmp_path).candidates()
    assert listed == sorted(str(tmp_path / name) for name in ("a", "b", os.fsdecode(b"\xff")))


def test_a_missing_root_is_not_an_empty_one(tmp_path: Path) -> None:
    assert source(tmp_path / "none").candidates() is None
    assert source(tmp_path / "none", "*/*").candidates() is None
    assert source(tmp_path).candidates() == []


def test_an_unusable_ignore_file_of_the_root_rejects_what_is_opened(tmp_path: Path) -> None:
    a_folder(tmp_path / "run", {"x": "1"})
    (tmp_path / ".sealignore").symlink_to("/etc/passwd")
    assert source(tmp_path).candidates() == [str(tmp_path / "run")]
    with pytest.raises(RunRejectedError, match="sealignore"):
        source(tmp_path).open(str(tmp_path / "run"))


def shut(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let nobody list these: who runs the tests may be allowed everything."""
    scandir, closed = os.scandir, {str(folder) for folder in folders}

    def refusing(path: str) -> object:
        if path in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_folder_on_the_way_that_may_not_be_listed_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_folder(tmp_path / "exp/run", {"x": "1"})
    (tmp_path / "lost+found").mkdir()
    found = source(tmp_path, "*/*", later_ns=_HOUR_NS)
    with monkeypatch.context() as patch:
        shut(patch, tmp_path / "lost+found")
        assert found.candidates() == [str(tmp_path / "exp/run")]
        assert found.unreadable == [str(tmp_path / "lost+found")]
        assert found.candidates() is found.candidates()
        assert found.unreadable == [str(tmp_path / "lost+found")]
        shut(patch, tmp_path)
        assert source(tmp_path, "*/*").candidates() is None
    (tmp_path / "lost+found/run").mkdir()
    assert len(found.candidates() or ()) == 2
    assert found.unreadable == []


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every folder that is listed."""
    listed: list[str] = []
    scandir = os.scandir

    def counting(path: str) -> object:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    return listed


def test_a_root_in_which_nothing_moved_is_not_listed_again(tmp_path: Path, scans: list[str]) -> None:
    for name in ("x/a", "x/b", "y/c"):
        a_folder(tmp_path / name, {"f": "1"})
    found = source(tmp_path, "*/*", later_ns=_HOUR_NS)
    first = found.candidates()
    assert len(scans) == 3
    assert found.candidates() == first
    assert len(scans) == 3


@pytest.mark.parametrize("change", ["root", "inner", "ignore file", "ignored more"])
def test_whatever_changes_what_the_candidates_are_has_them_listed_again(tmp_path: Path, change: str) -> None:
    for name in ("x/a", "x/b", "y/c"):
        a_folder(tmp_path / name, {"f": "1"})
    if change == "ignored more":
        (tmp_path / ".sealignore").write_text("z/\n")
    found = source(tmp_path, "*/*", later_ns=_HOUR_NS)
    assert len(found.candidates() or ()) == 3
    if change == "root":
        a_folder(tmp_path / "z/d", {"f": "1"})
    elif change == "inner":
        (tmp_path / "y/c").rename(tmp_path / "gone")
    else:
        with (tmp_path / ".sealignore").open("a") as ignored:
            ignored.write("y/\n")
    assert found.candidates() == source(tmp_path, "*/*").candidates()
    assert len(found.candidates() or ()) == (4 if change == "root" else 2)


def test_a_listing_of_what_changed_a_moment_ago_is_not_trusted(tmp_path: Path, scans: list[str]) -> None:
    a_folder(tmp_path / "a", {"f": "1"})
    found = source(tmp_path)
    found.candidates()
    found.candidates()
    assert len(scans) == 2


def test_a_root_that_goes_away_and_comes_back_is_never_listed_from_memory(tmp_path: Path) -> None:
    root = a_folder(tmp_path / "root", {"a/f": "1"})
    found = source(root, later_ns=_HOUR_NS)
    assert found.candidates() == [str(root / "a")]
    root.rename(tmp_path / "away")
    assert found.candidates() is None
    root.mkdir()
    assert found.candidates() == []


def test_a_linked_root_is_listed_again_when_the_folder_behind_it_changes(tmp_path: Path) -> None:
    a_folder(tmp_path / "real/a", {"f": "1"})
    (tmp_path / "root").symlink_to("real")
    found = source(tmp_path / "root", later_ns=_HOUR_NS)
    assert len(found.candidates() or ()) == 1
    a_folder(tmp_path / "real/b", {"f": "1"})
    assert len(found.candidates() or ()) == 2


def test_a_glance_shows_what_comes_goes_or_moves_directly_in_a_folder(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"f": "1", "g": "2"})
    found = source(tmp_path, later_ns=_HOUR_NS)
    found.candidates()
    seen = [glanced(found, run)]
    assert seen == [glanced(found, run)]
    for change in (
        lambda: (run / "new").write_text("x"),
        (run / "f").unlink,
        lambda: (run / "g").rename(run / "h"),
    ):
        change()
        seen.append(glanced(found, run))
    assert None not in seen
    assert len(set(seen)) == 4


def test_a_glance_tells_nothing_of_what_changed_a_moment_ago_or_is_gone(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"f": "1"})
    assert glanced(source(tmp_path), run) is None
    assert glanced(source(tmp_path, later_ns=_HOUR_NS), tmp_path / "none") is None


def test_a_change_of_the_roots_ignore_file_shows_in_every_glance(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"f": "1"})
    found = source(tmp_path, later_ns=_HOUR_NS)
    found.candidates()
    before = glanced(found, run)
    (tmp_path / ".sealignore").write_text("f\n")
    found.candidates()
    assert glanced(found, run) != before


@pytest.mark.parametrize("glob", ["*/*", "*/*/*"])
def test_a_folder_above_the_run_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path, glob: str) -> None:
    below = "team/ada/run"[-len("ada/run") if glob == "*/*" else 0 :]
    a_folder(tmp_path / "private", {"ada/run/file": "secret", "run/file": "secret"})
    a_folder(tmp_path / "watched", {f"{below}/file": "mine!!"})
    watched = source(tmp_path / "watched", glob)
    candidates = watched.candidates()
    assert candidates == [str(tmp_path / "watched" / below)]
    run = watched.open(candidates[0])
    tree = run.scan()
    hashed = run.hash(tree)
    top = tmp_path / "watched" / below.partition("/")[0]
    top.rename(tmp_path / "aside")
    top.symlink_to(tmp_path / "private")
    with pytest.raises(RunChangedError):
        run.source(hashed.entries[0]).open()
    with pytest.raises(RunChangedError):
        watched.open(candidates[0]).scan()
    assert run.read_small("file", 100) is None


def test_a_folder_above_a_watched_file_that_is_swapped_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    a_folder(tmp_path / "private", {"notes.csv": "secret"})
    a_folder(tmp_path / "watched", {"ada/notes.csv": "mine!!"})
    watch = WatchSpec(
        name="w", path=str(tmp_path / "watched"), experiment="e", registries=(), glob="*/*.csv", unit="file"
    )
    watched = LocalFolderSource(watch, NoHashes())
    candidates = watched.candidates()
    assert candidates is not None
    (tmp_path / "watched/ada").rename(tmp_path / "aside")
    (tmp_path / "watched/ada").symlink_to(tmp_path / "private")
    with pytest.raises(RunChangedError):
        watched.open(candidates[0]).scan()


def test_the_watched_folder_itself_may_be_a_link_whatever_lies_between(tmp_path: Path) -> None:
    a_folder(tmp_path / "real", {"ada/run/file": "mine"})
    (tmp_path / "watched").symlink_to(tmp_path / "real")
    watched = source(tmp_path / "watched", "*/*")
    (candidate,) = watched.candidates() or ()
    assert set(watched.open(candidate).scan().files) == {"file"}
