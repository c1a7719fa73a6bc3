"""A run that is recorded shows that it lives, and whose it is; forks, threads and nesting do no harm."""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

from sealrun.domain.errors import UsageError
from sealrun.domain.runs.recorder import HEARTBEAT_FILE, RECORDING_FILE, read_recorder
from sealrun.recording import RunWriter
from sealrun.recording.heartbeat import Heartbeat

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


def a_run(tmp_path: Path, heartbeat: float | None = None) -> RunWriter:
    return RunWriter("P", root=tmp_path / "runs", environ={}, heartbeat=heartbeat)


def hearts() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "sealrun-heartbeat"}


def wait_for(what: str, happened: object) -> None:
    deadline = time.monotonic() + 20
    while not happened():  # type: ignore[operator] # a test's own
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_while_it_lives_a_run_names_its_process_and_beats_and_then_no_more(tmp_path: Path) -> None:
    before = hearts()
    with a_run(tmp_path, heartbeat=1) as run:
        said = read_recorder((run.run_dir / RECORDING_FILE).read_bytes())
        assert said is not None
        assert (said.process, said.heartbeat_s) == (os.getpid(), 1.0)
        file = run.run_dir / HEARTBEAT_FILE
        first = file.read_bytes()
        wait_for("a second sign of life", lambda: file.read_bytes() != first)
        assert len(file.read_bytes()) == len(first)
    assert sorted(path.name for path in (run.run_dir / ".sealrun").iterdir()) == ["done.json"]
    assert hearts() <= before


def test_without_a_heartbeat_there_is_no_thread_and_no_file(tmp_path: Path) -> None:
    before = hearts()
    for none in (None, 0):
        with a_run(tmp_path, heartbeat=none) as run:
            assert not (run.run_dir / HEARTBEAT_FILE).exists()
            assert hearts() <= before
    with pytest.raises(UsageError, match="at least 1"):
        a_run(tmp_path, heartbeat=0.5)


def test_signals_are_for_the_programs_own_threads(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    before = hearts()
    heart = Heartbeat(file, 1000)
    (beating,) = hearts() - before
    (line,) = [
        line
        for line in Path(f"/proc/self/task/{beating.native_id}/status").read_text().splitlines()
        if "SigBlk" in line
    ]
    heart.stop()
    assert int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_folder_that_was_removed_stays_removed_and_nothing_fails(tmp_path: Path) -> None:
    file = tmp_path / "beat"
    heart = Heartbeat(file, 0.02)
    file.unlink()
    time.sleep(0.1)
    heart.stop()
    assert not file.exists()


def test_a_run_whose_end_cannot_be_recorded_keeps_no_daemon_waiting_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, heartbeat=30)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), run:
        monkeypatch.setattr(os, "fsync", full)
    monkeypatch.undo()
    assert list((run.run_dir / ".sealrun").glob("*.json")) == []
    assert json.loads((run.run_dir / "run.json").read_text())["status"] == "running"


@forks
def test_a_child_that_is_forked_while_another_thread_logs_can_log(tmp_path: Path) -> None:
    with a_run(tmp_path, heartbeat=1) as run:
        stop = threading.Event()

        def chatter() -> None:
            while not stop.is_set():
                run.log("from a thread " * 100)

        threads = [threading.Thread(target=chatter) for _ in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                run.log(f"child {number}")
                run.finish()
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == [0] * 20
    log = (run.run_dir / "run.log").read_text()
    assert all(f"child {number}\n" in log for number in range(20))
    assert run.status == "success"


def test_a_run_cannot_be_entered_twice_nor_after_its_end_nor_sent_elsewhere(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run:
        with pytest.raises(UsageError, match="in a with statement already"):
            run.__enter__()
        with pytest.raises(UsageError, match="cannot be sent to another process"):
            pickle.dumps(run)
    with pytest.raises(UsageError, match="has ended"):
        run.__enter__()


def test_runs_in_threads_are_runs_of_their_own(tmp_path: Path) -> None:
    statuses: dict[str, str | None] = {}

    def work(name: str) -> None:
        try:
            with a_run(tmp_path, heartbeat=1) as run:
                run.log(name)
                statuses[name] = str({"a": 1, "b": 2, "c": 3}[name])
        except KeyError:
            pass
        statuses[name] = run.status

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "bad", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == {"a": "success", "b": "success", "bad": "failed", "c": "success"}


def test_the_trace_of_what_ended_a_run_is_in_its_log_without_secrets(tmp_path: Path) -> None:
    run = RunWriter("P", root=tmp_path / "runs", environ={"MY_TOKEN": "geheimnis"}, heartbeat=None)
    with pytest.raises(ValueError, match="geheimnis"), run:
        raise ValueError("bad geheimnis")
    log = (run.run_dir / "run.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "geheimnis" not in log


def test_a_run_that_nobody_holds_any_more_gives_no_more_signs_of_life(tmp_path: Path) -> None:
    before = hearts()
    run = a_run(tmp_path, heartbeat=1)
    run.start()
    (beating,) = hearts() - before
    del run
    gc.collect()
    beating.join(20)
    assert not beating.is_alive()
