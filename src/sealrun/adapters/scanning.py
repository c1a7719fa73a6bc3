"""Listing a folder: what it holds, and the first thing in it that no run may hold."""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from sealrun.adapters.beneath import facts_of, opened_folder, printable, translate
from sealrun.adapters.tables import FileTable, TableBuilder
from sealrun.domain.errors import RunRejectedError
from sealrun.domain.links import is_left_out, link_problem
from sealrun.domain.manifest import Link, path_problem
from sealrun.domain.patterns import Patterns
from sealrun.ports import FileFacts, Survey, Tree

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class _Found:
    """What a look has found so far. Files come in order of their paths."""

    def __init__(self) -> None:
        self._files = TableBuilder()
        self.empty: list[str] = []
        self.links: list[Link] = []
        self.problems: list[tuple[str, str]] = []

    def take(self, path: str, facts: FileFacts) -> None:
        self._files.add(path, facts)

    def tree(self) -> Tree:
        return Tree(self._files.table(), tuple(sorted(self.empty)), tuple(sorted(self.links)))

    def survey(self) -> Survey:
        return Survey(self.tree(), min(self.problems)[1] if self.problems else None)


class _Compared(_Found):
    """Keeps no file, and says whether they are those expected: a second look must not need the memory of the first."""

    def __init__(self, expected: Iterable[tuple[str, FileFacts]]) -> None:
        super().__init__()
        self._expected = iter(expected)
        self._same = True

    def take(self, path: str, facts: FileFacts) -> None:
        if self._same and next(self._expected, None) != (path, facts):
            self._same = False

    def is_same(self) -> bool:
        return self._same and next(self._expected, None) is None and not self.problems


class _Folder:
    """A folder whose names were listed, the last one first. Those of folders end in ``/``."""

    def __init__(self, path: str, names: list[str]) -> None:
        self.path = path
        self.prefix = f"{path}/" if path else ""
        self.left = names


def survey_folder(root: str, patterns: Patterns) -> Survey:
    """List everything below `root` that `patterns` show. Links are not followed; excluded entries are not looked at.

    Memory grows with the result only. `RunChangedError` if something vanishes meanwhile.
    """
    found = _Found()
    _list_all(root, patterns, found)
    return found.survey()


def is_unchanged(root: str, patterns: Patterns, tree: Tree) -> bool:
    """Tell whether everything below `root` is what an earlier survey found. Memory does not grow with what there is."""
    found = _Compared(FileTable.of(tree.files).rows())
    _list_all(root, patterns, found)
    others = tuple(sorted(found.empty)), tuple(sorted(found.links))
    return found.is_same() and others == (tree.directories, tree.links)


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
                    open_folders.append(_Folder(inner, _names(descriptor, inner, patterns, found)))
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


def _names(descriptor: int, path: str, patterns: Patterns, found: _Found) -> list[str]:
    """Names of what `patterns` show in an opened folder, the last one first; those of folders end in ``/``."""
    prefix = f"{path}/" if path else ""
    names: list[str] = []
    choosy = not path or not patterns.show_all
    with os.scandir(descriptor) as listing:
        for item in listing:
            folder = item.is_dir(follow_symlinks=False)
            if choosy and patterns.excludes(prefix + item.name, folder=folder):
                continue
            names.append(f"{item.name}/" if folder else item.name)
    if path and not names and not patterns.include:
        found.empty.append(path)
    names.sort(reverse=True)
    return names


def _go_on(root: str, folder: _Folder, found: _Found) -> str | None:
    """Go on in a folder after one that lies in it."""
    if folder.left[-1].endswith("/") and not path_problem(folder.prefix + folder.left[-1][:-1]):
        return folder.prefix + folder.left.pop()[:-1]
    with opened_folder(root, folder.path) as descriptor:
        return _add_files(root, folder, found, descriptor)


def _add_files(root: str, folder: _Folder, found: _Found, descriptor: int) -> str | None:
    """Add what lies directly in an opened folder, up to the first folder in it; return the path of that, if any."""
    prefix, left, stat_of = folder.prefix, folder.left, os.stat
    while left:
        name = left.pop()
        path = prefix + name
        if name[-1] == "/":
            path, name = path[:-1], name[:-1]
            if not path_problem(path):
                return path
        _add(found, root, path, name, stat_of(name, dir_fd=descriptor, follow_symlinks=False), descriptor)
    return None


def survey_file(folder: str, name: str) -> Survey:
    """Look at the one file of a file unit, directly below `folder`."""
    found = _Found()
    try:
        with opened_folder(folder) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        raise translate(error, os.path.join(folder, name)) from error
    _add(found, folder, name, name, status)
    return found.survey()


def _add(found: _Found, root: str, path: str, name: str, status: os.stat_result, folder: int | None = None) -> None:
    problem = path_problem(name)
    if not problem and stat.S_ISREG(status.st_mode):
        found.take(path, facts_of(status))
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
