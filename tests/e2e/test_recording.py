"""Recorded runs as real processes, and what a real scan makes of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.builders.terminals import Terminal
from tests.e2e.deployment import Deployment, wait_for

SEALRUN = [sys.executable, "-m", "sealrun"]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    runs = tmp_path / "reports/runs"
    runs.mkdir(parents=True)
    return Deployment(
        tmp_path,
        registries={"main": {"url": str(tmp_path / "registry")}},
        watch={"name": "training", "path": str(runs), "experiment": "train", "settle": "0s"},
    )


def start(tmp_path: Path, *command: str, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
    return subprocess.Popen(
        # Whoever runs the tests in the background, or under nohup, ignores signals: that would be inherited.
        ["env", "--default-signal", *SEALRUN, "exec", "--pipeline-id", "P", "--pipeline-version", "2", *command],
        cwd=tmp_path,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def only_run(tmp_path: Path) -> Path:
    (run,) = (tmp_path / "reports/runs").iterdir()
    return run


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def envelope(deployment: Deployment) -> dict[str, Any]:
    (published,) = deployment.json("scan", "--once")["published"]
    found: dict[str, Any] = deployment.json("show", published["ref"])
    return found


def test_a_command_is_recorded_and_published_with_everything_it_said(tmp_path: Path, deployment: Deployment) -> None:
    script = 'echo out; echo err >&2; echo 1 > "$SEALRUN_RUN_DIR/result.csv"; echo "$SEALRUN_RUN_ID"'
    process = start(tmp_path, "--tag", "nightly", "--", "sh", "-c", script, "--token", "s3cretvalue")
    out, err = process.communicate()
    assert process.returncode == 0
    run = only_run(tmp_path)
    assert out.decode().splitlines() == ["out", run.name]
    assert err.decode().splitlines()[0] == "err"
    log = (run / "run.log").read_text()
    assert "stdout| out\n" in log
    assert "stderr| err\n" in log
    assert not [path for path in run.rglob("*") if path.is_file() and b"s3cretvalue" in path.read_bytes()]
    said = envelope(deployment)["run"]
    assert (said["run_id"], said["status"], said["tags"]) == (run.name, "success", ["nightly"])
    assert said["completion"] == {"confidence": "declared", "evidence": ".sealrun/done.json", "method": "marker"}
    producer = said["producer"]
    assert (producer["pipeline_id"], producer["pipeline_version"]) == ("P", "2")
    assert producer["trigger"]["type"]
    assert producer["checks"] == [
        {"name": "exit_code", "status": "pass", "evidence": "run.json:command.exit_code"},
    ]
    assert deployment.run("cat", f"train/{run.name}:result.csv").stdout == "1\n"
    assert record(run)["resources"]["max_rss_bytes"] > 0


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (["sh", "-c", "exit 7"], 7, "exit code 7"),
        (["sh", "-c", "kill -9 $$"], 137, "SIGKILL"),
        (["no-such-command-anywhere"], 127, "exit code 127"),
        (["/"], 126, "exit code 126"),
    ],
)
def test_the_exit_code_is_the_commands_own_and_a_failure_is_recorded(
    tmp_path: Path, command: list[str], code: int, reason: str
) -> None:
    process = start(tmp_path, "--", *command)
    process.communicate()
    assert process.returncode == code
    said = record(only_run(tmp_path))
    assert (said["status"], said["reason"], said["command"]["exit_code"]) == ("failed", reason, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_reach_the_command_which_decides_what_they_mean(tmp_path: Path, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    process = start(tmp_path, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = process.communicate()
    assert (out, process.returncode) == (b"got it\n", 5)
    run = only_run(tmp_path)
    assert f"{number.name} from process {os.getpid()}, sent on" in (run / "run.log").read_text()


def test_a_signal_that_we_ignore_does_not_reach_the_command_either(tmp_path: Path) -> None:
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *SEALRUN, "exec", "--pipeline-id", "P", "--"]
    script = "echo ready; for i in 1 2 3 4 5; do sleep 0.1; done; echo whole"
    process = subprocess.Popen(
        [*command, "sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate()[0] == b"whole\n"
    assert process.returncode == 0


def test_a_command_that_a_signal_ends_leaves_the_code_that_a_shell_would_show(tmp_path: Path) -> None:
    process = start(tmp_path, "--", "sh", "-c", "echo ready; exec sleep 100")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    process.communicate()
    assert process.returncode == 143
    assert record(only_run(tmp_path))["reason"] == "SIGTERM"


def test_on_a_terminal_the_command_has_one_and_its_progress_arrives_untouched(tmp_path: Path) -> None:
    terminal = Terminal()
    script = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty()); print('10%\\r20%\\r', end='')"
    process = start(tmp_path, "--", sys.executable, "-c", script, stdout=terminal.slave, stderr=terminal.slave)
    terminal.started()
    assert process.wait() == 0
    assert terminal.finish().startswith(b"True True\r\n10%\r20%\r")
    log = (only_run(tmp_path) / "run.log").read_bytes()
    assert b"stdout| True True\n" in log
    assert b"stdout| 10%\r20%\r" in log


def test_a_reader_that_leaves_ends_the_command_as_it_would_without_us(tmp_path: Path) -> None:
    process = start(tmp_path, "--", "yes", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait() == 128 + signal.SIGPIPE


def test_a_process_left_in_the_background_keeps_nobody_waiting(tmp_path: Path) -> None:
    process = start(tmp_path, "--", "sh", "-c", "sleep 1000 & echo $!", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout:
        left = int(process.stdout.readline())
        assert process.wait() == 0
    os.kill(left, signal.SIGKILL)


def test_without_a_required_variable_nothing_is_run(tmp_path: Path, deployment: Deployment) -> None:
    process = start(tmp_path, "--required-env", "HOME,NOT_SET_ANYWHERE", "--", "touch", str(tmp_path / "ran"))
    _, err = process.communicate()
    assert process.returncode == 78
    assert b"NOT_SET_ANYWHERE" in err
    assert not (tmp_path / "ran").exists()
    said = envelope(deployment)["run"]
    assert said["status"] == "failed"
    assert said["producer"]["checks"][0]["status"] == "fail"


CONTEXT = """
import sys, time
from sealrun import RunContext, Paths
from pathlib import Path
class Here(Paths):
    def runs(self, experiment): return Path("reports/runs")
