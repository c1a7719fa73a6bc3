"""A producer killed at any line leaves a folder that settles, as interrupted, or that is no run yet."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import sealrun.recording
from sealrun.adapters.folders import LocalFolder, NoHashes
from sealrun.domain.run import Completion, Envelope
from sealrun.domain.settling import SettleRules, what_blocks
from sealrun.recording import Paths, RunContext
from sealrun.services.detecting import take_snapshot
from sealrun.services.sealing import SealRequest, seal

POINTS = int(os.environ.get("SEALRUN_TEST_KILLS", "25"))
_CODE = str(Path(sealrun.recording.__file__).parent)


def produce(root: Path) -> None:
    paths = Paths(root / "experiments", root / "scratch")
    with RunContext("dev", "hmc", paths=paths, seal=True, environ={}) as run:
        run.write_json("metrics.json", {"loss": 0.1})
        run.check("file", "pass", "artifacts/metrics.json")
        run.write_text("notes.txt", "x" * 10_000, section="lab/audit")
        (run.artifacts / "big.bin").write_bytes(b"y" * 10_000)


def in_child(root: Path, dies_at: int | None) -> tuple[int, int]:
    """Produce in a child that is killed at its `dies_at`th line; return the wait status and the lines it reached."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - a tracer traces itself
            nonlocal count
            if not frame.f_code.co_filename.startswith(_CODE):
                return None
            if event == "line":
                count += 1
                if count == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        os.close(reading)
        sys.settrace(trace)
        produce(root)
        sys.settrace(None)
        os.write(writing, str(count).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        lines = said.read()
    return os.waitpid(child, 0)[1], int(lines or 0)


def run_of(root: Path) -> LocalFolder | None:
    """The run folder that was left, if it holds anything."""
    for folder in (root / "experiments/dev/runs").glob("*"):
        run = LocalFolder(str(folder), hashes=NoHashes())
        return run if run.scan().files else None
    return None


def sealed(run: LocalFolder) -> Envelope:
    assert what_blocks(take_snapshot(run, SettleRules(), run.survey())) == (), "it would never settle"
    completion = Completion("quiet", "quiet", "inferred")
    return seal(run, SealRequest(experiment="dev", completion=completion)).envelope


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_killed_at_any_line_a_run_is_never_taken_for_a_success_that_it_was_not(tmp_path: Path) -> None:
    status, lines = in_child(tmp_path / "whole", None)
    assert status == 0
    whole = run_of(tmp_path / "whole")
    assert whole is not None
    complete = sealed(whole)
    assert complete.status == "success"
    statuses = []
    step = max(1, lines // POINTS)
    for number in sorted({*range(1, lines, step), *range(lines - 40, lines, 8)}):
        root = tmp_path / str(number)
        status, _ = in_child(root, number)
        assert os.WIFSIGNALED(status)
        run = run_of(root)
        envelope = None if run is None else sealed(run)
        statuses.append("no run yet" if envelope is None else envelope.status)
        if envelope is not None and envelope.status == "success":
            # It had come to its end, and everything was written; only MANIFEST.sha256 may not be.
            assert envelope.files >= complete.files - 1
            done = (Path(run.path) / ".sealrun/done.json").exists() if run is not None else False
            assert done or envelope.files <= complete.files
        elif envelope is not None:
            assert envelope.status == "interrupted"
    assert {"no run yet", "interrupted", "success"} == set(statuses)
    order = ["no run yet", "interrupted", "success"]
    assert statuses == sorted(statuses, key=order.index)
