"""A run whose end goes wrong, or is interrupted: nobody is left waiting for it, and no error hides another."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from sealrun.domain.errors import RunRejectedError, UsageError
from sealrun.recording import Paths, RunContext, writer
from sealrun.recording.capturing import capture_versions
from sealrun.recording.values import plain

_NESTED = """
import os, pathlib, signal, sys
from sealrun.recording import Paths, RunContext, writer

declare = writer.declare
def interrupted(folder, said, **options):
    if "inner" in said["run_id"]:
        os.kill(os.getpid(), signal.SIGTERM)
    return declare(folder, said, **options)
writer.declare = interrupted
room = pathlib.Path(sys.argv[1])
paths = Paths(room / "experiments", room / "scratch", "dev")
with RunContext(algo="a", tag="outer", paths=paths):
    with RunContext(algo="a", tag="inner", paths=paths):
        pass
    (room / "went-on").touch()
"""


def a_run(tmp_path: Path, **options: Any) -> RunContext:  # noqa: ANN401 - whatever a test wants to set
    paths = Paths(tmp_path / "experiments", tmp_path / "scratch", "dev")
    return RunContext(algo="a", paths=paths, **options)


def left_to_quiet(run: RunContext) -> bool:
    beats = [thread for thread in threading.enumerate() if thread.name == "sealrun-heartbeat"]
    return run.status is None and not beats and not (run.run_dir / ".sealrun/recording.json").exists()


def test_a_run_that_cannot_be_sealed_is_left_to_quiet_and_says_why(tmp_path: Path) -> None:
    run = a_run(tmp_path, seal=True)
    with pytest.raises(RunRejectedError, match="pipe"), run:
        os.mkfifo(run.artifacts / "pipe")
    assert left_to_quiet(run)


def test_the_error_of_the_body_is_not_hidden_by_that_of_the_end(tmp_path: Path) -> None:
    def fail(run: RunContext) -> NoReturn:
        os.mkfifo(run.artifacts / "pipe")
        raise ValueError("my own")

    run = a_run(tmp_path, seal=True)
    with pytest.raises(ValueError, match="my own") as caught, run:
        fail(run)
    (note,) = caught.value.__notes__
    assert "its end could not be recorded" in note
    assert "pipe" in note
    assert left_to_quiet(run)


def test_an_end_that_is_interrupted_leaves_the_run_to_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object, **_options: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "declare", interrupted)
    run = a_run(tmp_path)
    with pytest.raises(KeyboardInterrupt), run:
        pass
    assert left_to_quiet(run)


def test_sigterm_while_an_inner_run_ends_lets_it_end_and_fails_the_outer_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _NESTED, str(tmp_path)], check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "went-on").exists()
    ended = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("run.json")}
    (inner,) = (said for name, said in ended.items() if "inner" in name)
    (outer,) = (said for name, said in ended.items() if "outer" in name)
    assert (inner["status"], outer["status"], outer["reason"]) == ("success", "failed", "SIGTERM")
    assert len([*tmp_path.rglob(".sealrun/done.json")]) == 2
    assert not [*tmp_path.rglob("recording.json")]


def test_to_ask_for_versions_loads_no_module_that_is_loaded_lazily(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brokenlib.py").write_text("import libnothere_so\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = importlib.util.find_spec("brokenlib")
    assert found is not None
    assert found.loader is not None
    found.loader = importlib.util.LazyLoader(found.loader)  # the standard library's own recipe
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "brokenlib", module)
    found.loader.exec_module(module)
    versions = capture_versions()
    assert versions["numpy"] == np.__version__
    assert "brokenlib" not in versions


def test_a_number_that_stays_what_it_is_however_it_is_converted_is_refused_by_name() -> None:
    assert plain(np.float32(0.5)) == 0.5
    with pytest.raises(UsageError, match="cannot hold a longdouble"):
        plain(np.longdouble(1.5))
