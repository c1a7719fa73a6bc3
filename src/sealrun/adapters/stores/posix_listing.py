"""Walks a directory store in the order of its keys."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from sealrun.adapters.stores.posix_errors import translate
from sealrun.adapters.stores.posix_folders import PRIVATE, Root
from sealrun.domain.address import Key
from sealrun.ports import ObjectStat


def walk(root: Root, prefix: str) -> Iterator[ObjectStat]:
    """Describe every file below `prefix` in UTF-8 byte order of the keys; memory for one folder per level.

    A file or folder that vanishes meanwhile is left out. Any other error is raised: an answer is complete.
    """
    below = root.below(prefix)
    levels = [(prefix, iter(_names(root, below, top=not prefix)))]
    while levels:
        folder, names = levels[-1]
        name = next(names, None)
        if name is None:
            levels.pop()
        elif name.endswith("/"):
            inner = folder + name
            levels.append((inner, iter(_names(root, f"{root.path}/{inner[:-1]}", top=False))))
        else:
            found = _describe(root, folder + name)
            if found is not None:
                yield found


def folders(root: Root, prefix: str) -> Iterator[str]:
    """Names of the folders directly below `prefix` that hold a file somewhere, sorted.

    A folder exists because of a key in it, as in a bucket: one that was emptied is not listed.
    """
    below = root.below(prefix)
    for name in sorted(name[:-1] for name in _names(root, below, top=not prefix) if name.endswith("/")):
        if _holds_a_file(root, f"{below}/{name}"):
            yield name


def _names(root: Root, folder: str, *, top: bool) -> list[str]:
    """Return the names in `folder`, those of folders with a slash: sorted like that, they sort as keys do.

    Comparing code points gives the order of UTF-8 bytes.
    """
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if (top and name == PRIVATE) or not _is_utf8(name):
                    continue
                names.append(f"{name}/" if entry.is_dir() else name)
    except (FileNotFoundError, NotADirectoryError):
        root.confirm()
        return []
    except OSError as error:
        raise translate(error, f"{folder}: cannot be listed") from error
    names.sort()
    return names


def _is_utf8(name: str) -> bool:
    """Tell whether a file name can be part of a key; other files are not ours."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _holds_a_file(root: Root, folder: str) -> bool:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name in _names(root, here, top=False):
            if not name.endswith("/"):
                return True
            waiting.append(f"{here}/{name[:-1]}")
    return False


def _describe(root: Root, key: str) -> ObjectStat | None:
    try:
        return describe(root, Key(key))
    except OSError as error:
        raise translate(error, f"{root.path}/{key}: cannot be looked at") from error


def describe(root: Root, key: Key) -> ObjectStat | None:
    """Return what the file system says of `key`; None if there is no such file. Raises `OSError`."""
    try:
        facts = os.stat(f"{root.path}/{key}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return ObjectStat(key, facts.st_size, facts.st_mtime)
