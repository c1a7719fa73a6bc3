from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builders.folders import a_folder
from tests.builders.libraries import Library

import sealrun
from sealrun.domain import errors
from sealrun.domain.records import sha256

_BIG = bytes(range(256)) * 8192


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Library, str]:
    room = tmp_path_factory.mktemp("library")
    library = Library(room, str(room / "registry"))
    folder = a_folder(room / "first", {"metrics.csv": "a\n1\n", "model/weights": _BIG}, at=None)
    return library, library.publish(folder, names={"metrics.csv": "metrics.csv"})


@pytest.fixture
def reader(shelf: tuple[Library, str]) -> sealrun.RegistryReader:
    return sealrun.open_registry(shelf[0].url)


def test_runs_and_pointers_are_listed(reader: sealrun.RegistryReader, shelf: tuple[Library, str]) -> None:
    ref = shelf[1]
    assert reader.experiments() == ["train"]
    (row,) = reader.runs("train")
    assert (f"{row.experiment}/{row.run_id}", row.files) == (ref, 2)
    assert [each.run_id for each in reader.runs()] == [row.run_id]
    (latest,) = reader.pointers("train")
    assert latest.pointer == "train@latest"
    assert latest.target.run_id == row.run_id
    assert reader.history("train", "latest")[0] == latest


def test_a_reference_is_resolved_to_one_run_and_its_files(
    reader: sealrun.RegistryReader, shelf: tuple[Library, str]
) -> None:
    found = reader.resolve("train@latest")
    assert (found.ref, found.path) == (shelf[1], None)
    assert [entry.path for entry in found.files] == ["metrics.csv", "model/weights"]
    assert reader.resolve(found.urn).ref == found.ref
    assert found.root_sha256 == reader.runs()[0].root_sha256
    assert found.envelope.name == "first"
    assert (found.experiment, found.run_id) == tuple(shelf[1].split("/"))
    assert reader.resolve("metrics.csv").path == "metrics.csv"
    assert found.read_text("metrics.csv") == "a\n1\n"
    assert found.holds("model")
    assert not found.holds("other")
    assert reader.exists("train@latest:model/weights")
    assert not reader.exists("train@latest:model/other")
    assert not reader.exists("train@never")


def test_files_are_opened_and_read_verified(reader: sealrun.RegistryReader) -> None:
    assert reader.read_bytes("metrics.csv") == b"a\n1\n"
    with reader.open("train@latest:model/weights") as file:
        file.seek(1000)
        assert file.read(10) == _BIG[1000:1010]
        file.seek(0)
        assert sha256(file.read()) == sha256(_BIG)
    with pytest.raises(errors.UsageError, match="PATH"):
        reader.read_bytes("train@latest")
    with pytest.raises(errors.NotFoundError, match="nothing"):
        reader.read_bytes("train@latest:nothing")


def test_runs_and_files_are_restored(reader: sealrun.RegistryReader, tmp_path: Path) -> None:
    assert reader.get("train@latest", tmp_path / "run") == tmp_path / "run"
    assert (tmp_path / "run" / "model" / "weights").read_bytes() == _BIG
    assert reader.get("metrics.csv", tmp_path) == tmp_path / "metrics.csv"
    assert (tmp_path / "metrics.csv").read_text() == "a\n1\n"
    assert reader.get("metrics.csv", tmp_path / "other.csv").read_text() == "a\n1\n"
    sealed = reader.get("train@latest", tmp_path / "sealed", sealed=True)
    done = subprocess.run(["sha256sum", "-c", "MANIFEST.sha256"], cwd=sealed, capture_output=True, check=False)
    assert done.returncode == 0
    reader.close()
    reader.close()


def test_what_was_resolved_stays_while_pointers_move(tmp_path: Path) -> None:
    library = Library(tmp_path, str(tmp_path / "registry"))
    old = library.publish({"n": "1"})
    with sealrun.open_registry(library.url) as reader:
        found = reader.resolve("train@latest")
        new = library.publish({"n": "2"})
        assert found.read_bytes("n") == b"1"
        assert reader.read_bytes("train@latest:n") == b"2"
        assert (found.ref, reader.resolve("train@latest").ref) == (old, new)
        library.point(old, "best")
        assert reader.resolve("train@best").ref == old


def test_a_registry_that_is_not_there_is_told_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(errors.NoRegistryError):
        sealrun.open_registry(str(tmp_path))
    with pytest.raises(errors.UnavailableError):
        sealrun.open_registry(str(tmp_path / "nowhere"))
    with pytest.raises(errors.UsageError, match="URL"):
        sealrun.open_registry(storage_options={"key": "k"})


def test_the_settings_name_registries(
    shelf: tuple[Library, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = shelf[0].settings()
    assert sealrun.open_registry(config=settings).experiments() == ["train"]
    assert sealrun.open_registry("main", config=settings).experiments() == ["train"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEALRUN_STORE", shelf[0].url)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sealrun.open_registry().url.endswith("/registry")


def test_a_process_that_reads_a_directory_ends_quietly(shelf: tuple[Library, str]) -> None:
    code = f"import sealrun; print(sealrun.open_registry({shelf[0].url!r}).read_bytes('metrics.csv'))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("b'a\\n1\\n'\n", "")


def test_a_run_is_restored_by_links_and_progress_is_told(
    reader: sealrun.RegistryReader, shelf: tuple[Library, str], tmp_path: Path
) -> None:
    told: list[int] = []
    out = reader.get("train@latest", tmp_path / "out", link=True, advance=told.append)
    assert (out / "model/weights").read_bytes() == _BIG
    assert sum(told) == reader.runs()[0].size
    assert reader.resolve("train@latest").ref == shelf[1]


_MANY = {f"file-{number:03}": bytes([number]) * 300_000 for number in range(60)}


class Meddling:
    """Does something when the first bytes are told."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what
        self.lock = threading.Lock()
        self.done = False

    def __call__(self, _size: int) -> None:
        with self.lock:
            if not self.done:
                self.done = True
                self.what()


def test_a_run_that_is_collected_while_it_is_restored_is_said_to_be_gone(tmp_path: Path) -> None:
    library = Library(tmp_path / "library", str(tmp_path / "library/registry"))
    (tmp_path / "library").mkdir()
    ref = library.publish(_MANY)
    library.publish({"later": "x"})
    with sealrun.open_registry(library.url) as registry, pytest.raises(errors.ConflictError, match="went away"):
        registry.get(ref, tmp_path / "out", advance=Meddling(lambda: library.forget(ref)))
    assert not [path for path in tmp_path.iterdir() if path.name != "library"]


def test_a_run_whose_bytes_are_moved_while_it_is_restored_is_restored(tmp_path: Path) -> None:
    library = Library(tmp_path / "library", str(tmp_path / "library/registry"))
    (tmp_path / "library").mkdir()
    folder = a_folder(tmp_path / "library/made", _MANY, at=None)
    ref = library.publish(folder)
    library.publish({"later": "x"})

    def bring_back() -> None:
        library.forget(ref)
        assert library.publish(folder) == ref

    with sealrun.open_registry(library.url) as registry:
        out = registry.get(ref, tmp_path / "out", advance=Meddling(bring_back))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == _MANY
