"""fsspec's own suite, as far as it is for reading. What it would write by the file system under test is published.

Of the rest of the suite (copy, put, pipe, exclusive open) every call is refused; see `test_fsspec_filesystem.py`.
"""

# ruff: noqa: ANN401 - the suite has no types

from __future__ import annotations

from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun.fsspec_plugin import SealrunFileSystem


class Shelf:
    """A library in which each of the suite's scenarios is published once."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._sources: dict[str, str] = {}

    def source(self, name: str, build: Any) -> str:
        """Have the suite build a scenario in a local folder, and publish that."""
        if name not in self._sources:
            room = self.library.room / name
            build(LocalFileSystem(auto_mkdir=True), lambda *parts: "/".join(map(str, parts)), str(room))
            self._sources[name] = f"{self.library.publish(room)}/source"
        return self._sources[name]


class WithNothingToMake(SealrunFileSystem):
    """For a test that first makes what was published already."""

    def _made(self, path: str) -> None:
        assert self.exists(path)

    mkdir = touch = _made  # type: ignore[assignment] # the one way round the refusal


@pytest.fixture(scope="module", params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(a_library(request.param, tmp_path_factory.mktemp(request.param)))


class TestGet(AbstractFixtures, AbstractGetTests):  # type: ignore[misc] # fsspec ships no types
    """Copying to this machine."""

    @pytest.fixture
    def fs(self, shelf: Shelf) -> SealrunFileSystem:
        return SealrunFileSystem(**shelf.library.options)

    @pytest.fixture
    def fs_path(self) -> str:
        return "train@latest"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, shelf: Shelf) -> str:
        return shelf.source("bulk", self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, shelf: Shelf) -> str:
        return shelf.source("glob", self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, shelf: Shelf) -> str:
        return shelf.source("prefix", self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, shelf: Shelf) -> str:
        return shelf.source("ten", self._10_files_with_hashed_names)

    def test_get_directory_recursive(
        self,
        shelf: Shelf,
        fs_join: Any,
        local_fs: Any,
        local_join: Any,
        local_target: Any,
    ) -> None:
        ref = shelf.source("recursive", lambda fs, join, path: fs.touch(join(path, "source", "src", "file")))
        fs = WithNothingToMake(**shelf.library.options)
        super().test_get_directory_recursive(fs, fs_join, ref, local_fs, local_join, local_target)


def test_the_suite_has_what_its_names_say(shelf: Shelf, tmp_path: Path) -> None:
    """The suite's scenarios hold empty files, so here are some that are not."""
    bodies = {f"source/{md5(bytes([at]), usedforsecurity=False).hexdigest()}": bytes([at]) * at for at in range(10)}
    ref = shelf.library.publish(bodies)
    fs = SealrunFileSystem(**shelf.library.options)
    fs.get(f"{ref}/source", str(tmp_path / "here"), recursive=True)
    assert {f"source/{file.name}": file.read_bytes() for file in (tmp_path / "here").iterdir()} == bodies
