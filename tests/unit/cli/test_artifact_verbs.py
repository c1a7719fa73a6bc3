"""publish, resolve and latest-manifest, for people who have no runs in mind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builders.places import a_place

from sealrun.cli.main import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    made = a_place(tmp_path, monkeypatch)
    (made / "a.csv").write_text("1")
    capsys.readouterr()
    return made


def said(capsys: Capture, *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_file_is_published_under_a_name_and_resolved_to_its_path(place: Path, capsys: Capture) -> None:
    printed = said(capsys, "publish", "a.csv", "--name", "b.csv", "--section", "2.3", "--tag", "x").strip()
    assert Path(printed).read_text() == "1"
    assert said(capsys, "resolve", "b.csv").strip() == printed
    assert said(capsys, "resolve", "b.csv", "--section", "2.3").strip() == printed
    assert said(capsys, "resolve", "b.csv", "--section", "2.4", "--optional") == ""
    row = json.loads(said(capsys, "latest-manifest", "--json"))
    assert (row["name"], row["section"], row["tags"], row["path"]) == ("b.csv", "2.3", ["x"], printed)
    table = said(capsys, "latest-manifest").splitlines()
    assert table[0].split() == ["name", "section", "published_at_utc", "tags", "path"]
    assert table[1].split()[:2] == ["b.csv", "2.3"]
    assert place in Path(printed).parents


def test_a_file_needs_nothing_but_its_own_name(place: Path, capsys: Capture) -> None:
    printed = said(capsys, "publish", "a.csv").strip()
    assert said(capsys, "resolve", "a.csv").strip() == printed
    assert said(capsys, "publish", "a.csv", "--tag", "x").strip() != printed, "with a tag it is another run"
    assert json.loads(said(capsys, "latest-manifest", "--json"))["tags"] == ["x"]
    (place / "folder").mkdir()
    assert run(["publish", "folder"]) == 2
    assert "--experiment" in capsys.readouterr().err


def test_a_name_that_is_taken_can_be_kept(place: Path, capsys: Capture) -> None:
    said(capsys, "publish", "a.csv", "--section", "1")
    (place / "a.csv").write_text("2")
    assert run(["publish", "a.csv", "--no-overwrite"]) == 1
    assert "is not to be overwritten" in capsys.readouterr().err
    assert json.loads(said(capsys, "publish", "a.csv", "--overwrite", "--section", "1", "--json"))["size"] == 1


def test_copies_are_made_on_request(place: Path, capsys: Capture) -> None:
    answer = json.loads(said(capsys, "publish", "a.csv", "--also-copy-to", "one", "--also-copy-to", "two", "--json"))
    assert answer["copies"] == [str(place / "one/a.csv"), str(place / "two/a.csv")]
    assert answer["registries"] == {"main": None}


def test_resolve_looks_in_folders_and_below_them(place: Path, capsys: Capture) -> None:
    (place / "dir/deep").mkdir(parents=True)
    (place / "dir/deep/c.csv").write_text("3")
    assert run(["resolve", "c.csv", "--search-dir", "dir"]) == 1
    searched = capsys.readouterr().err.splitlines()
    assert searched[:2] == ["sealrun: artifact not found", "   name: c.csv"]
    assert f"     - {place / 'dir'}" in searched
    found = said(capsys, "resolve", "c.csv", "--search-dir", "dir", "--recursive").strip()
    assert found == str(place / "dir/deep/c.csv")
    assert json.loads(said(capsys, "resolve", "a.csv", "--no-latest", "--search-dir", ".", "--json"))["path"] == str(
        place / "a.csv"
    )
    assert json.loads(said(capsys, "resolve", "z", "--optional", "--json"))["path"] is None


@pytest.mark.usefixtures("place")
def test_an_empty_manifest_is_nothing(capsys: Capture) -> None:
    assert said(capsys, "latest-manifest") == ""
    said(capsys, "latest-manifest", "--error-on-nothing", code=4)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "options",
    [
        ["--run-id", "r"],
        ["--name", "a.csv=y"],
        ["--name", "x", "--name", "y"],
        ["--name", "x", "--name", "a.csv=y"],
        ["--section", "1", "--run-id", "r"],
        ["--section", "1", "--registry", "main", "--registry", "main"],
    ],
)
def test_the_two_ways_to_publish_are_not_mixed(options: list[str]) -> None:
    assert run(["publish", "a.csv", *options]) == 2


@pytest.mark.usefixtures("place")
def test_a_folder_is_not_published_under_one_name(capsys: Capture) -> None:
    Path("run").mkdir()
    assert run(["publish", "run", "--experiment", "e", "--name", "x"]) == 2
    assert "is a folder" in capsys.readouterr().err
