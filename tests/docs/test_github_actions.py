"""The workflow for GitHub Actions: it is what the page shows, and its steps do what they are there for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import DOCS, ROOT, fences, reader_environment, shell

PAGE = DOCS / "how-to" / "github-actions.md"
WORKFLOW = ROOT / "deploy" / "github-workflow.yml"
_GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "schedule",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "ada/engine",
    "GITHUB_RUN_ID": "1234567",
    "GITHUB_ACTOR": "ada",
    "DATABASE_URL": "postgres://db",
}


def fence(mark: str, language: str) -> str:
    (found,) = [each.text for each in fences(PAGE) if (each.mark, each.language) == (mark, language)]
    return found


def workflow() -> dict[Any, Any]:
    made: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return made


def step(name: str) -> dict[str, Any]:
    (found,) = [each for each in workflow()["jobs"]["backfill"]["steps"] if each.get("name") == name]
    return dict(found)


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "backfill.py").write_text("print('filled')\n")
    settings = fence("", "toml").replace("s3://ml-artifacts/prod", "registry")
    (folder / "ci.toml").write_text(settings)
    return folder


def environment(checkout: Path) -> dict[str, str]:
    return reader_environment(checkout.parent / "home") | _GITHUB


def test_the_page_shows_the_file_that_is_copied() -> None:
    assert fence("workflow", "yaml") == WORKFLOW.read_text()


def test_the_workflow_is_yaml_of_the_form_that_github_reads() -> None:
    made = workflow()
    assert set(made) == {"name", True, "permissions", "jobs"}, "YAML 1.1 reads `on` as true, and GitHub does not mind"
    assert set(made[True]) == {"schedule", "workflow_dispatch"}
    steps = made["jobs"]["backfill"]["steps"]
    assert all(("run" in each) != ("uses" in each) for each in steps)
    assert all(set(each) <= {"name", "uses", "with", "run", "env", "if"} for each in steps)
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", each["uses"]) for each in steps if "uses" in each)
    for expression in re.findall(r"\$\{\{(.*?)\}\}", WORKFLOW.read_text()):
        assert re.fullmatch(r" (github|secrets)\.\w+ ", expression)


def test_what_is_uploaded_is_where_runs_are_recorded_with_what_declares_them_complete(checkout: Path) -> None:
    upload = step("Upload what was recorded")
    assert upload["if"] == "always()"
    shell(step("Run and record")["run"], checkout, environment(checkout))
    (run,) = (checkout / upload["with"]["path"]).iterdir()
    said = record(run)
    assert (said["status"], said["pipeline_id"], said["pipeline_version"]) == ("success", "backfill", "0.1.0")
    assert said["trigger"] == {
        "type": "github_schedule",
        "source": "https://github.com/ada/engine/actions/runs/1234567",
        "actor": "ada",
    }
    assert "filled" in (run / "run.log").read_text()
    assert (run / ".sealrun/done.json").is_file()
    assert upload["with"]["include-hidden-files"] is True
    assert "github.run_attempt" in upload["with"]["name"]


def test_a_run_that_fails_fails_the_step_and_is_published_by_the_next(checkout: Path) -> None:
    (checkout / "backfill.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(AssertionError, match="exit code 3"):
        shell(step("Run and record")["run"], checkout, environment(checkout))
    assert step("Publish what was recorded")["if"] == "always()"
    shell(step("Publish what was recorded")["run"], checkout, environment(checkout))
    row = json.loads(shell("sealrun --config ci.toml ls backfill --json", checkout, environment(checkout)))
    assert row["status"] == "failed"


def test_without_the_secret_nothing_is_run_and_the_failure_is_recorded(checkout: Path) -> None:
    with pytest.raises(AssertionError, match="DATABASE_URL"):
        shell(step("Run and record")["run"], checkout, environment(checkout) | {"DATABASE_URL": ""})
    (run,) = (checkout / "reports/runs").iterdir()
    assert record(run)["status"] == "failed"
    assert "filled" not in (run / "run.log").read_text()


def test_downloaded_runs_are_imported_under_their_ids_and_once(checkout: Path) -> None:
    environ = environment(checkout)
    shell(step("Run and record")["run"], checkout, environ)
    (run,) = (checkout / "reports/runs").iterdir()
    download = "mkdir downloads; cp -r reports/runs downloads/runs-1234567-1; mv ci.toml sealrun.toml\n"
    said = shell(f"{download}{fence('run: import', 'sh')}{fence('run: import', 'sh')}", checkout, environ)
    assert said.count("1 of 1 folders imported") == 2
    assert "there already" in said
    assert len(shell("sealrun ls backfill --json", checkout, environ).splitlines()) == 1
    assert run.name in said
