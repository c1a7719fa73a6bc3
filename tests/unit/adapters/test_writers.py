from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sealrun.adapters.run_folders.writers import OpenFiles, ProcWriters

_HOLD = "import sys; f = open(sys.argv[1], sys.argv[2]); print('open', flush=True); sys.stdin.read()"


def _holding(path: Path, mode: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _HOLD, str(path), mode]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_a_process_that_writes_below_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run/deep").mkdir(parents=True)
    (tmp_path / "run2").mkdir()
    with _holding(tmp_path / "run/deep/log", "w") as process:
        snapshot = ProcWriters().snapshot()
        (name,) = ProcWriters().writers(str(tmp_path / "run"))
        assert name.endswith(f"[{process.pid}]")
        assert snapshot.writers(str(tmp_path / "run")) == [name]
        assert snapshot.writers(str(tmp_path / "run/deep/log")) == [name]
        assert snapshot.writers(str(tmp_path / "run2")) == []
        process.communicate()
    assert ProcWriters().writers(str(tmp_path / "run")) == []


def test_a_reader_is_no_writer(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    with _holding(tmp_path / "log", "r") as process:
        assert ProcWriters().writers(str(tmp_path)) == []
        process.communicate()


def test_our_own_open_files_count(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w"):
        assert len(ProcWriters().writers(str(tmp_path))) == 1


def test_files_in_shared_memory_are_files_and_devices_are_not() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        with (Path(folder) / "log").open("w"), Path("/dev/null").open("w"):
            assert len(ProcWriters().writers(folder)) == 1
            assert ProcWriters().writers("/dev/null") == []
        assert ProcWriters().writers(folder) == []


def test_a_link_on_the_way_to_the_folder_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with (tmp_path / "real/log").open("w"):
        assert len(ProcWriters().writers(str(tmp_path / "link"))) == 1


def test_without_a_process_table_nobody_is_seen(tmp_path: Path) -> None:
    assert ProcWriters(str(tmp_path / "none")).writers(os.sep) == []


def test_a_recent_look_is_enough_to_see_nobody_and_never_to_see_somebody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    snapshot = ProcWriters.snapshot

    def counted(writers: ProcWriters) -> OpenFiles:
        looks.append(1)
        return snapshot(writers)

    monkeypatch.setattr(ProcWriters, "snapshot", counted)
    (tmp_path / "busy").mkdir()
    writers = ProcWriters(max_age_s=3600.0)
    with _holding(tmp_path / "busy/log", "w") as process:
        assert writers.writers(str(tmp_path / "quiet")) == []
        assert writers.writers(str(tmp_path / "other")) == []
        assert len(looks) == 1
        assert len(writers.writers(str(tmp_path / "busy"))) == 1
        assert len(looks) == 2
        process.communicate()
    assert writers.writers(str(tmp_path / "busy")) == []
    assert len(looks) == 3
    always = ProcWriters()
    for _ in range(2):
        always.writers(str(tmp_path))
    assert len(looks) == 5
