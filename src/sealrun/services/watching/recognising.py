"""Which framework made a run: what the presets ask for, read from a folder as it is, or as it was sealed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

from sealrun.domain.errors import RunChangedError
from sealrun.domain.presets import Recognised, recognise
from sealrun.domain.records import sha256
from sealrun.domain.runs.manifest import Entry, Manifest
from sealrun.ports import FileFacts, RunFolder, Tree


class FolderLook:
    """`presets.Look` at a folder that may still change: what has vanished counts as absent."""

    def __init__(self, folder: RunFolder, tree: Tree) -> None:
        """Look at `folder`, whose files are those of `tree`."""
        self._folder = folder
        self._tree = tree

    @property
    def files(self) -> Mapping[str, FileFacts]:
        """Every file, by its path."""
        return self._tree.files

    @cached_property
    def top(self) -> Collection[str]:
        """Names directly at the top."""
        return {path.partition("/")[0] for path in self._tree.files}

    @property
    def folders(self) -> Collection[str]:
        """Empty folders."""
        return self._tree.directories

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a whole file of at most `limit` bytes."""
        facts = self._tree.files.get(path)
        return None if facts is None or facts.size > limit else self._folder.read_small(path, limit)

    def start(self, path: str, length: int) -> bytes | None:
        """Return at most the first `length` bytes."""
        return self._part(path, 0, length) if path in self._tree.files else None

    def end(self, path: str, length: int) -> bytes | None:
        """Return at most the last `length` bytes, of those that were there when the folder was listed."""
        facts = self._tree.files.get(path)
        return None if facts is None else self._part(path, max(0, facts.size - length), min(length, facts.size))

    def _part(self, path: str, offset: int, length: int) -> bytes | None:
        return self._folder.read_part(path, offset, length)


class SealedLook(FolderLook):
    """`presets.Look` at a folder that was hashed: it shows the bytes that were, or raises `RunChangedError`."""

    def __init__(self, folder: RunFolder, tree: Tree, manifest: Manifest) -> None:
        """Look at `folder` as `manifest` describes it."""
        super().__init__(folder, tree)
        self._manifest = manifest

    def _entry(self, path: str) -> Entry:
        entry = self._manifest.find(path)
        if entry is None:
            raise KeyError(path)
        return entry

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a whole file of at most `limit` bytes."""
        body = super().read(path, limit)
        if body is not None and sha256(body) != self._entry(path).sha256:
            msg = f"{self._folder.path!r}: {path} changed after it was hashed; settle again"
            raise RunChangedError(msg)
        return body

    def _part(self, path: str, offset: int, length: int) -> bytes | None:
        """A part has no digest: the file must have been the one that was hashed before it was read, and after."""
        source = self._folder.source(self._entry(path), self._tree.files[path])
        with source.open() as opened:
            opened.seek(offset)
            body = opened.read(length)
        source.open().close()
        return body


def recognise_sealed(folder: RunFolder, tree: Tree, manifest: Manifest, preset: str) -> tuple[Recognised, SealedLook]:
    """Say which frameworks a hashed run is of, and return the look by which their facts are read."""
    look = SealedLook(folder, tree, manifest)
    return (recognise(look, preset) if folder.unit == "folder" else Recognised()), look
