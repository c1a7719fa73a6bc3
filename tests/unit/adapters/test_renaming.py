from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from sealrun.adapters.run_folders.renaming import rename_new


@pytest.fixture(params=["kernel", "without the call"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call of the kernel, and what is done where there is none."""
    if request.param != "kernel":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_arguments, **_options: object())


def test_a_file_or_a_folder_takes_a_new_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        rename_new(str(tmp_path / name), str(tmp_path / f"new {name}"))
    assert sorted(os.listdir(tmp_path)) == ["new file", "new folder"]  # noqa: PTH208 - names are what is asked for
    assert (tmp_path / "new file").read_text() == "1"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_is_ever_replaced_not_even_an_empty_folder(tmp_path: Path, kind: str) -> None:
    for name in ("old", "new"):
        if kind == "file":
            (tmp_path / name).write_text(name)
        else:
            (tmp_path / name).mkdir()
    inode = (tmp_path / "new").stat().st_ino
    with pytest.raises(FileExistsError):
        rename_new(str(tmp_path / "old"), str(tmp_path / "new"))
    assert (tmp_path / "old").exists()
    assert (tmp_path / "new").stat().st_ino == inode
