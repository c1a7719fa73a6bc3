from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry, Link, Manifest
from sealrun.domain.runs.tree import RunTree


def a_tree(*files: str, folders: tuple[str, ...] = (), links: dict[str, str] | None = None) -> RunTree:
    entries = (Entry(path, len(path), sha256(path.encode())) for path in files)
    return RunTree(Manifest.build(entries, folders, (Link(path, said) for path, said in (links or {}).items())))


def shown(tree: RunTree, path: str) -> list[str]:
    return [child.path for child in tree.children(path)]


def test_every_file_folder_and_empty_folder_is_found_once() -> None:
    tree = a_tree("a", "d/e/f", "d/e.txt", "d/g", folders=("empty/inner",))
    assert len(tree) == 4
    assert shown(tree, "") == ["a", "d", "empty"]
    assert shown(tree, "d") == ["d/e", "d/e.txt", "d/g"]
    assert shown(tree, "d/e") == ["d/e/f"]
    assert shown(tree, "empty") == ["empty/inner"]
    assert shown(tree, "empty/inner") == []
    assert shown(tree, "nowhere") == []
    for path, is_file in (("", False), ("d/e", False), ("empty/inner", False), ("d/e/f", True)):
        node = tree.find(path)
        assert node is not None
        assert (node.entry is not None) is is_file
    assert tree.find("d/e/f/g") is None
    assert tree.find("D") is None


def test_links_to_files_read_as_files_and_links_to_folders_are_followed_but_not_listed() -> None:
    links = {"best": "ckpt/2", "d/up": "../a", "newest": "ckpt", "loop": "loop", "gone": "nothing"}
    tree = a_tree("a", "ckpt/1", "ckpt/2", "d/x", links=links)
    assert shown(tree, "") == ["a", "best", "ckpt", "d"]
    assert shown(tree, "d") == ["d/up", "d/x"]
    best = tree.find("best")
    assert best is not None
    assert best.entry is not None
    assert (best.path, best.entry.path, best.target) == ("best", "ckpt/2", "ckpt/2")
    through = tree.find("newest/1")
    assert through is not None
    assert through.entry is not None
    assert through.entry.path == "ckpt/1"
    assert shown(tree, "newest") == ["newest/1", "newest/2"]
    assert tree.find("loop") is None
    assert tree.find("gone") is None


_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@given(st.sets(_PATHS, max_size=8))
def test_walking_the_tree_finds_what_the_kernel_finds(wanted: set[str]) -> None:
    files = {path for path in wanted if not any(other.startswith(f"{path}/") for other in wanted)}
    tree = a_tree(*sorted(files))
    found: set[str] = set()
    ahead = [""]
    while ahead:
        for node in tree.children(ahead.pop()):
            (ahead.append if node.entry is None else found.add)(node.path)
    assert found == files


def test_links_lead_where_they_lead_on_disk(tmp_path: Path) -> None:
    links = {"one": "d/two", "d/two": "../e/./three", "e/three": "../d/x", "f": "e", "g": "f/three"}
    for folder in ("d", "e"):
        (tmp_path / folder).mkdir()
    (tmp_path / "d" / "x").write_text("x")
    for path, said in links.items():
        (tmp_path / path).symlink_to(said)
    tree = a_tree("d/x", links=links)
    for path in (*links, "f/three", "d/nothing"):
        node = tree.find(path)
        real = os.path.realpath(tmp_path / path)
        assert (node is not None) is Path(real).exists(), path
        if node is not None and node.entry is not None:
            assert str(tmp_path / node.entry.path) == real
