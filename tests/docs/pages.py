"""The project's pages as tests see them: what is in their fences, and a shell to try it in."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"(?ms)^(?:<!-- (?P<mark>[^\n]+) -->\n)?(?P<indent> *)```(?P<language>\S*)\n(?P<body>.*?)^ *```$")
_PATIENCE_S = 120.0


class Fence(NamedTuple):
    """A fenced block: its language, the comment on the line before it, and its text without the page's indent."""

    language: str
    mark: str
    text: str


def all_pages() -> list[Path]:
    """README, the changelog, and everything below docs/ and deploy/."""
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted(DOCS.rglob("*.md")),
        *sorted((ROOT / "deploy").glob("*.md")),
    ]


def fences(page: Path) -> Iterator[Fence]:
    """The fenced blocks of a page, in order."""
    for match in _FENCE.finditer(page.read_text()):
        indent = len(match["indent"])
        text = "".join(line[indent:] if line.strip() else "\n" for line in match["body"].splitlines(keepends=True))
        yield Fence(match["language"], match["mark"] or "", text)


def shell(script: str, cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    """Run a script by bash, stopping at the first failure; return what it prints."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # Files, not pipes: what runs in the background would keep a pipe open.
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whatever it left in the background, too
            process.wait()
        said, complained = _whole(out), _whole(err)
    if code != 0:
        raise AssertionError(f"exit code {code} (None: too late)\n{script}\n{said}\n{complained}")
    return said


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def reader_environment(home: Path) -> dict[str, str]:
    """Surroundings of somebody who installed sealrun: it is on the path, and nothing is configured."""
    tools = home / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name, arguments in (("sealrun", "-m sealrun "), ("python", "")):
        program = tools / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin",
        # Now and then Arrow's threads abort a process at its end that read from a Python file (apache/arrow#34314).
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }
