from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.builders.folders import a_folder

from sealrun.adapters.folders import NoHashes
from sealrun.adapters.sources import LocalFolderSource
from sealrun.domain.errors import RunRejectedError
from sealrun.domain.watch import WatchSpec


def source(root: Path, glob: str = "*") -> LocalFolderSource:
    watch = WatchSpec(name="w", path=str(root), experiment="e", registries=(), glob=glob)
    return LocalFolderSource(watch, NoHashes())


def test_candidates_are_sorted_absolute_paths(tmp_path: Path) -> None:
    for name in ("b", "a", os.fsdecode(b"\xff")):
        a_folder(tmp_path / name, {"x": "1"})
    listed = source(tmp_path).candidates()
    assert listed == sorted(str(tmp_path / name) for name in ("a", "b", os.fsdecode(b"\xff")))


def test_a_missing_root_is_not_an_empty_one(tmp_path: Path) -> None:
    assert source(tmp_path / "none").candidates() is None
    assert source(tmp_path / "none", "*/*").candidates() is None
    assert source(tmp_path).candidates() == []


def test_an_unusable_ignore_file_of_the_root_rejects_what_is_opened(tmp_path: Path) -> None:
    a_folder(tmp_path / "run", {"x": "1"})
    (tmp_path / ".sealignore").symlink_to("/etc/passwd")
    assert source(tmp_path).candidates() == [str(tmp_path / "run")]
    with pytest.raises(RunRejectedError, match="sealignore"):
        source(tmp_path).open(str(tmp_path / "run"))
