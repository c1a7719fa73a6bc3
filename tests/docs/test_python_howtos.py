"""The Python of the pages on publishing files and on content, run as it is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_the_notebook_of_the_page_runs_in_jupyter_and_holds_no_functions(here: Path) -> None:
    cells = [f.text for f in fences(DOCS / "how-to/publish-files.md") if f.mark == "run: notebook"]
    assert len(cells) == 4
    assert not any("def " in cell or "lambda" in cell for cell in cells)
    (here / "reports/2.3").mkdir(parents=True)
    (here / "reports/2.3/numeric_profile.csv").write_text("feature,missing_pct\nage,0.5\n")
    printed = [output for cell in executed(cells, here) for output in cell["outputs"]]
    assert not [output for output in printed if output["output_type"] == "error"]
    published, found, table = ("".join(text_of(output)) for output in printed)
    assert "name='numeric_profile.csv', section='2.3', tags=('numeric', 'profile')" in published
    assert found == ("numeric_profile.csv ['feature,missing_pct', 'age,0.5']\ndrift_report.csv is missing\n")
    assert "[numeric, profile]" in table


def executed(cells: list[str], folder: Path) -> list[dict[str, Any]]:
    """Run a notebook as Jupyter does, in a kernel of its own; return its code cells with what they printed."""
    blank: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    made = [{**blank, "id": f"cell-{number}", "source": text.rstrip()} for number, text in enumerate(cells)]
    notebook = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "given.ipynb").write_text(json.dumps(notebook))
    environ = reader_environment(folder.parent / "home")
    jupyter = "from nbclient.cli import main; main()"
    options = ["--timeout=120", "--kernel_name=python3", "--output=done"]
    done = subprocess.run(
        [sys.executable, "-c", jupyter, "given.ipynb", *options],
        cwd=folder,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "done.ipynb").read_text())["cells"]
    return found


def text_of(output: dict[str, Any]) -> list[str]:
    text: list[str] = output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
    return text


def test_the_watch_of_the_page_publishes_each_dropped_file_under_its_own_name(here: Path) -> None:
    (settings,) = [f.text for f in fences(DOCS / "how-to/publish-files.md") if f.language == "toml"]
    (here / "sealrun.toml").write_text(settings)
    (here / "published").mkdir()
    (here / "published/a.csv").write_text("1")
    environ = reader_environment(here.parent / "home")
    wait = (
        "until sealrun resolve {0} > /dev/null 2>&1; do sealrun scan --once > /dev/null 2>&1 || true; sleep 0.3; done\n"
    )
    said = shell(wait.format("a.csv") + "cat registry/latest/a.csv; sealrun latest-manifest --json", here, environ)
    assert said.startswith("1{")
    assert json.loads(said[1:])["name"] == "a.csv"


def test_an_old_folder_of_newest_files_is_published_with_the_newest_last(here: Path) -> None:
    page = DOCS / "how-to/coming-from-a-latest-folder.md"
    (script,) = [fence.text for fence in fences(page) if fence.mark == "run: moving"]
    (here / "_latest/sub").mkdir(parents=True)
    for age, (name, body) in enumerate([("a b.csv", "new"), ("sub/a b.csv", "old"), ("it's.csv", "other")]):
        (here / "_latest" / name).write_text(body)
        os.utime(here / "_latest" / name, (1_700_000_000 - age,) * 2)
    (here / "_latest/a b.csv.meta.json").write_text("{}")
    environ = reader_environment(here.parent / "home")
    shell(script, here, environ)
    assert Path(shell("sealrun resolve 'a b.csv'", here, environ).rstrip("\n")).read_text() == "new"
    rows = [json.loads(line) for line in shell("sealrun latest-manifest --json", here, environ).splitlines()]
    assert [(row["name"], row["tags"]) for row in rows] == [("a b.csv", ["imported"]), ("it's.csv", ["imported"])]


def test_the_page_on_content_puts_gets_and_builds_once(here: Path) -> None:
    said = said_by("content.md", "content", here)
    assert said.startswith("urn:sealrun:dataset:sha256:")
    assert said.count("building") == 1


@pytest.mark.parametrize("framework", ["dask", "parsl"])
def test_tasks_whose_outputs_exist_are_done_without_building(here: Path, framework: str) -> None:
    said_by("content.md", framework, here)
    said_by("content.md", framework, here)  # the script itself says that there are two builds, also by now
    assert (here / "calls").read_text() == "xx"
