"""Listing a folder: what it holds, and the first thing in it that no run may hold."""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
import stat

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


def survey_folder(root: str, patterns: Patterns) -> Survey:
    """List everything below `root` that `patterns` show. Links are not followed; excluded entries are not looked at.

    Memory grows with the result only. `RunChangedError` if something vanishes meanwhile.
    """
    found = _Found({}, [], [], [])
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
    tree = Tree(found.files, tuple(sorted(found.empty)), tuple(sorted(found.links)))
    return Survey(tree, min(found.problems)[1] if found.problems else None)


def survey_file(folder: str, name: str) -> Survey:
    """Look at the one file of a file unit, directly below `folder`."""
    found = _Found({}, [], [], [])
    try:
        with opened_folder(folder) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError as error:
        raise translate(error, os.path.join(folder, name)) from error
    _add(found, folder, name, name, status)
    return Survey(Tree(found.files, (), ()), found.problems[0][1] if found.problems else None)


def _list_folder(root: str, path: str, patterns: Patterns, found: _Found) -> list[str]:
    """Add what lies directly in the folder at `path` to `found`; return the paths of the folders in it."""
    prefix = f"{path}/" if path else ""
    inner: list[str] = []
    shown = 0
    with opened_folder(root, path) as descriptor, os.scandir(descriptor) as listing:
        for item in listing:
            name = prefix + item.name
            folder = item.is_dir(follow_symlinks=False)
            if patterns.excludes(name, folder=folder):
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
    if problem:
        found.problems.append((path, f"{printable(os.path.join(root, path))}: {problem}; rename or exclude it"))
    elif stat.S_ISREG(status.st_mode):
        found.files[path] = facts_of(status)
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
