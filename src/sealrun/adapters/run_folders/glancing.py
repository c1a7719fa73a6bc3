"""The names below a folder, as far as a first glance goes: bounded, so that it is quick in any project."""

# ruff: noqa: PTH118 - names go to and from the kernel as they are

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

_HIDDEN = frozenset({".hydra", ".nextflow", ".snakemake", ".sealrun"})
"""The only hidden folders that are entered, and no deeper."""
_NEVER = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env"})
_REGISTRY = "registry.json"
_MAX_IN_FOLDER = 2000


def list_names(root: str, most: int = 50_000, depth: int = 7) -> list[str]:
    """Return paths below `root`, those of folders ending in ``/``: the upper levels first, `most` at most.

    Of a folder with very many entries the last 2,000 by name count: names often begin with a time. Links, what cannot
    be read, names that are not UTF-8, environments of Python, and registries of sealrun are left out.
    """
    found: list[str] = []
    waiting = deque([("", 0)])
    while waiting and len(found) < most:
        folder, level = waiting.popleft()
        entries = list(_entries(os.path.join(root, folder)))
        if (_REGISTRY, False) in entries and ("store", True) in entries:
            continue
        for name, is_folder in sorted(entries)[-_MAX_IN_FOLDER:]:
            path = f"{folder}{name}"
            found.append(f"{path}/" if is_folder else path)
            inner = is_folder and level < depth and _is_entered(folder, name)
            if inner:
                waiting.append((f"{path}/", level + 1))
    return found[:most]


def _is_entered(folder: str, name: str) -> bool:
    if folder.rpartition("/")[0].rpartition("/")[2] in _HIDDEN:
        return False
    return name in _HIDDEN if name.startswith(".") else name not in _NEVER


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder; nothing for what cannot be listed."""
    try:
        with os.scandir(folder) as listing:
            for item in listing:
                if item.name.isprintable() and not item.is_symlink():
                    yield item.name, item.is_dir(follow_symlinks=False)
    except OSError:
        return
