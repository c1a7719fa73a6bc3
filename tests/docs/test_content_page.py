"""The page on content, where processes of an executor build: run as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, fences, reader_environment, shell


def test_processes_of_an_executor_build_once_and_are_done_at_once_when_asked_again(tmp_path: Path) -> None:
    environ = reader_environment(tmp_path / "home")
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"  # Parsl starts programs of its own
    shell("sealrun init . > /dev/null", tmp_path, environ)
    (script,) = (fence.text for fence in fences(DOCS / "how-to/content.md") if fence.mark == "run: htex")
    program = tmp_path / "try_htex.py"  # not the name of a library
    program.write_text(script)
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr  # the script itself says that there were two builds
    assert len(list((tmp_path / "registry/experiments/content/runs").iterdir())) == 2
