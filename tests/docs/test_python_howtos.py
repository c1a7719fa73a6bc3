"""The Python of the pages on publishing files and on content, run as it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, fences, reader_environment, shell


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    shell("sealrun init . > /dev/null", folder, reader_environment(tmp_path / "home"))
    return folder


def said_by(page: str, mark: str, here: Path) -> str:
    script = here / f"try_{mark}.py"  # not the name of a library
    script.write_text("".join(fence.text for fence in fences(DOCS / "how-to" / page) if fence.mark == f"run: {mark}"))
    environ = reader_environment(here.parent / "home")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=here, env=environ, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_on_publishing_files_publishes_finds_and_lists(here: Path) -> None:
    said = said_by("publish-files.md", "publish", here)
    assert "feature,missing_pct\nage,0.5" in said
    assert "no drift report yet" in said
    assert "numeric_profile.csv 2.3 20" in said
    script = "".join(f.text for f in fences(DOCS / "how-to/publish-files.md") if f.mark == "run: publish-cli")
    listed = shell(script, here, reader_environment(here.parent / "home")).splitlines()
    assert listed[0] == listed[1]
    assert Path(listed[0]).name == "numeric_profile.csv"
    assert listed[-1].split()[:2] == ["numeric_profile.csv", "2.3"]


def test_the_page_on_content_puts_gets_and_builds_once(here: Path) -> None:
    said = said_by("content.md", "content", here)
    assert said.startswith("urn:sealrun:dataset:sha256:")
    assert said.count("building") == 1


@pytest.mark.parametrize("framework", ["dask", "parsl"])
def test_tasks_whose_outputs_exist_are_done_without_building(here: Path, framework: str) -> None:
    said_by("content.md", framework, here)
    said_by("content.md", framework, here)  # the script itself says that there are two builds, also by now
    assert (here / "calls").read_text() == "xx"
