"""Whether the process that a run names lives, by the real process table and by made ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sealrun.adapters.machine.processes import lives
from sealrun.adapters.run_folders.writers import ProcWriters
from sealrun.domain.runs.recorder import Recorder
from sealrun.recording.heartbeat import this_recorder


def test_this_process_lives_and_another_one_with_its_number_is_not_it() -> None:
    me = this_recorder(None)
    assert lives(me) is True
    assert ProcWriters().lives(me) is True
    assert me.started is not None
    assert lives(msgspec.structs.replace(me, started=me.started + 1)) is False


def test_a_process_that_ended_is_gone_also_while_nobody_has_buried_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat")
    recorder = msgspec.structs.replace(
        this_recorder(None), process=child.pid, started=int(stat.read_bytes().rpartition(b")")[2].split()[19])
    )
    assert lives(recorder) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert lives(recorder) is False
    child.wait()
    assert child.stdin is not None
    child.stdin.close()
    assert lives(recorder) is False


@pytest.mark.parametrize("field", ["boot", "namespace"])
def test_numbers_of_another_boot_machine_or_container_mean_nothing_here(field: str) -> None:
    me = this_recorder(None)
    assert lives(msgspec.structs.replace(me, **{field: "another"})) is None
    assert lives(msgspec.structs.replace(me, **{field: None})) is None
    assert lives(Recorder(process=-1, boot=me.boot, namespace=me.namespace, started=1)) is None


def test_where_proc_hides_the_processes_of_others_nobody_is_called_gone(tmp_path: Path) -> None:
    me = this_recorder(None)
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(f"{me.boot}\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(str(me.namespace))
    assert lives(me, str(tmp_path)) is None
    free = subprocess.Popen(["true"])
    free.wait()
    assert lives(msgspec.structs.replace(me, process=free.pid), str(tmp_path)) is False
    assert lives(me, str(tmp_path / "none")) is None
