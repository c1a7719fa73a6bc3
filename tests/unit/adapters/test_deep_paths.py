"""Folders that lie deep are opened at once or step by step: the same folder, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.fakes.journal import FakeHashes

from sealrun.adapters.run_folders import beneath, deep_paths
from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.domain.errors import RunChangedError

DEEP = "a/b/c/d/e/f"


@pytest.fixture(params=["at once", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "step by step":
        monkeypatch.setattr(deep_paths, "_syscall", lambda: None)
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run" / DEEP).mkdir(parents=True)
    (tmp_path / "run" / DEEP / "file").write_text("inside")
    return tmp_path / "run"


@pytest.mark.usefixtures("way")
def test_the_folder_is_the_one_with_that_name(root: Path) -> None:
    with beneath.opened_folder(str(root), DEEP) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), (root / DEEP).stat())
        assert not os.get_inheritable(descriptor)


def test_this_machine_opens_them_at_once(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        found = deep_paths.open_beneath(descriptor, DEEP, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(descriptor)
    assert found is not None
    assert os.path.samestat(os.fstat(found), (root / DEEP).stat())
    os.close(found)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("level", range(1, 7))
@pytest.mark.parametrize("leads", ["out", "inside"])
def test_a_link_on_the_way_is_refused_wherever_it_is_and_leads(root: Path, level: int, leads: str) -> None:
    steps = DEEP.split("/")
    swapped = root / "/".join(steps[:level])
    moved = root.parent / "moved" if leads == "out" else root / "moved"
    swapped.rename(moved)
    swapped.symlink_to(moved)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted
    with pytest.raises(OSError, match=r"[Nn]ot a directory|symbolic links") as refused:
        beneath.opened_folder(str(root), DEEP).__enter__()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - counted
    assert isinstance(beneath.translate(refused.value, DEEP), RunChangedError)


@pytest.mark.usefixtures("way")
def test_what_is_not_there_or_is_a_file_is_refused(root: Path) -> None:
    for path, error in ((f"{DEEP}/gone", FileNotFoundError), (f"{DEEP}/file", NotADirectoryError)):
        with pytest.raises(error), beneath.opened_folder(str(root), path):
            pass


def test_a_path_too_long_for_one_call_is_opened_step_by_step(tmp_path: Path) -> None:
    name, steps = "n" * 200, 30  # 6,000 bytes: the kernel takes 4,096 at once
    (tmp_path / "run").mkdir()
    descriptor = os.open(tmp_path / "run", os.O_RDONLY)
    for _ in range(steps):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    with beneath.opened_folder(str(tmp_path / "run"), "/".join([name] * steps)) as found:
        assert os.path.samestat(os.fstat(found), os.fstat(descriptor))
    os.close(descriptor)


def test_a_deep_tree_costs_some_calls_for_each_folder_and_not_for_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    for number in range(60):
        folder /= "d"
        folder.mkdir(parents=True)
        (folder / "f").write_text(str(number))
    opened, inner = [0], os.open

    def counting(*args: object, **known: object) -> int:
        opened[0] += 1
        return inner(*args, **known)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", counting)
    local = LocalFolder(str(tmp_path / "run"), hashes=FakeHashes(), workers=1)
    tree = local.scan()
    assert len(local.hash(tree).entries) == 60
    assert opened[0] < 60 * 10
