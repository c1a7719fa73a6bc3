"""A producer killed at any line leaves nothing torn, and a folder that settles as interrupted, or is no run yet."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.recording.killing import in_child, points

from sealrun.adapters.machine.processes import lives
from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.domain.runs.recorder import RECORDING_FILE, read_recorder
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.watches.settling import Complete, SettleRules, decide, what_blocks
from sealrun.recording import Paths, RunContext, RunWriter, mark_complete, record_command, write_json, write_text
from sealrun.services.watching.detecting import take_snapshot
from sealrun.services.watching.sealing import SealRequest, seal

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")]
POINTS = int(os.environ.get("SEALRUN_TEST_KILLS", "60"))
"""So many of all points, evenly spread; any large number for every line."""
NOTES = "x" * 10_000


def context(root: Path) -> None:
    paths = Paths(root / "experiments", root / "scratch")
    with RunContext("dev", "hmc", paths=paths, seal=True, diff=False, environ={}) as run:
        run.write_json("metrics.json", {"loss": 0.1})
        run.check("file", "pass", "artifacts/metrics.json")
        run.write_text("notes.txt", NOTES, section="lab/audit")


def writer(root: Path) -> None:
    run = RunWriter("P", "1", root=root / "reports/runs", environ={})
    run.start("local_cli", "here", "me")
    run.add_input("table", "t")
    run.write_text("notes.txt", NOTES)
    run.finish()


def command(root: Path) -> None:
    run = RunWriter("P", "1", root=root / "reports/runs", environ={})
    script = 'printf %s "$0" > "$SEALRUN_RUN_DIR/n.tmp" && mv "$SEALRUN_RUN_DIR/n.tmp" "$SEALRUN_RUN_DIR/notes.txt"'
    record_command(run, ["sh", "-c", script, NOTES])


def run_of(root: Path) -> LocalFolder | None:
    """The run folder that was left, if it holds anything."""
    for folder in (*root.glob("experiments/dev/runs/*"), *root.glob("reports/runs/*")):
        run = LocalFolder(str(folder), hashes=NoHashes())
        return run if run.scan().files else None
    return None


def check_whole(folder: Path) -> None:
    """Whatever has its final name is whole."""
    for path in folder.rglob("*"):
        if path.name.endswith(".tmp"):
            assert path.is_relative_to(folder / ".sealrun") or path.name == "n.tmp", path
        elif path.suffix == ".json" and path.is_file():
            json.loads(path.read_bytes())
        elif path.name == "notes.txt":
            assert path.read_text() == NOTES
        elif path.name == "MANIFEST.sha256":
            for line in path.read_text().splitlines():
                digest, _, name = line.partition("  ")
                assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def settled(run: LocalFolder) -> Envelope:
    """What a daemon makes of it, on this machine and on another."""
    rules, survey = SettleRules(forbid=()), run.survey()
    snapshot = take_snapshot(run, rules, survey)
    assert what_blocks(snapshot) == (), "it would never settle"
    body = run.read_small(RECORDING_FILE, 1 << 20)
    recorder = read_recorder(body)
    here = None if recorder is None else lives(recorder)
    assert here is (None if recorder is None else False)
    for known, waits_s in ((here, rules.settle_s), (None, rules.gone_after_s)):
        first = decide(rules, None, snapshot, 0.0, lives=known)
        assert isinstance(decide(rules, first.watching, snapshot, waits_s, lives=known), Complete)
    completion = Completion("quiet", "quiet", "inferred")
    return seal(run, SealRequest(experiment="dev", completion=completion)).envelope


@pytest.mark.parametrize("produce", [context, writer, command])
def test_killed_at_any_line_a_run_is_never_taken_for_a_success_that_it_was_not(
    tmp_path: Path, produce: Callable[[Path], None]
) -> None:
    status, seen = in_child(lambda: produce(tmp_path / "whole"))
    assert status == 0
    whole = run_of(tmp_path / "whole")
    assert whole is not None
    complete = settled(whole)
    assert complete.status == "success"
    statuses = set()
    every = points(seen)
    for number, point in enumerate(every[:: max(1, len(every) // POINTS)]):
        root = tmp_path / str(number)
        status, _ = in_child(lambda root=root: produce(root), point)  # type: ignore[misc] # bound at once
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        run = run_of(root)
        if run is None:
            statuses.add("no run yet")
            continue
        check_whole(Path(run.path))
        said = settled(run).status
        statuses.add(said)
        if said == "success":
            # It had come to its end and said so, after everything that it wrote.
            assert json.loads((Path(run.path) / "run.json").read_text())["status"] == "success"
            assert (Path(run.path) / "run.log").read_text().splitlines()[-1].endswith("finished: success")
        else:
            assert said == "interrupted", point
            assert not (Path(run.path) / ".sealrun/done.json").exists()
    assert {"no run yet", "interrupted", "success"} <= statuses


def test_killed_at_any_line_a_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    def write(file: Path) -> None:
        write_json(file, {"new": NOTES})

    _, seen = in_child(lambda: write(tmp_path / "first/value.json"))
    contents = set()
    for number, point in enumerate(points(seen)):
        file = tmp_path / str(number) / "value.json"
        write_text(file, "old")
        in_child(lambda file=file: write(file), point)  # type: ignore[misc] # bound at once
        contents.add("old" if file.read_text() == "old" else json.loads(file.read_text())["new"])
        assert all(path == file or path.name.endswith(".tmp") for path in file.parent.iterdir())
    assert contents == {"old", NOTES}


def test_killed_at_any_line_mark_has_declared_a_folder_or_not(tmp_path: Path) -> None:
    def prepare(root: Path) -> Path:
        write_text(root / "notes.txt", NOTES)
        return root

    whole = prepare(tmp_path / "whole")
    _, seen = in_child(lambda: mark_complete(whole, "partial", seal=True))
    declared = set()
    for number, point in enumerate(points(seen)):
        root = prepare(tmp_path / str(number))
        in_child(lambda root=root: mark_complete(root, "partial", seal=True), point)  # type: ignore[misc] # as above
        check_whole(root)
        done = root / ".sealrun/done.json"
        declared.add(json.loads(done.read_text())["status"] if done.exists() else None)
        assert not done.exists() or (root / "MANIFEST.sha256").exists()
    assert declared == {None, "partial"}


@contextmanager
def full_disk_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """From the given number of writing calls on, each fails."""
    counted = [0]

    def failing(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            counted[0] += 1
            if counted[0] > calls:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **options)

        monkeypatch.setattr(os, name, call)

    with monkeypatch.context() as patched:
        monkeypatch = patched
        for name in ("write", "fsync", "rename", "replace", "mkdir"):
            failing(name)
        yield counted


@pytest.mark.parametrize("produce", [context, writer, command])
def test_on_a_disk_that_fills_up_the_error_is_told_and_no_run_succeeds(
    tmp_path: Path, produce: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_disk_after(10**9, monkeypatch) as counted:
        produce(tmp_path / "whole")
    outcomes = set()
    for calls in range(0, counted[0], max(1, counted[0] // POINTS)):
        root = tmp_path / str(calls)
        told = False
        with full_disk_after(calls, monkeypatch):
            try:
                produce(root)
            except OSError as error:
                told = error.errno == errno.ENOSPC
        run = run_of(root)
        if run is None:
            continue
        check_whole(Path(run.path))
        said = json.loads((Path(run.path) / "run.json").read_text()) if (Path(run.path) / "run.json").exists() else {}
        outcomes.add(said.get("status"))
        if not told and produce is not command:
            assert said["status"] == "success"
        if said.get("status") == "running":
            snapshot = take_snapshot(run, SettleRules(forbid=()), run.survey())
            assert what_blocks(snapshot) == ()
    assert "running" in outcomes
