from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealrun.adapters.stores import posix_folders
from sealrun.adapters.stores.posix_folders import Folders, Root


class Synced:
    """The folders that were synced, below the root."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.names: list[str] = []
        self.refused: str | None = None
        monkeypatch.setattr(posix_folders, "sync_folder", self._sync)

    def _sync(self, folder: str) -> None:
        name = os.path.relpath(folder, self.root)
        if name == self.refused:
            raise OSError(5, "Input/output error")
        self.names.append(name)

    def by(self, folders: Folders, key: str) -> list[str]:
        """What making `key` durable syncs."""
        self.names.clear()
        folders.settle(str(self.root / key))
        return list(self.names)


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Synced:
    return Synced(tmp_path, monkeypatch)


def test_a_folder_that_was_made_durable_once_is_not_synced_for_the_next_key_but_for_its_new_name(
    synced: Synced, tmp_path: Path
) -> None:
    folders = Folders(Root(str(tmp_path), make=False))
    assert synced.by(folders, "a/b/one") == ["a/b", "a", "."]
    assert synced.by(folders, "a/b/two") == ["a/b"]
    assert synced.by(folders, "a/c/one") == ["a/c", "a"]


def test_of_ever_new_folders_only_the_last_are_remembered_and_those_in_use_among_them(
    synced: Synced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_folders, "_REMEMBERED", 10)
    folders = Folders(Root(str(tmp_path), make=False))
    for number in range(50):
        first = number == 0
        assert synced.by(folders, f"runs/r{number}/seal") == [f"runs/r{number}", "runs", *(["."] if first else [])]
        assert len(folders._durable) <= 10
    assert synced.by(folders, "runs/r49/more") == ["runs/r49"]


def test_a_folder_that_was_forgotten_is_made_durable_again(
    synced: Synced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix_folders, "_REMEMBERED", 2)
    folders = Folders(Root(str(tmp_path), make=False))
    for key in ("a/one", "b/one", "c/one"):
        synced.by(folders, key)
    assert synced.by(folders, "a/two") == ["a", "."]


def test_a_folder_counts_as_durable_only_when_all_above_it_are(synced: Synced, tmp_path: Path) -> None:
    folders = Folders(Root(str(tmp_path), make=False))
    synced.refused = "."
    with pytest.raises(OSError, match="Input/output"):
        folders.settle(str(tmp_path / "a/b/one"))
    synced.refused = None
    assert synced.by(folders, "a/b/one") == ["a/b", "a", "."]
