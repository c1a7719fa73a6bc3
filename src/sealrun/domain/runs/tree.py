"""A run's files as a tree of folders: what a path means there, and what lies in a folder."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sealrun.domain.runs.links import Astray, follow
from sealrun.domain.runs.manifest import Entry, Manifest


class Node(msgspec.Struct, frozen=True, gc=False):
    """What stands at a path: a folder, or with an `entry` a file. `target` is what the link says that leads there."""

    path: str
    entry: Entry | None = None
    target: str | None = None


class RunTree:
    """The tree of one manifest. Never changes, so any number of threads may look into it."""

    def __init__(self, manifest: Manifest) -> None:
        """Index a manifest; costs time and memory by the number of its entries, once."""
        self._entries = {entry.path: entry for entry in manifest.entries}
        self._links = {link.path: link.target for link in manifest.links}
        self._folders: dict[str, list[str]] = {"": []}
        for folder in manifest.directories:
            self._add_folder(folder)
        for path in (*self._entries, *self._links):
            parent = path.rpartition("/")[0]
            self._add_folder(parent)
            self._folders[parent].append(path)

    def __len__(self) -> int:
        """Number of files."""
        return len(self._entries)

    def find(self, path: str) -> Node | None:
        """Return what stands at `path`, links followed as the kernel does, or None. The empty path is the root."""
        entry = self._entries.get(path)
        if entry is not None:
            return Node(path, entry)
        if path in self._folders:
            return Node(path)
        if not self._links:
            return None
        place = self._follow(path)
        if place is None:
            return None
        target = self._links.get(path)
        if place in self._entries:
            return Node(path, self._entries[place], target)
        return Node(path, None, target) if place in self._folders else None

    def children(self, path: str) -> Iterator[Node]:
        """Yield what lies directly in the folder at `path`, sorted by name; nothing where there is no folder.

        Links to folders, and those that lead nowhere, are left out: whoever walks the tree meets every folder once and
        can read every file. `find` follows them all the same.
        """
        place = path if path in self._folders else self._follow(path)
        inside = f"{path}/" if path else ""
        for child in sorted(self._folders.get(place, ()) if place is not None else ()):
            shown = inside + child.rpartition("/")[2]
            if child in self._folders:
                yield Node(shown)
            elif child in self._entries:
                yield Node(shown, self._entries[child])
            elif (end := self._follow(child)) in self._entries:
                yield Node(shown, self._entries[end or ""], self._links[child])

    def _add_folder(self, folder: str) -> None:
        """Add a folder, and those above it, to the ones that hold them."""
        inside: list[str] = []
        while folder not in self._folders:
            self._folders[folder] = inside
            inside = [folder]
            folder = folder.rpartition("/")[0]
        self._folders[folder] += inside

    def _follow(self, path: str) -> str | None:
        """The path without links, or None if they lead nowhere; a manifest's links never leave the run."""
        place = follow([], path, self._links)
        return None if isinstance(place, Astray) else place
