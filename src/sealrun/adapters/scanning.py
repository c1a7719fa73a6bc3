"""Listing a folder: what it holds, and the first thing in it that no run may hold."""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import msgspec

from sealrun.adapters.beneath import facts_of, opened_folder, printable, translate
from sealrun.domain.errors import RunRejectedError
from sealrun.domain.links import link_problem
from sealrun.domain.manifest import Link, path_problem
from sealrun.domain.patterns import Patterns
from sealrun.ports import FileFacts, Survey, Tree

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


class _Found(msgspec.Struct):
    files: dict[str, FileFacts]
    empty: list[str]
    links: list[Link]
    problems: list[tuple[str, str]]

    def take(self, path: str, facts: FileFacts) -> None:
        self.files[path] = facts

    def tree(self) -> Tree:
        return Tree(self.files, tuple(sorted(self.empty)), tuple(sorted(self.links)))


class _Compared(_Found):
    """Keeps only the files that are not what was `expected`: a second look must not need the memory of the first."""

    expected: Mapping[str, FileFacts]
    same: int = 0

    def take(self, path: str, facts: FileFacts) -> None:
        if self.expected.get(path) == facts:
            self.same += 1
        else:
            self.files[path] = facts


def survey_folder(root: str, patterns: Patterns) -> Survey:
    """List everything below `root` that `patterns` show. Links are not followed; excluded entries are not looked at.

    Memory grows with the result only. `RunChangedError` if something vanishes meanwhile.
    """
    found = _Found({}, [], [], [])
    _list_all(root, patterns, found)
    return Survey(found.tree(), min(found.problems)[1] if found.problems else None)


def is_unchanged(root: str, patterns: Patterns, tree: Tree) -> bool:
    """Tell whether everything below `root` is what an earlier survey found. Memory grows with the differences only."""
    found = _Compared({}, [], [], [], tree.files)
    _list_all(root, patterns, found)
    same = not found.problems and found.same == len(tree.files)
    return same and found.tree() == Tree({}, tree.directories, tree.links)


def _list_all(root: str, patterns: Patterns, found: _Found) -> None:
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            inner = _list_folder(root, path, patterns, found)
        except OSError as error:
            problem = translate(error, os.path.join(root, path) if path else root)
            if not isinstance(problem, RunRejectedError):
                raise problem from error
            found.problems.append((path, str(problem)))
        else:
            waiting.extend(inner)


def survey_file(folder: str, name: str) -> Survey:
    """Look at the one file of a file unit, directly below `folder`."""
    found = _Found({}, [], [], [])
    try:
        with opened_folder(folder) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        raise translate(error, os.path.join(folder, name)) from error
    _add(found, folder, name, name, status)
    return Survey(found.tree(), found.problems[0][1] if found.problems else None)


def _list_folder(root: str, path: str, patterns: Patterns, found: _Found) -> list[str]:
    """Add what lies directly in the folder at `path` to `found`; return the paths of the folders in it."""
    prefix = f"{path}/" if path else ""
    inner: list[str] = []
    shown = 0
    choosy = not path or not patterns.show_all
    with opened_folder(root, path) as descriptor, os.scandir(descriptor) as listing:
        for item in listing:
            name = prefix + item.name
            folder = item.is_dir(follow_symlinks=False)
            if choosy and patterns.excludes(name, folder=folder):
                continue
            shown += 1
            if folder and not path_problem(name):
                inner.append(name)
                continue
            _add(found, root, name, item.name, item.stat(follow_symlinks=False), descriptor)
    if path and not shown and not patterns.include:
        found.empty.append(path)
    return inner


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
    else:
        msg = f"{printable(os.path.join(root, path))}: {problem}; replace it by what it points to, or exclude it"
        found.problems.append((path, msg))
