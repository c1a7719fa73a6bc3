"""The first minutes: `sealrun init` in folders that hold something already, and `sealrun doctor` afterwards."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.builders.commands import Answer, go_to

from sealrun.cli.main import run
from sealrun.domain.space import Room


class Folder:
    """A folder in which commands are run, with nothing of sealrun in it yet."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capture = capture

    def __call__(self, *arguments: str) -> Answer:
        self._capture.readouterr()
        code = run(list(arguments))
        out, err = self._capture.readouterr()
        return Answer(code, out, err)

    def hydra(self, name: str = "outputs", runs: int = 2) -> None:
        for number in range(runs):
            run_folder = self.path / name / "2026-01-17" / f"14-30-{number:02}"
            (run_folder / ".hydra").mkdir(parents=True)
            (run_folder / ".hydra/config.yaml").write_text("rate: 0.1\n")

    def settings(self) -> dict[str, Any]:
        return tomllib.loads((self.path / "sealrun.toml").read_text())


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    folder = tmp_path / "study"
    folder.mkdir()
    go_to(folder, monkeypatch)
    return Folder(folder, capsys)


def test_init_says_what_it_found_and_by_what_and_that_nothing_is_wrong(project: Folder) -> None:
    project.hydra()
    answer = project("init", ".")
    assert answer.code == 0, answer.err
    assert "found      outputs/*/*: 2 folders, hydra by 2026-01-17/14-30-00/.hydra/config.yaml\n" in answer.out
    assert "checked    nothing is wrong" in answer.out
    (watch,) = project.settings()["watch"]
    assert (watch["preset"], watch["glob"], watch["experiment"]) == ("hydra", "*/*", "study")
    assert not (project.path / "outbox").exists()
    assert project("config", "validate").code == 0


def test_init_writes_a_watch_for_each_framework(project: Folder) -> None:
    project.hydra()
    (project.path / "lightning_logs/version_0").mkdir(parents=True)
    (project.path / "lightning_logs/version_0/hparams.yaml").write_text("{}\n")
    said = project("init", ".", "--json").json()
    assert [(watch["preset"], watch["there"]) for watch in said["watches"]] == [("lightning", 1), ("hydra", 2)]
    assert {watch["experiment"] for watch in said["watches"]} == {"study-lightning_logs", "study-outputs"}
    assert {finding["level"] for finding in said["findings"]} <= {"ok", "note"}


def test_init_looks_into_the_folder_that_is_named_and_nowhere_else(project: Folder) -> None:
    project.hydra("mine")
    project.hydra("other")
    assert project("init", ".", "--watch", "mine", "--experiment", "e").code == 0
    (watch,) = project.settings()["watch"]
    assert (watch["path"], watch["glob"], watch["experiment"]) == ("mine", "*/*", "e")


def test_a_dry_run_prints_the_settings_and_leaves_no_trace(project: Folder) -> None:
    project.hydra()
    before = sorted(project.path.rglob("*"))
    answer = project("init", ".", "--dry-run", "--registry", "s3://bucket/x", "--profile", "p", "--endpoint-url", "u")
    assert answer.code == 0
    settings = tomllib.loads(answer.out)
    assert settings["registry"]["main"]["storage_options"] == {"endpoint_url": "u", "profile": "p"}
    assert project("init", "new", "-n", "--json").json()["text"].startswith("# sealrun settings")
    assert sorted(project.path.rglob("*")) == before


def test_settings_below_etc_keep_their_journal_where_the_service_does(project: Folder) -> None:
    answer = project("init", "/etc/sealrun-that-is-not-there", "--watch", "out", "-n")
    assert tomllib.loads(answer.out)["state"] == "/var/lib/sealrun"


def test_what_cannot_be_watched_as_it_lies_is_said(project: Folder) -> None:
    (project.path / "model/checkpoint-1").mkdir(parents=True)
    (project.path / "model/checkpoint-1/trainer_state.json").write_text("{}")
    answer = project("init", ".")
    assert answer.code == 0
    assert "note       model: a run of hf-trainer" in answer.out
    assert (project.path / "outbox").is_dir()


@pytest.mark.parametrize("name", ['a\'b "c" $HOME', "ü]\\", "# [x]"])
def test_folders_with_odd_names_are_found_and_written_so_that_they_are_read_back(project: Folder, name: str) -> None:
    project.hydra(name)
    assert project("init", ".").code == 0
    shown = project("config", "show", "--json").json()
    assert shown["watch"][0]["path"] == str(project.path / name)
    assert project("scan", "--once").code == 0


def test_a_scan_after_init_takes_what_was_counted(project: Folder) -> None:
    for name in ("a", "b"):
        (project.path / "out" / name).mkdir(parents=True)
        (project.path / "out" / name / "_SUCCESS").touch()
    assert "found      out/*: 2 folders, _SUCCESS markers by a/_SUCCESS" in project("init", ".").out
    assert len(project("scan", "--once", "--json").json()["published"]) == 2


def test_init_ends_with_3_and_says_what_to_do_where_something_does_not_work(
    project: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Room(mount="/", size=100 << 30, free=1 << 20, inodes=1000, inodes_free=900)
    monkeypatch.setattr("sealrun.bootstrap.doctor.folders.room_at", lambda _path: full)
    answer = project("init", ".")
    assert answer.code == 3
    assert "error      space: " in answer.out
    assert "           make room" in answer.out


def test_doctor_prints_what_to_do_below_each_finding(project: Folder) -> None:
    assert project("init", ".").code == 0
    (project.path / "outbox").rmdir()
    answer = project("doctor")
    assert answer.code == 1
    assert f"error    watch outbox: {project.path}/outbox: is not there\n         mount its disk" in answer.out
    findings = project("doctor", "--json").json()["findings"]
    assert {frozenset(finding) for finding in findings} == {frozenset({"level", "what", "detail", "do"})}


def test_a_registry_that_the_first_scan_makes_is_a_note_for_doctor(project: Folder) -> None:
    (project.path / "w").mkdir()
    (project.path / "sealrun.toml").write_text('version = 1\nregistry.main.url = "r"\n[[watch]]\npath = "w"\n')
    answer = project("doctor")
    assert answer.code == 0, answer.out
    assert "note     registry main: " in answer.out
    assert not (project.path / "r").exists()
    assert project("scan", "--once").code == 0


def test_what_waits_for_a_registry_that_was_taken_out_of_the_settings_is_told(project: Folder) -> None:
    assert project("init", ".", "--registry", "one", "--registry", "two").code == 0
    (project.path / "run").mkdir()
    (project.path / "run/a").write_text("1")
    assert project("publish", "run", "--experiment", "e").code == 0
    (project.path / "two/registry.json").rename(project.path / "gone")
    (project.path / "run/a").write_text("2")
    assert project("publish", "run", "--experiment", "e").code in {3, 10}
    text = (project.path / "sealrun.toml").read_text()
    (project.path / "sealrun.toml").write_text(text.replace("[registry.registry2]", "[registry.renamed]"))
    assert "the registry 'registry2', which the settings no longer name" in project("doctor").out