with RunContext("train", "fit", paths=Here(Path("e"), Path("scratch"))) as run:
    run.write_json("early.json", {})
    print("ready", flush=True)
    time.sleep(1000)
"""


def context(tmp_path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", CONTEXT], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    return process


def test_a_run_that_lives_is_not_taken_and_one_that_was_killed_is_interrupted(
    tmp_path: Path, deployment: Deployment
) -> None:
    process = context(tmp_path)
    report = deployment.json("scan", "--once")
    assert report["published"] == []
    waiting = next(iter(report["waiting"].values()))
    assert f"process {process.pid} on {os.uname().nodename}, which records it, lives" in waiting
    shown = deployment.run("detect", str(only_run(tmp_path)), "--explain").stdout
    assert f"process {process.pid} on {os.uname().nodename}: lives" in shown
    process.kill()
    process.wait()
    assert ": is gone" in deployment.run("detect", str(only_run(tmp_path)), "--explain").stdout
    said = envelope(deployment)["run"]
    assert said["status"] == "interrupted"
    assert said["completion"]["method"] == "quiet"
    assert "its producer is gone" in said["completion"]["evidence"]


def test_a_run_on_another_machine_is_interrupted_when_it_gives_no_sign_of_life_any_more(tmp_path: Path) -> None:
    runs = tmp_path / "reports/runs"
    runs.mkdir(parents=True)
    watch = {"name": "training", "path": str(runs), "experiment": "train", "settle": "0s", "gone_after": "3s"}
    deployment = Deployment(tmp_path, registries={"main": {"url": str(tmp_path / "registry")}}, watch=watch)
    process = context(tmp_path)
    recording = only_run(tmp_path) / ".sealrun/recording.json"
    said = json.loads(recording.read_text()) | {"boot": "another", "heartbeat_s": 1.0}
    recording.write_text(json.dumps(said))
    process.kill()
    process.wait()
    waiting = next(iter(deployment.json("scan", "--once")["waiting"].values()))
    assert "no sign of life of its producer for 3 s" in waiting
    wait_for("the run", lambda: deployment.json("scan", "--once")["published"])
    assert deployment.json("show", "train@latest")["run"]["status"] == "interrupted"


def test_sigterm_ends_a_run_as_failed_and_the_program_with_it(tmp_path: Path, deployment: Deployment) -> None:
    process = context(tmp_path)
    process.terminate()
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        process.terminate()  # Python loses one that comes just before a call that waits, until something wakes it
        code = process.wait(10)
    assert code == 143
    said = envelope(deployment)["run"]
    assert (said["status"], said["completion"]["method"]) == ("failed", "marker")
    assert record(only_run(tmp_path))["reason"] == "SIGTERM"


def test_a_daemon_takes_a_declared_run_without_waiting_for_quiet(tmp_path: Path) -> None:
    runs = tmp_path / "reports/runs"
    runs.mkdir(parents=True)
    deployment = Deployment(
        tmp_path,
        registries={"main": {"url": str(tmp_path / "registry")}},
        watch={"name": "training", "path": str(runs), "experiment": "train", "settle": "12h"},
    )
    deployment.start()
    start(tmp_path, "--", "true").communicate()
    wait_for("the run", lambda: len(deployment.runs("main")) == 1)
    deployment.stop()


def test_mark_declares_a_folder_that_something_else_wrote(tmp_path: Path, deployment: Deployment) -> None:
    run = tmp_path / "reports/runs/by-hand"
    run.mkdir()
    (run / "a.txt").write_text("a")
    deployment.run("mark", str(run), "--status", "partial", "--tag", "x", "-m", "half of it", "--seal")
    assert subprocess.run(["sha256sum", "--quiet", "-c", "MANIFEST.sha256"], cwd=run, check=True).returncode == 0
    said = envelope(deployment)["run"]
    assert (said["status"], said["tags"], said["completion"]["confidence"]) == ("partial", ["x"], "declared")
    deployment.run("mark", str(tmp_path / "nowhere"), check=2)
    (tmp_path / "empty").mkdir()
    deployment.run("mark", str(tmp_path / "empty"), check=2)


def test_with_its_output_closed_nothing_of_it_lands_in_a_file_of_the_run_but_once(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *SEALRUN, "exec", "--pipeline-id", "P", "--"]
    script = "printf 'VO%s' ID; printf 'TROUB%s' LE >&2"
    assert subprocess.run([*command, "sh", "-c", script], cwd=tmp_path, check=False).returncode == 0
    log = (only_run(tmp_path) / "run.log").read_text()
    assert (log.count("VOID"), log.count("TROUBLE")) == (1, 1)


def test_what_is_typed_reaches_the_command_and_any_bytes_come_back(tmp_path: Path) -> None:
    body = bytes(range(256)) * 20_000
    process = start(tmp_path, "--", "cat", stdin=subprocess.PIPE)
    out, _ = process.communicate(body)
    assert (out == body, process.returncode) == (True, 0)


def test_killed_itself_it_leaves_a_run_that_is_interrupted(tmp_path: Path, deployment: Deployment) -> None:
    process = start(tmp_path, "--heartbeat", "0", "--", "sh", "-c", "echo ready; read never", stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert not (only_run(tmp_path) / ".sealrun/heartbeat").exists()
    process.kill()
    process.communicate()
    assert envelope(deployment)["run"]["status"] == "interrupted"


def test_a_watch_that_seals_in_place_publishes_a_run_that_verifies_where_it_lies(tmp_path: Path) -> None:
    runs = tmp_path / "reports/runs"
    runs.mkdir(parents=True)
    watch = {"name": "training", "path": str(runs), "experiment": "train", "settle": "0s", "seal": "in-place"}
    deployment = Deployment(tmp_path, registries={"main": {"url": str(tmp_path / "registry")}}, watch=watch)
    start(tmp_path, "--", "sh", "-c", 'echo 1 > "$SEALRUN_RUN_DIR/result.csv"').communicate()
    said = envelope(deployment)["run"]
    run = only_run(tmp_path)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "MANIFEST.sha256"], cwd=run, check=True)
    assert deployment.run("cat", f"train/{run.name}:MANIFEST.sha256").stdout == (run / "MANIFEST.sha256").read_text()
    assert said["completion"]["method"] == "marker"
    assert deployment.json("scan", "--once")["published"] == []
    (run / "result.csv").write_text("2\n")
    (again,) = deployment.json("scan", "--once")["published"]
    assert again["ref"] == f"train/{run.name}.r2"
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "MANIFEST.sha256"], cwd=run, check=True)
