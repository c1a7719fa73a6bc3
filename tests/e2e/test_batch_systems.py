"""Scripts for batch systems pass shellcheck, and do what they say where the scheduler's commands are stand-ins."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import reader_environment

HPC = Path(__file__).parents[2] / "deploy/hpc"
SCRIPTS = [*sorted(HPC.glob("*.sh")), HPC.parent / "container/make-secrets"]
_PATIENCE_S = 60.0


class Cluster:
    """A home with sealrun in it, and stand-ins for a scheduler's commands."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.environment = reader_environment(self.home)
        self.root = self.home / "experiments/train/runs"
        self.root.mkdir(parents=True)
        (self.home / "sealrun.toml").write_text(
            f'version = 1\nregistry.main.url = "registry"\n[[watch]]\nname = "train"\npath = "{self.root}"\n'
        )

    def program(self, name: str, text: str) -> None:
        path = self.home / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(part) for part in command], cwd=self.home, env=self.environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def __call__(self, *command: str | Path, code: int = 0, **environment: str) -> str:
        process = self.start(*command, **environment)
        said, _ = process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == code, said
        return said

    def runs(self) -> list[Mapping[str, Any]]:
        self("/bin/sh", "-c", "sealrun scan --once")
        asked = "sealrun ls train --json --error-on-nothing 2> /dev/null || [ $? = 4 ]"
        return [json.loads(line) for line in self("/bin/sh", "-c", asked).splitlines()]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_passes_shellcheck_and_may_be_executed(script: Path) -> None:
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None, "shellcheck is not installed: pip install '.[test]'"
    done = subprocess.run([program, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert os.access(script, os.X_OK)


def test_a_job_records_its_run_and_ends_as_its_command_did(cluster: Cluster) -> None:
    cluster(
        HPC / "slurm-job.sh", "sh", "-c", 'echo 1 > "$SEALRUN_RUN_DIR/metric"', SLURM_JOB_ID="7", SLURM_JOB_NAME="t"
    )
    cluster(HPC / "slurm-job.sh", "sh", "-c", "exit 3", code=3, SLURM_JOB_ID="8", SLURM_JOB_NAME="t")
    assert sorted(run["status"] for run in cluster.runs()) == ["failed", "success"]


def test_a_job_that_is_told_to_end_still_writes_how_it_ended(cluster: Cluster) -> None:
    process = cluster.start(HPC / "slurm-job.sh", "sh", "-c", "echo begun; exec sleep 600", SLURM_JOB_ID="9")
    deadline = time.monotonic() + _PATIENCE_S
    while not any("begun" in log.read_text() for log in cluster.root.glob("*/run.log")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM, said
    (run,) = cluster.runs()
    assert run["status"] in {"failed", "interrupted"}


@pytest.mark.parametrize(
    ("script", "named"), [("pbs-job.sh", {"PBS_JOBNAME": "t"}), ("lsf-job.sh", {"LSB_JOBNAME": "t"})]
)
def test_jobs_of_other_systems_record_their_runs_too(script: str, named: dict[str, str], cluster: Cluster) -> None:
    cluster.environment |= named
    cluster(HPC / script, COMMAND="sh -c 'echo 1 > \"$SEALRUN_RUN_DIR/metric\"'")
    (run,) = cluster.runs()
    assert run["status"] == "success"


@pytest.mark.parametrize(
    ("state", "status"),
    [("COMPLETED", "success"), ("FAILED", "failed"), ("CANCELLED by 1000", "interrupted"), ("TIMEOUT", "interrupted")],
)
def test_the_job_after_marks_what_accounting_says_and_publishes(state: str, status: str, cluster: Cluster) -> None:
    cluster.program("sacct", f"echo '{state}'")
    output = cluster.home / "output"
    output.mkdir()
    (output / "model").write_text("1")
    cluster(HPC / "slurm-after.sh", "42", output, "train")
    (run,) = [json.loads(line) for line in cluster("/bin/sh", "-c", "sealrun ls train --json").splitlines()]
    assert run["status"] == status


def test_the_job_after_keeps_what_the_program_said_itself_and_needs_no_accounting(cluster: Cluster) -> None:
    cluster.program("sacct", "exit 1")
    output = cluster.home / "output"
    (output / ".sealrun").mkdir(parents=True)
    (output / ".sealrun/done.json").write_text('{"status": "partial"}')
    (output / "model").write_text("1")
    cluster(HPC / "slurm-after.sh", "42", output, "train")
    (run,) = [json.loads(line) for line in cluster("/bin/sh", "-c", "sealrun ls train --json").splitlines()]
    assert run["status"] == "partial"


def test_the_job_after_tries_again_where_a_store_is_away_and_says_so_in_the_end(cluster: Cluster) -> None:
    cluster.program("sacct", "echo COMPLETED")
    cluster.program("sealrun", 'echo "$1" >> calls; [ "$1" = mark ] || exit 5')
    cluster.program("sleep", "exit 0")
    (cluster.home / "output").mkdir()
    cluster(HPC / "slurm-after.sh", "42", "output", "train", code=5)
    assert (cluster.home / "calls").read_text().split() == ["mark", *["publish"] * 5]


def test_the_epilog_publishes_as_the_job_s_user_and_never_drains_a_node(cluster: Cluster, tmp_path: Path) -> None:
    script = (HPC / "slurm-epilog.sh").read_text()
    # Stand-ins for what needs root: the user's home, and becoming that user.
    stand_ins = f'getent() {{ echo "u:x:1:1::{cluster.home}:/bin/sh"; }}\nrunuser() {{ shift 3; "$@"; }}\n'
    text = re.sub(r"(?m)^(export PATH=.*)$", lambda match: f"{match[0]}\n{stand_ins}", script)
    (tmp_path / "epilog").write_text(text)
    settings = cluster.home / ".config/sealrun"
    settings.mkdir(parents=True)
    shutil.move(cluster.home / "sealrun.toml", settings / "sealrun.toml")
    (cluster.root / "run-1").mkdir()
    (cluster.root / "run-1/_SUCCESS").touch()
    program = str(cluster.home / "bin/sealrun")
    source = Path(program).read_text().replace("exec ", f"export PYTHONPATH={cluster.environment['PYTHONPATH']}\nexec ")
    Path(program).write_text(source)
    cluster("/bin/bash", tmp_path / "epilog", SLURM_JOB_USER="ada", SEALRUN_PROGRAM=program)
    assert list((settings / "registry").rglob("registry.json"))
    cluster("/bin/bash", tmp_path / "epilog", SLURM_JOB_USER="ada", SEALRUN_PROGRAM="/bin/false")
    cluster("/bin/bash", tmp_path / "epilog", SLURM_JOB_USER="root", SEALRUN_PROGRAM=program)
    cluster("/bin/bash", tmp_path / "epilog", SEALRUN_PROGRAM=program)


def test_the_line_for_cron_is_one_that_a_shell_takes(cluster: Cluster) -> None:
    (line,) = [line for line in (HPC / "crontab").read_text().splitlines() if line.startswith("*")]
    command = line.split(maxsplit=5)[5].replace("$HOME/sealrun/bin/sealrun", "$HOME/bin/sealrun")
    (cluster.root / "run-1").mkdir()
    (cluster.root / "run-1/_SUCCESS").touch()
    cluster("/bin/sh", "-c", command)
    assert len(cluster.runs()) == 1
