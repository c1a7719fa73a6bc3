from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sealrun.adapters.journal import open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.locking import hold, holder
from sealrun.domain.errors import ConfigurationError, HeldError

HOLDING = """
import sys
from pathlib import Path
from sealrun.adapters.machine.locking import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_state_folder_has_one_holder_at_a_time(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with hold(state):
        assert holder(state) == os.getpid()
        with pytest.raises(HeldError, match=f"held by process {os.getpid()}"), hold(state):
            pass
    assert holder(state) is None
    with hold(state):
        pass


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(HeldError, match=f"held by process {process.pid}"), hold(tmp_path):
            pass
        process.kill()
        process.wait()
        with hold(tmp_path):
            assert holder(tmp_path) == os.getpid()


def test_a_folder_that_was_never_held_has_no_holder(tmp_path: Path) -> None:
    assert holder(tmp_path / "nowhere") is None


def test_a_state_folder_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="state folder"), hold(tmp_path / "file" / "state"):
        pass


def test_a_state_folder_that_is_made_is_its_users_alone_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    with hold(tmp_path / "made"):
        assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    with closing(open_journal(tmp_path / "journal", SystemClock(), SystemEntropy())):
        assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    (tmp_path / "shared").chmod(0o750)
    with hold(tmp_path / "shared"):
        assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o750
