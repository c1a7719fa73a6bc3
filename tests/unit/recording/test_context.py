from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from sealrun.domain.errors import UsageError
from sealrun.recording import Paths, RunContext
from sealrun.recording.capturing import capture_git


def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "experiments", tmp_path / "scratch", "dev")


def test_a_run_lies_where_the_environment_says_and_is_listed(tmp_path: Path) -> None:
    around = Paths.from_env(
        {"SEALRUN_HOME": str(tmp_path), "SEALRUN_EXPERIMENT": "paper", "SEALRUN_SCRATCH": str(tmp_path / "fast")}
    )
    assert around == Paths(tmp_path / "experiments", tmp_path / "fast", "paper")
    with RunContext(algo="hmc", tag="chain0", paths=around, phase="sampling") as run:
        assert run.run_dir.parent == tmp_path / "experiments/paper/runs"
        assert run.scratch.parent == tmp_path / "fast"
    said = json.loads((run.run_dir / "run.json").read_text())
    assert {name: said[name] for name in ("experiment", "algo", "tag", "phase", "pipeline_id")} == {
        "experiment": "paper",
        "algo": "hmc",
        "tag": "chain0",
        "phase": "sampling",
        "pipeline_id": "hmc",
    }
    (line,) = (tmp_path / "experiments/paper/manifest.jsonl").read_text().splitlines()
    assert json.loads(line) == {"run_id": run.run_id, "algo": "hmc", "created": said["started_at"]}


def test_the_default_places_are_below_the_current_folder() -> None:
    assert Paths.from_env({}) == Paths(Path("artifacts/experiments"), Path("artifacts/scratch"), "default")
    own = Paths.from_env({"SEALRUN_EXPERIMENTS": "/e", "SEALRUN_HOME": "/h"})
    assert own == Paths(Path("/e"), Path("/h/scratch"), "default")
    with pytest.raises(UsageError, match="experiment"):
        Paths.from_env({"SEALRUN_EXPERIMENT": "a/b"})


def test_folders_are_there_when_they_are_asked_for_and_not_before(tmp_path: Path) -> None:
    with RunContext(algo="a", paths=paths(tmp_path)) as run:
        assert not [path for path in run.run_dir.iterdir() if path.is_dir() and path.name != ".sealrun"]
        assert all(folder.is_dir() for folder in (run.artifacts, run.inputs, run.logs, run.tb))
        assert run.run_dir not in run.scratch.parents
    aggregated = tmp_path / "experiments/dev/tb" / run.run_id
    assert aggregated.resolve() == (run.run_dir / "tb").resolve()


def test_the_scratch_folder_goes_when_the_run_succeeded_and_stays_when_it_failed(tmp_path: Path) -> None:
    with RunContext(algo="a", paths=paths(tmp_path)) as run:
        scratch = run.scratch
    assert not scratch.exists()
    with RunContext(algo="a", paths=paths(tmp_path), keep_scratch=True) as run:
        kept = run.scratch
    assert kept.exists()
    failing = RunContext(algo="a", paths=paths(tmp_path))
    with pytest.raises(ZeroDivisionError), failing:
        (failing.scratch / "core").write_text(str(1 // 0 if failing.scratch.exists() else 0))
    assert failing.scratch.exists()
    assert failing.status == "failed"


def test_an_input_file_is_recorded_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("lr: 1\n")
    with RunContext(algo="a", paths=paths(tmp_path), params={"lr": 1}, tags=["x"]) as run:
        assert run.add_input_file(tmp_path / "config.yaml", role="config").read_text() == "lr: 1\n"
        with pytest.raises(UsageError, match="not a file"):
            run.add_input_file(tmp_path / "none")
    said = json.loads((run.run_dir / "run.json").read_text())
    digest = hashlib.sha256(b"lr: 1\n").hexdigest()
    ref = str(tmp_path / "config.yaml")
    assert said["inputs"] == [{"type": "file", "role": "config", "ref": ref, "bytes": 6, "sha256": digest}]
    assert (said["params"], said["tags"]) == ({"lr": 1}, ["x"])


def test_the_checkout_is_described_without_the_secret_in_its_remote(tmp_path: Path) -> None:
    assert capture_git(tmp_path, {"GITHUB_SHA": "abc"}) == {"commit": "abc"}
    assert capture_git(tmp_path, {}) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q", "-b", "main"], ["add", "a"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True, env=environ)
    subprocess.run([*git, "remote", "add", "origin", "https://ana:s3cret@host/r.git"], check=True)
    said = capture_git(tmp_path, {})
    assert said is not None
    assert len(said.pop("commit")) == 40
    assert said == {"branch": "main", "dirty": False, "remote": "https://***@host/r.git"}
    (tmp_path / "a").write_text("2")
    again = capture_git(tmp_path, {})
    assert again is not None
    assert again["dirty"] is True
