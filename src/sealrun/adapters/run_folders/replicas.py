"""Plain folders in which a run's files may still be: what was dropped, a mirror, a restored copy. None is trusted."""

# ruff: noqa: PTH113, PTH118, PTH119, PTH120 - names go to and from the kernel as they are

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from sealrun.adapters.run_folders.beneath import opened_folder, split
from sealrun.adapters.run_folders.run_folder import LocalSource
from sealrun.domain.address import is_name
from sealrun.domain.paths import path_problem
from sealrun.domain.runs.manifest import Entry
from sealrun.ports import Source


class FolderReplica:
    """`ports.Replica`: a folder laid out ``EXPERIMENT/RUN_ID/PATH``, such as a mirror."""

    def __init__(self, name: str, root: str) -> None:
        """Look below the absolute path `root`."""
        self.name = name
        self._root = root

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        """Return the file of that path and size; see the port. No link is followed below the root."""
        if not is_name(experiment) or not is_name(run_id):
            return None
        return _file(os.path.join(self._root, experiment, run_id), entry)


class OriginalFolders:
    """`ports.Replica`: the folders from which this machine sealed its runs, as far as they are still there."""

    def __init__(self, name: str, folders_of: Callable[[str, str], Iterable[str]]) -> None:
        """Ask `folders_of(experiment, run_id)` for the run's folders, or the one file of a file unit."""
        self.name = name
        self._folders_of = folders_of

    def find(self, experiment: str, run_id: str, entry: Entry) -> Source | None:
        """Return the first file of that path and size; see the port."""
        for path in self._folders_of(experiment, run_id):
            root = os.path.dirname(path) if os.path.basename(path) == entry.path and os.path.isfile(path) else path
            found = _file(root, entry)
            if found is not None:
                return found
        return None


def _file(root: str, entry: Entry) -> Source | None:
    """Return an entry's file below `root`, if one of its size is there."""
    if path_problem(entry.path) is not None:
        return None
    folder, name = split(entry.path)
    try:
        with opened_folder(root, folder) as descriptor:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return None  # not there, or not to be read by us: either way no replica of this file
    return LocalSource(root, entry, None) if status.st_size == entry.size else None
