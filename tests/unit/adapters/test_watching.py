from __future__ import annotations

import errno
import os
import queue
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sealrun.adapters.run_folders import watching
from sealrun.adapters.run_folders.inotify import ShallowWatches
from sealrun.adapters.run_folders.mounts import file_system_of, is_remote
from sealrun.adapters.run_folders.watching import LocalWatcher

_PATIENCE_S = 120.0


class Hints:
    """Collects hints and waits for one."""

    def __init__(self) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue()

    def __call__(self, path: str | None) -> None:
        self._queue.put(path)

    def wait_for(self, wanted: Callable[[str | None], bool]) -> None:
        """Fail if no wanted hint arrives."""
        while not wanted(self._queue.get(timeout=_PATIENCE_S)):
            pass

    def wait_for_path(self, path: Path) -> None:
        self.wait_for(lambda hint: hint == str(path))

    def empty(self) -> bool:
        return self._queue.empty()


@pytest.fixture
def watcher() -> Iterator[LocalWatcher]:
    made = LocalWatcher(check_s=3600)
    yield made
    made.close()


def test_a_new_folder_in_the_root_is_reported(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    watcher.watch(str(tmp_path), hints)
    assert watcher.describe() == {str(tmp_path): "inotify"}
    (tmp_path / "run").mkdir()
    hints.wait_for_path(tmp_path / "run")


def test_a_folder_that_is_moved_in_is_reported(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    (tmp_path / "root").mkdir()
    (tmp_path / "run").mkdir()
    watcher.watch(str(tmp_path / "root"), hints)
    (tmp_path / "run").rename(tmp_path / "root/run")
    hints.wait_for_path(tmp_path / "root/run")


def test_deep_changes_are_reported_while_a_run_is_followed(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    deep = tmp_path / "run/deep/er"
    deep.mkdir(parents=True)
    watcher.watch(str(tmp_path), hints)
    watcher.follow(str(tmp_path / "run"))
    watcher.follow(str(tmp_path / "run"))
    (deep / "file").write_text("x")
    hints.wait_for_path(deep / "file")
    watcher.unfollow(str(tmp_path / "run"))
    watcher.unfollow(str(tmp_path / "run"))
    while not hints.empty():
        hints.wait_for(lambda _: True)
    (deep / "file").write_text("y")
    (tmp_path / "last").mkdir()
    seen: set[str | None] = set()

    def collect(hint: str | None) -> bool:
        seen.add(hint)
        return hint == str(tmp_path / "last")

    hints.wait_for(collect)
    assert str(deep / "file") not in seen


def test_a_listener_that_fails_does_not_stop_the_watching(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()

    def fail_first(path: str | None) -> None:
        hints(path)
        if path is not None and path.endswith("first"):
            raise RuntimeError("no")

    watcher.watch(str(tmp_path), fail_first)
    (tmp_path / "first").mkdir()
    hints.wait_for_path(tmp_path / "first")
    (tmp_path / "second").mkdir()
    hints.wait_for_path(tmp_path / "second")


def test_an_overflow_means_anything_may_have_changed(watcher: LocalWatcher, tmp_path: Path) -> None:
    from watchdog.observers import inotify  # noqa: PLC0415 - only here

    hints = Hints()
    watcher.watch(str(tmp_path), hints)
    (emitter,) = watcher._observer.emitters  # type: ignore[union-attr] # it was started by `watch`
    groups = [value for value in vars(emitter).values() if isinstance(value, inotify.InotifyWatchGroup)]
    groups[0].on_queue_overflow()
    hints.wait_for(lambda hint: hint is None)


def test_a_root_that_is_replaced_is_armed_again(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    root = tmp_path / "root"
    root.mkdir()
    watcher.watch(str(root), hints)
    root.rename(tmp_path / "old")
    watcher.check()
    hints.wait_for(lambda hint: hint is None)
    assert watcher.describe() == {str(root): "rescan: the root is not there"}
    root.mkdir()
    watcher.check()
    hints.wait_for(lambda hint: hint is None)
    (root / "run").mkdir()
    hints.wait_for_path(root / "run")


def test_a_root_that_is_not_there_yet_is_armed_when_it_comes(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    watcher.watch(str(tmp_path / "later"), hints)
    watcher.follow(str(tmp_path / "later/run"))
    watcher.check()
    assert hints.empty()
    (tmp_path / "later").mkdir()
    watcher.check()
    hints.wait_for(lambda hint: hint is None)
    assert watcher.describe() == {str(tmp_path / "later"): "inotify"}


def test_a_root_that_is_a_link_is_looked_through_and_reported_under_its_name(
    watcher: LocalWatcher, tmp_path: Path
) -> None:
    hints = Hints()
    (tmp_path / "real/run").mkdir(parents=True)
    (tmp_path / "root").symlink_to("real")
    watcher.watch(str(tmp_path / "root"), hints)
    watcher.follow(str(tmp_path / "root/run"))
    (tmp_path / "real/run/file").write_text("x")
    hints.wait_for_path(tmp_path / "root/run/file")


def test_two_watches_of_one_root_are_both_told(watcher: LocalWatcher, tmp_path: Path) -> None:
    one, other = Hints(), Hints()
    watcher.watch(str(tmp_path), one)
    watcher.watch(str(tmp_path), other)
    (tmp_path / "run").mkdir()
    one.wait_for_path(tmp_path / "run")
    other.wait_for_path(tmp_path / "run")


def test_a_quiet_check_reports_nothing(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    watcher.watch(str(tmp_path), hints)
    watcher.check()
    assert hints.empty()


def test_dead_threads_are_noticed_and_started_again(watcher: LocalWatcher, tmp_path: Path) -> None:
    hints = Hints()
    watcher.watch(str(tmp_path), hints)
    observer = watcher._observer
    assert observer is not None
    observer.stop()
    observer.join()
    watcher.check()
    hints.wait_for(lambda hint: hint is None)
    (tmp_path / "run").mkdir()
    hints.wait_for_path(tmp_path / "run")


def test_the_checks_happen_by_themselves(tmp_path: Path) -> None:
    hints = Hints()
    watcher = LocalWatcher(check_s=0.01)
    try:
        watcher.watch(str(tmp_path / "later"), hints)
        (tmp_path / "later").mkdir()
        hints.wait_for(lambda hint: hint is None)
    finally:
        watcher.close()
        watcher.close()


def test_roots_that_are_watched_are_looked_after_less_often_than_roots_that_are_awaited(
    watcher: LocalWatcher, tmp_path: Path
) -> None:
    watcher.watch(str(tmp_path), Hints())
    calm = watcher._pause_s()
    watcher.watch(str(tmp_path / "later"), Hints())
    assert watcher._pause_s() < calm
    (tmp_path / "later").mkdir()
    watcher.check()
    assert watcher._pause_s() == calm


def test_an_exhausted_watch_limit_is_said_and_leaves_the_rescan(
    watcher: LocalWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchdog.observers.inotify_c import InotifyFD  # noqa: PLC0415 - only here

    def refuse(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(InotifyFD, "add_callback", refuse)
    watcher.watch(str(tmp_path), Hints())
    (said,) = watcher.describe().values()
    assert said.startswith("rescan: ")
    assert "max_user_watches" in said


def test_network_file_systems_are_left_to_the_rescan(tmp_path: Path) -> None:
    hints = Hints()
    watcher = LocalWatcher(check_s=3600, file_system=lambda _: "nfs4")
    try:
        watcher.watch(str(tmp_path), hints)
        watcher.follow(str(tmp_path / "run"))
        watcher.check()
        (said,) = watcher.describe().values()
        assert said == "rescan: nfs4 reports no changes made by other machines"
        assert watcher._observer is None
        assert hints.empty()
    finally:
        watcher.close()


def test_past_the_limit_what_comes_directly_in_a_run_is_reported(
    watcher: LocalWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MAX_FOLLOWED", 1)
    hints = Hints()
    for name in "abc":
        (tmp_path / name).mkdir()
    watcher.watch(str(tmp_path), hints)
    for name in "abcc":
        watcher.follow(str(tmp_path / name))
    (said,) = watcher.describe().values()
    assert said.startswith("inotify: more than 1 unsettled runs")
    (tmp_path / "c/_SUCCESS").touch()
    hints.wait_for_path(tmp_path / "c/_SUCCESS")
    (tmp_path / "aside").touch()
    (tmp_path / "aside").rename(tmp_path / "b/done")
    hints.wait_for_path(tmp_path / "b/done")
    watcher.unfollow(str(tmp_path / "c"))
    watcher.unfollow(str(tmp_path / "c"))
    (tmp_path / "c/more").touch()
    (tmp_path / "b/last").touch()
    hints.wait_for(lambda hint: hint == str(tmp_path / "b/last") and hint != str(tmp_path / "c/more"))


def test_an_exhausted_watch_limit_past_the_limit_of_threads_is_said(
    watcher: LocalWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(watching, "_MAX_FOLLOWED", 0)
    monkeypatch.setattr(ShallowWatches, "add", refuse)
    (tmp_path / "run").mkdir()
    watcher.watch(str(tmp_path), Hints())
    watcher.follow(str(tmp_path / "run"))
    (said,) = watcher.describe().values()
    assert "max_user_watches" in said


def test_a_shallow_watch_ends_with_its_folder_and_follows_it_under_another_name(tmp_path: Path) -> None:
    hints = Hints()
    shallow = ShallowWatches(hints)
    try:
        (tmp_path / "a").mkdir()
        shallow.add(str(tmp_path / "a"))
        (tmp_path / "a").rename(tmp_path / "b")
        shallow.add(str(tmp_path / "b"))
        assert str(tmp_path / "a") not in shallow
        (tmp_path / "b/x").touch()
        hints.wait_for_path(tmp_path / "b/x")
        (tmp_path / "b/x").unlink()
        (tmp_path / "b").rmdir()
        hints.wait_for_path(tmp_path / "b")
        assert str(tmp_path / "b") not in shallow
        with pytest.raises(FileNotFoundError):
            shallow.add(str(tmp_path / "b"))
    finally:
        shallow.close()


def test_a_root_that_is_replaced_takes_its_shallow_watches_with_it(
    watcher: LocalWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MAX_FOLLOWED", 0)
    (tmp_path / "root/run").mkdir(parents=True)
    watcher.watch(str(tmp_path / "root"), Hints())
    watcher.follow(str(tmp_path / "root/run"))
    assert watcher._shallow is not None
    assert watcher._shallow.folders() == [str(tmp_path / "root/run")]
    (tmp_path / "root").rename(tmp_path / "old")
    watcher.check()
    assert watcher._shallow.folders() == []


def test_a_lost_event_of_a_shallow_watch_means_anything_may_have_changed(
    watcher: LocalWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_MAX_FOLLOWED", 0)
    hints = Hints()
    (tmp_path / "run").mkdir()
    watcher.watch(str(tmp_path), hints)
    watcher.follow(str(tmp_path / "run"))
    shallow = watcher._shallow
    assert shallow is not None
    (lost,) = shallow._changes(struct.pack("iIII", -1, 0x4000, 0, 0))
    shallow._on_change(lost)
    hints.wait_for(lambda hint: hint is None)


def test_the_mount_table_tells_the_file_system(tmp_path: Path) -> None:
    real = os.path.realpath(tmp_path)
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"30 22 0:40 / {real}/data rw,relatime shared:1 - nfs4 server:/x rw\n"
        f"31 22 0:41 / {real}/with\\040space rw - fuse.sshfs host: rw\n"
    )
    assert file_system_of(f"{real}/data/run", str(table)) == "nfs4"
    assert file_system_of(f"{real}/data2", str(table)) == "ext4"
    assert file_system_of(f"{real}/with space/x", str(table)) == "fuse.sshfs"
    assert file_system_of("/x", str(tmp_path / "none")) == "unknown"


@pytest.mark.parametrize(("kind", "remote"), [("nfs", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False)])
def test_remote_file_systems_are_known_by_their_type(kind: str, remote: bool) -> None:  # noqa: FBT001 - a table column
    assert is_remote(kind) is remote
