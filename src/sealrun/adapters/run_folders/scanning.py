"""Listing a folder: what it holds, and the first thing in it that no run may hold."""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from stat import S_ISREG

from sealrun.adapters.run_folders.beneath import opened_folder, printable, translate
from sealrun.adapters.run_folders.tables import FileBlock, FileTable, Listing
from sealrun.domain.errors import RunRejectedError
from sealrun.domain.paths import are_plain, path_problem
from sealrun.domain.patterns import Patterns
from sealrun.domain.runs.links import is_left_out, link_problem
from sealrun.domain.runs.manifest import Link
from sealrun.domain.shelves import Blocks
from sealrun.ports import Survey, Tree

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class _Found:
    """What a look has found so far. Files come in order of their paths; `done` gets them a block at a time."""

    def __init__(self, done: Callable[[FileBlock], object]) -> None:
        self.files = Listing(done)
        self.empty: list[str] = []
        self.links: list[Link] = []
        self.problems: list[tuple[str, str]] = []


class _Kept:
    """A look of which everything is kept."""

    def __init__(self) -> None:
        self._blocks = Blocks[FileBlock]()
        self.found = _Found(self._blocks.add)

    def survey(self) -> Survey:
        found = self.found
        found.files.close()
        tree = Tree(FileTable(self._blocks), tuple(sorted(found.empty)), tuple(sorted(found.links)))
        return Survey(tree, min(found.problems)[1] if found.problems else None)


class _Compared:
    """Keeps no file, and says whether they are those expected: a second look must not need the memory of the first."""

    def __init__(self, expected: Iterable[FileBlock]) -> None:
        self._expected = iter(expected)
        self._same = True
        self.found = _Found(self._take)

    def _take(self, block: FileBlock) -> None:
        if self._same and next(self._expected, None) != block:
            self._same = False

    def is_same(self) -> bool:
        self.found.files.close()
        return self._same and next(self._expected, None) is None and not self.found.problems


class _Folder:
    """A folder whose names were listed, the last one first. Those of folders end in ``/``. `plain`: all of them are."""

    def __init__(self, path: str, names: list[str], *, plain: bool) -> None:
        self.path = path
        self.prefix = f"{path}/" if path else ""
        self.left = names
        self.plain = plain


def survey_folder(root: str, patterns: Patterns) -> Survey:
    """List everything below `root` that `patterns` show. Links are not followed; excluded entries are not looked at.

    Memory grows with the result only. `RunChangedError` if something vanishes meanwhile.
    """
    look = _Kept()
    _list_all(root, patterns, look.found)
    return look.survey()


def is_unchanged(root: str, patterns: Patterns, tree: Tree) -> bool:
    """Tell whether everything below `root` is what an earlier survey found. Memory does not grow with what there is."""
    look = _Compared(FileTable.of(tree.files).blocks)
    _list_all(root, patterns, look.found)
    others = tuple(sorted(look.found.empty)), tuple(sorted(look.found.links))
    return look.is_same() and others == (tree.directories, tree.links)


def _list_all(root: str, patterns: Patterns, found: _Found) -> None:
    """Go through everything in order of the paths: so nothing has to be sorted of which there may be millions.

    What lies in a folder comes where its name with a ``/`` comes among the names beside it.
    """
    open_folders: list[_Folder] = []
    inner: str | None = ""
    while inner is not None or open_folders:
        path = inner if inner is not None else open_folders[-1].path
        try:
            if inner is not None:
                with opened_folder(root, inner) as descriptor:
                    open_folders.append(_names(descriptor, inner, patterns, found))
                    inner = _add_files(root, open_folders[-1], found, descriptor)
            else:
                inner = _go_on(root, open_folders[-1], found)
        except OSError as error:
            problem = translate(error, os.path.join(root, path) if path else root)
            if not isinstance(problem, RunRejectedError):
                raise problem from error
            found.problems.append((path, str(problem)))
            inner = None
            if open_folders and open_folders[-1].path == path:
                open_folders[-1].left.clear()
        while open_folders and inner is None and not open_folders[-1].left:
            open_folders.pop()


def _names(descriptor: int, path: str, patterns: Patterns, found: _Found) -> _Folder:
    """List what `patterns` show in an opened folder."""
    prefix = f"{path}/" if path else ""
    names: list[str] = []
    bare: list[str] = []
    choosy = not path or not patterns.show_all
    with os.scandir(descriptor) as listing:
        for item in listing:
            folder = item.is_dir(follow_symlinks=False)
            name = item.name
            if choosy and patterns.excludes(prefix + name, folder=folder):
                continue
            bare.append(name)
            names.append(f"{name}/" if folder else name)
    if path and not names and not patterns.include:
        found.empty.append(path)
    names.sort(reverse=True)
    return _Folder(path, names, plain=are_plain(bare))


def _go_on(root: str, folder: _Folder, found: _Found) -> str | None:
    """Go on in a folder after one that lies in it."""
    if folder.left[-1].endswith("/") and not path_problem(folder.prefix + folder.left[-1][:-1]):
        return folder.prefix + folder.left.pop()[:-1]
    with opened_folder(root, folder.path) as descriptor:
        return _add_files(root, folder, found, descriptor)


def _add_files(root: str, folder: _Folder, found: _Found, descriptor: int) -> str | None:
    """Add what lies directly in an opened folder, up to the first folder in it; return the path of that, if any."""
    prefix, left, plain = folder.prefix, folder.left, folder.plain
    stat_of, add = os.stat, found.files.add  # twice for each file there is: nothing is called that need not be
    while left:
        name = left.pop()
        path = prefix + name
        if name[-1] == "/":
            path, name = path[:-1], name[:-1]
            if not path_problem(path):
                return path
        status = stat_of(name, dir_fd=descriptor, follow_symlinks=False)
        if plain and S_ISREG(status.st_mode):
            add(path, status)
        else:
            _add(found, root, path, name, status, descriptor)
    return None


def survey_file(folder: str, name: str) -> Survey:
    """Look at the one file of a file unit, directly below `folder`."""
    look = _Kept()
    try:
        with opened_folder(folder) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        raise translate(error, os.path.join(folder, name)) from error
    _add(look.found, folder, name, name, status)
    return look.survey()


def _add(found: _Found, root: str, path: str, name: str, status: os.stat_result, folder: int | None = None) -> None:
    problem = path_problem(name)
    if not problem and S_ISREG(status.st_mode):
        found.files.add(path, status)
    elif problem:
        found.problems.append((path, f"{printable(os.path.join(root, path))}: {problem}; rename or exclude it"))
    elif stat.S_ISLNK(status.st_mode) and folder is not None:
        _add_link(found, root, path, os.readlink(name, dir_fd=folder))
    else:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "neither a file nor a folder")
        shown = printable(os.path.join(root, path))
        found.problems.append((path, f"{shown}: is {kind}, which no run can hold; remove or exclude it"))


def _add_link(found: _Found, root: str, path: str, target: str) -> None:
    problem = link_problem(path, target)
    if problem is None:
        home = os.path.realpath(root)
        leads_to = os.path.realpath(os.path.join(root, path))
        if leads_to != home and not leads_to.startswith(home.rstrip("/") + "/"):
            problem = f"the link leaves the run through another link (it leads to {printable(leads_to)})"
    if problem is None:
        found.links.append(Link(path, target))
    elif not is_left_out(path):
        msg = f"{printable(os.path.join(root, path))}: {problem}; replace it by what it points to, or exclude it"
        found.problems.append((path, msg))
