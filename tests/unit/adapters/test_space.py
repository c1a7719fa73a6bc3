from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sealrun.adapters.run_folders.space import room_at
from sealrun.bootstrap.daemon import alarming
from sealrun.bootstrap.daemon.alarming import Disks
from sealrun.domain.space import Room


def test_room_is_that_of_the_file_system_and_named_after_its_mount(tmp_path: Path) -> None:
    room = room_at(str(tmp_path))
    assert room is not None
    assert 0 <= room.free <= room.size
    assert os.path.ismount(room.mount)
    assert Path(room.mount).stat().st_dev == tmp_path.stat().st_dev


def test_room_for_what_is_not_there_yet_is_that_of_where_it_would_be(tmp_path: Path) -> None:
    there, later = room_at(str(tmp_path)), room_at(str(tmp_path / "a" / "b"))
    assert there is not None
    assert later is not None
    assert (later.mount, later.size) == (there.mount, there.size)


def test_a_file_system_that_counts_nothing_is_not_judged() -> None:
    assert room_at("/proc/self") is None


def test_what_lies_on_one_disk_is_named_together(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    disks = Disks([("the state folder", str(tmp_path)), ("watch b", str(tmp_path / "b")), ("proc", "/proc")])
    ((room, ours),) = disks.look()
    assert os.path.ismount(room.mount)
    assert room.free <= room.size
    assert ours == ["the state folder", "watch b"]


def test_a_disk_that_hangs_keeps_nobody_waiting_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, asked = threading.Event(), []

    def hang(path: str) -> Room:
        asked.append(path)
        answers.wait(60)
        return Room(mount=path, free=1, size=2)

    monkeypatch.setattr(alarming, "room_at", hang)
    monkeypatch.setattr(alarming, "_PATIENCE_S", 0.01)
    disks = Disks([("x", "/x")])
    assert not disks.look()
    assert not disks.look()
    assert asked == ["/x"]
    answers.set()
    while not disks.look():
        threading.Event().wait(0.01)
    assert disks.look() == [(Room(mount="/x", free=1, size=2), ["x"])]
