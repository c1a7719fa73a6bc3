"""Publishing and finding without runs in mind, on a directory registry."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.builders.places import a_place

from sealrun.api.artifacts import latest_manifest, publish, resolve
from sealrun.cli.main import run
from sealrun.domain.errors import ConflictError, NotFoundError, UnavailableError, UsageError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return a_place(tmp_path, monkeypatch)


def write(path: str, text: str, mtime: float | None = None) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def read(name: str | Path, **how: object) -> str:
    path = resolve(name, required=True, **how)  # type: ignore[arg-type] # whatever a test says
    assert path is not None
    return path.read_text()


def names_of(place: Path, name: str) -> int:
    return len(list((place / "registry/names" / name).iterdir()))


@pytest.mark.usefixtures("place")
def test_what_is_published_is_found_by_the_name_of_the_file() -> None:
    done = publish(write("reports/profile.csv", "a\n1\n"))
    assert read("profile.csv") == "a\n1\n"
    assert (done.name, done.section, done.tags, done.size) == ("profile.csv", None, (), 4)
    assert done.registries == {"main": None}
    assert Path(done).read_text() == "a\n1\n"


@pytest.mark.usefixtures("place")
def test_a_name_may_be_a_path_object_as_long_as_it_is_one_name() -> None:
    publish(write("a.csv", "1"), name=Path("b.csv"))
    assert read(Path("b.csv")) == "1"
    with pytest.raises(UsageError, match="not a name"):
        resolve(Path("sub/b.csv"))


@pytest.mark.usefixtures("place")
def test_a_name_can_be_another_than_the_files_own() -> None:
    publish(write("a.csv", "1"), name="b.csv")
    assert read("b.csv") == "1"
    assert resolve("a.csv") is None


def test_a_name_moves_to_what_is_published_even_if_that_file_is_older(place: Path) -> None:
    publish(write("a.csv", "new", 2_000_000_000))
    publish(write("b.csv", "old", 1_000_000_000), name="a.csv")
    assert read("a.csv") == "old"
    assert (place / "registry/latest/a.csv").read_text() == "old"
    publish("a.csv")
    assert read("a.csv") == "new"
    assert (place / "registry/latest/a.csv").read_text() == "new"


def test_publishing_an_unchanged_file_again_changes_nothing(place: Path) -> None:
    first = publish(write("a.csv", "1"), section="2.3", tags=["x"])
    assert publish("a.csv", section="2.3", tags=["x"]) == first
    assert names_of(place, "a.csv") == 1


@pytest.mark.usefixtures("place")
def test_the_same_bytes_from_another_section_are_neither_lost_nor_stored_twice() -> None:
    first = publish(write("a.csv", "1"), section="2.3")
    second = publish("a.csv", section="2.4")
    assert first.ref != second.ref
    assert [row["section"] for row in latest_manifest()] == ["2.4"]
    assert resolve("a.csv", section="2.3") == first.path
    objects = [path for path in Path("registry/store/objects").rglob("*") if path.is_file()]
    assert len(objects) == 1


def test_without_overwriting_a_name_that_stands_on_other_content_is_refused(place: Path) -> None:
    publish(write("a.csv", "1"))
    before = sorted((place / "registry").rglob("*"))
    with pytest.raises(ConflictError, match=r"'a.csv' stands on artifacts/.* not to be\s+overwritten"):
        publish(write("b.csv", "2"), name="a.csv", overwrite=False)
    assert sorted((place / "registry").rglob("*")) == before
    assert read("a.csv") == "1"
    assert publish(write("c.csv", "1"), name="a.csv", overwrite=False).registries == {"main": None}


def test_without_overwriting_one_of_many_at_the_same_time_gets_the_name(place: Path) -> None:
    for number in range(6):
        write(f"{number}/a.csv", f"from {number}")
    got: list[str] = []
    refused: list[str] = []

    def attempt(number: int) -> None:
        try:
            publish(place / f"{number}/a.csv", overwrite=False)
        except ConflictError:
            refused.append(f"from {number}")
        else:
            got.append(f"from {number}")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [read("a.csv")]
    assert len(refused) == 5
    assert names_of(place, "a.csv") == 1


def test_copies_appear_in_other_folders_under_the_name(place: Path) -> None:
    write("one/b.csv", "earlier")
    done = publish(write("a.csv", "1", 1_000_000_000), name="b.csv", also_copy_to=["one", place / "two/deep"])
    assert [copy.read_text() for copy in done.copies] == ["1", "1"]
    assert done.copies == (place / "one/b.csv", place / "two/deep/b.csv")
    assert sorted(path.name for path in (place / "one").iterdir()) == ["b.csv"]
    assert done.copies[0].stat().st_mtime == 1_000_000_000


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("path", "how", "says"),
    [
        ("gone.csv", {}, "is not there"),
        ("folder", {}, "is a folder"),
        ("a.csv", {"name": "x/y"}, "not a name"),
        ("a.csv", {"section": ""}, "not a section"),
        ("a.csv", {"section": 2.10}, "write it as text"),
        ("a.csv", {"also_copy_to": [None]}, "holds None"),
        ("a.csv", {"tags": "profile"}, "write a list"),
        ("a.csv", {"also_copy_to": "folder"}, "write a list"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(path: str, how: dict[str, Any], says: str) -> None:
    write("a.csv", "1")
    Path("folder").mkdir()
    with pytest.raises(UsageError, match=says):
        publish(path, **how)
    assert latest_manifest() == []


def test_a_run_made_by_a_watch_is_found_the_same_way(place: Path) -> None:
    settings = place / "sealrun.toml"
    settings.write_text(
        settings.read_text() + '\n[[watch]]\nname = "files"\npath = "drop"\nunit = "file"\nsettle = "0s"\n'
    )
    write("drop/scores.csv", "0.9", 1_000_000_000)
    assert run(["scan", "--once"]) == 0
    assert read("scores.csv") == "0.9"
    assert [(row["name"], row["section"]) for row in latest_manifest()] == [("scores.csv", None)]
    write("drop/scores.csv", "0.95", 1_000_000_100)
    assert run(["scan", "--once"]) == 0
    assert read("scores.csv") == "0.95"


@pytest.mark.usefixtures("place")
def test_what_is_published_comes_before_the_folders() -> None:
    write("dir/a.csv", "in the folder")
    assert read("a.csv", search_dirs=["dir"]) == "in the folder"
    publish(write("a.csv", "published"))
    assert read("a.csv", search_dirs=["dir"]) == "published"
    assert read("a.csv", search_dirs=["dir"], prefer_latest=False) == "in the folder"


@pytest.mark.usefixtures("place")
def test_folders_are_searched_in_order_and_only_then_below_them() -> None:
    write("one/deep/a.csv", "one, deep")
    write("two/a.csv", "two")
    folders = [None, "nowhere", "one", Path("two")]
    assert read("a.csv", search_dirs=folders) == "two"
    assert read("a.csv", search_dirs=folders, recursive=True) == "two"
    assert read("a.csv", search_dirs=["one"], recursive=True) == "one, deep"
    assert resolve("a.csv", search_dirs=["one"]) is None


@pytest.mark.usefixtures("place")
def test_below_a_folder_the_newest_wins_and_the_first_folder_that_has_it() -> None:
    write("one/x/a.csv", "older", 1_000)
    write("one/y/a.csv", "newer", 2_000)
    write("two/z/a.csv", "newest", 3_000)
    assert read("a.csv", search_dirs=["one", "two"], recursive=True) == "newer"


@pytest.mark.usefixtures("place")
def test_signs_that_match_many_names_elsewhere_match_only_themselves() -> None:
    write("one/x/abc.csv", "abc")
    assert resolve("a*.csv", search_dirs=["one"], recursive=True) is None
    write("one/x/a*.csv", "star")
    assert read("a*.csv", search_dirs=["one"], recursive=True) == "star"


@pytest.mark.usefixtures("place")
def test_the_folder_of_the_section_comes_first() -> None:
    folders = {"2.3": Path("three"), "2.4": Path("four"), "2.5": None}
    write("three/a.csv", "three")
    write("four/a.csv", "four")
    assert read("a.csv", section="2.4", search_dirs=folders) == "four"
    assert read("a.csv", section="2.5", search_dirs=folders) == "three"
    assert read("a.csv", search_dirs=folders) == "three"


@pytest.mark.usefixtures("place")
def test_what_is_not_there_is_none_or_if_required_an_error_that_says_where_was_looked() -> None:
    Path("one").mkdir()
    assert resolve("a.csv", search_dirs=["one"]) is None
    with pytest.raises(NotFoundError) as caught:
        resolve("a.csv", section="2.3", search_dirs=["one", "gone"], recursive=True, required=True)
    said = str(caught.value)
    for part in (
        "name: a.csv",
        "section: 2.3",
        "registry: file:///",
        "recursive: True",
        "/one\n",
        "/gone (is not there)",
    ):
        assert part in said


def test_a_registry_that_is_gone_is_an_error_and_no_absence(place: Path) -> None:
    (place / "registry").rename(place / "unmounted")
    write("dir/a.csv", "1")
    with pytest.raises(UnavailableError, match="is its disk mounted"):
        resolve("a.csv", search_dirs=["dir"])
    assert read("a.csv", search_dirs=["dir"], prefer_latest=False) == "1"


def test_what_is_published_is_queued_where_it_cannot_be_delivered(place: Path) -> None:
    settings = place / "sealrun.toml"
    settings.write_text(settings.read_text() + '\n[registry.far]\nurl = "far"\n')
    publish(write("a.csv", "1", 1_000_000_000))
    (place / "far").rename(place / "unmounted")
    done = publish(write("a.csv", "2", 1_000_000_100))
    assert done.registries["main"] is None
    assert "far" in str(done.registries["far"])
    assert read("a.csv") == "2"
    (place / "unmounted").rename(place / "far")
    assert read("a.csv", registry="far") == "1"
    assert run(["scan", "--once"]) == 0
    assert read("a.csv", registry="far") == "2"


def test_the_manifest_lists_what_stands_under_each_name(place: Path) -> None:
    publish(write("b.csv", "1"), section="2.3", tags=["profile", "numeric"])
    publish(write("a.csv", "22"))
    rows = latest_manifest()
    assert [row["name"] for row in rows] == ["a.csv", "b.csv"]
    assert rows[1]["section"] == "2.3"
    assert rows[1]["tags"] == ["numeric", "profile"]
    assert rows[0]["size_bytes"] == 2
    assert Path(rows[0]["path"]).read_text() == "22"
    sidecar = json.loads((place / "registry/latest/b.csv.meta.json").read_text())
    assert {key: sidecar[key] for key in ("name", "section", "tags", "size_bytes", "published_at_utc")} == {
        "name": "b.csv",
        "section": "2.3",
        "tags": ["numeric", "profile"],
        "size_bytes": 1,
        "published_at_utc": rows[1]["published_at_utc"],
    }


@pytest.mark.usefixtures("place")
def test_the_manifest_is_also_a_data_frame_of_the_same_columns_when_it_is_empty() -> None:
    empty = [list(latest_manifest(frame).columns) for frame in ("pandas", "polars")]
    publish(write("a.csv", "1"), tags=["x"])
    for frame, columns in zip(("pandas", "polars"), empty, strict=True):
        table = latest_manifest(frame)  # type: ignore[call-overload] # each
        assert list(table.columns) == columns == list(latest_manifest()[0])
        assert list(table["name"]) == ["a.csv"]
        assert list(table["tags"][0]) == ["x"]


@pytest.mark.usefixtures("place")
def test_a_frame_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError, match="polars is not installed"):
        latest_manifest("polars")
    with pytest.raises(UsageError, match="use 'pandas', 'polars'"):
        latest_manifest("arrow")  # type: ignore[call-overload] # wrong on purpose
