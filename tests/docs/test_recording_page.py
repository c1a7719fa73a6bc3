"""The page on recording runs, run as it is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS, fences, reader_environment, shell

PAGE = DOCS / "how-to" / "record-runs.md"


def fence(mark: str) -> str:
    (found,) = [fence.text for fence in fences(PAGE) if fence.mark == f"run: {mark}"]
    return found


def python(mark: str, tmp_path: Path) -> str:
    environ = reader_environment(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", fence(mark)], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def test_the_block_of_python_records_a_run(tmp_path: Path) -> None:
    status, folder = python("context", tmp_path).split()
    assert status == "success"
    assert Path(folder).parent == tmp_path / "artifacts/experiments/dev/runs"
    said = record(Path(folder))
    assert said["metrics"] == {"loss": 0.1}
    assert said["outputs"][0]["rows"] == 3


def test_the_pipeline_is_partial_because_a_check_was_skipped(tmp_path: Path) -> None:
    assert python("writer", tmp_path) == "partial\n"
    (run,) = (tmp_path / "reports/runs").glob("*__P2-Backfill__*")
    assert record(run)["trigger"]["type"]


def test_the_command_is_recorded_with_the_file_that_it_left(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1\n")
    environ = reader_environment(tmp_path / "home") | {"USER_DATA": str(tmp_path / "data.csv")}
    assert shell(fence("exec"), tmp_path, environ) == "evaluating\n"
    (run,) = (tmp_path / "reports/runs").glob("*__C-Eval__*")
    assert (run / "scores.csv").read_text() == "1\n"
    assert record(run)["status"] == "success"


def test_the_folder_that_something_else_wrote_is_declared_and_verifies(tmp_path: Path) -> None:
    assert shell(fence("mark"), tmp_path, reader_environment(tmp_path / "home")) == "metrics.json: OK\n"
    said = json.loads((tmp_path / "results/run-7/.sealrun/done.json").read_text())
    assert (said["status"], said["reason"]) == ("partial", "stopped after an hour")


def test_the_writers_say_rows_and_bytes(tmp_path: Path) -> None:
    assert python("writers", tmp_path) == "2 True\n"
    assert (tmp_path / "out/note.txt").read_text() == "done\n"


def test_every_example_of_the_page_is_run() -> None:
    marks = [fence.mark for fence in fences(PAGE) if fence.language in {"python", "sh"}]
    assert marks == ["run: context", "run: writer", "run: exec", "run: mark", "run: writers"]
