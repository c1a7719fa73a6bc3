"""What a run records of where it ran: packages, hardware, chosen variables, jobs, uncommitted changes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sealrun.domain.errors import UsageError
from sealrun.recording import Paths, RunContext
from sealrun.recording.batch import capture_batch
from sealrun.recording.differing import capture_diff
from sealrun.recording.environment import capture_packages, capture_variables


def a_run(tmp_path: Path, environ: dict[str, str], **options: object) -> RunContext:
    paths = Paths(tmp_path / "experiments", tmp_path / "scratch")
    return RunContext("dev", "a", paths=paths, environ=environ, **options)  # type: ignore[arg-type] # a test's own


def test_the_environment_is_recorded_and_of_variables_only_those_on_the_list(tmp_path: Path) -> None:
    environ = {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "OMP_NUM_THREADS": "4",
        "MY_SEED": "7",
        "HOME": "/home/ana",
        "OMP_SECRET": "hidden-value",
        "DATABASE_URL": "postgres://ana:geheim@host/db",
        "MY_URL": "https://ana:geheim@host/",
    }
    with a_run(tmp_path, environ, record_env=["MY_*"]) as run:
        pass
    body = (run.run_dir / "environment.json").read_text()
    said = json.loads(body)
    assert said["variables"] == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "OMP_NUM_THREADS": "4",
        "MY_SEED": "7",
        "MY_URL": "https://***@host/",
    }
    assert said["python"]["version"] == platform.python_version()
    assert said["packages"]["msgspec"] == metadata.version("msgspec")
    assert said["hardware"]["processors"] == os.cpu_count()
    assert not [path for path in run.run_dir.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]


@pytest.mark.parametrize("name", ["API_TOKEN", "MY_PASSWORD", "*", "A=B", ""])
def test_a_variable_that_is_a_secret_by_its_name_or_any_variable_cannot_be_asked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="variable"):
        a_run(tmp_path, {}, record_env=[name])
    assert capture_variables({"LANG": "C"}) == {"LANG": "C"}


def test_every_installed_package_is_found_without_opening_any(tmp_path: Path) -> None:
    found = capture_packages(sys.path)
    for each in metadata.distributions():
        name = each.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        assert name in found
    (tmp_path / "Old_Style-1.2-py3.11.egg-info").mkdir()
    (tmp_path / "new.style-3.4.dist-info").mkdir()
    assert capture_packages([str(tmp_path), "/nowhere"]) == {"old-style": "1.2", "new-style": "3.4"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, None),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "3", "SLURM_PROCID": "0"},
            {"system": "slurm", "job": "9", "array_task": "3", "rank": "0"},
        ),
        ({"PBS_JOBID": "9.head", "PBS_QUEUE": "gpu"}, {"system": "pbs", "job": "9.head", "queue": "gpu"}),
        ({"JOB_ID": "9"}, None),
        ({"SGE_ROOT": "/sge", "JOB_ID": "9", "SGE_TASK_ID": "undefined"}, {"system": "sge", "job": "9"}),
        ({"LSB_JOBID": "9"}, {"system": "lsf", "job": "9"}),
        (
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "train-x7", "JOB_COMPLETION_INDEX": "2"},
            {"system": "kubernetes", "pod": "train-x7", "array_task": "2"},
        ),
    ],
)
def test_a_batch_job_says_which_it_is(environ: dict[str, str], said: dict[str, str] | None) -> None:
    assert capture_batch(environ) == said


def checkout(folder: Path, files: dict[str, str]) -> None:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for words in (["init", "-q", "-b", "main"], ["add", "-f", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True, env=environ)


def test_uncommitted_changes_are_recorded_so_that_they_can_be_applied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    checkout(code, {"train.py": "lr = 1\n", "deep/other.py": "x\n"})
    (code / "train.py").write_text("lr = 2\n")
    (code / "deep/other.py").unlink()
    monkeypatch.chdir(code / "deep")
    with a_run(tmp_path, {}) as run:
        pass
    git = json.loads((run.run_dir / "run.json").read_text())["git"]
    assert (git["dirty"], git["diff"], git["diff_truncated"]) == (True, "git.diff", False)
    subprocess.run(["git", "-C", str(code), "checkout", "-q", "."], check=True)
    subprocess.run(["git", "-C", str(code), "apply", str(run.run_dir / "git.diff")], check=True)
    assert (code / "train.py").read_text() == "lr = 2\n"
    assert not (code / "deep/other.py").exists()
    with a_run(tmp_path, {}, diff=False) as bare:
        pass
    assert not (bare.run_dir / "git.diff").exists()


def test_no_secret_is_in_the_diff(tmp_path: Path) -> None:
    checkout(
        tmp_path, {"a.py": "x\n", ".env": "A=1\n", "sub/prod.env": "A=1\n", "server.key": "k\n", "my_token.txt": "t\n"}
    )
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEveryprivate\n-----END RSA PRIVATE KEY-----\n"
    for name in (".env", "sub/prod.env", "server.key", "my_token.txt"):
        (tmp_path / name).write_text("secret-one\n")
    (tmp_path / "a.py").write_text(
        f"api_key = 'secret-two'\nurl = 'https://a:secret-three@h/'\nsecret-four\n{key}y = 1\n"
    )
    found = capture_diff(tmp_path, {"MY_TOKEN": "secret-four"})
    assert found is not None
    assert "y = 1" in found.text
    assert not [word for word in ("one", "two", "three", "four", "MIIE") if word in found.text.replace("+y", "")]


def test_a_large_diff_is_cut_at_a_line_and_says_so(tmp_path: Path) -> None:
    checkout(tmp_path, {"a.txt": "x\n"})
    (tmp_path / "a.txt").write_text("0123456789\n" * 100_000)
    found = capture_diff(tmp_path, {}, limit=10_000)
    assert found is not None
    assert found.truncated
    assert 9_000 < len(found.text) <= 10_000
    assert found.text.endswith("+0123456789\n")


def test_no_checkout_and_no_change_have_no_diff(tmp_path: Path) -> None:
    assert capture_diff(tmp_path, {}) is None
    checkout(tmp_path, {"a.txt": "x\n"})
    assert capture_diff(tmp_path, {}) is None
