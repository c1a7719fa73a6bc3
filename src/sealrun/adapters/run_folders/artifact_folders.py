"""Folders on this machine beside the registries: where artifacts are taken from, searched, and copied to."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from sealrun.domain.address import Digest
from sealrun.domain.errors import NoSpaceError, RunChangedError, UsageError

SearchDirs = Iterable[str | os.PathLike[str] | None] | Mapping[str, str | os.PathLike[str] | None]
_CHUNK = 4 << 20


def file_to_publish(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file that is there, or raise `UsageError`."""
    source = Path(path).expanduser().absolute()
    if source.is_dir():
        msg = f"{source}: is a folder; publish a file of it, or put the folder by its content (sealrun.put)"
        raise UsageError(msg)
    if not source.is_file():
        msg = f"{source}: is not there; nothing was published"
        raise UsageError(msg)
    return source


def folders_to_search(search_dirs: SearchDirs, section: str | None) -> tuple[Path, ...]:
    """Return the folders in the order in which they are looked at; None among them is left out.

    Of a mapping from sections to folders, the section's own comes first.
    """
    if isinstance(search_dirs, Mapping):
        own = [search_dirs[section]] if section is not None and section in search_dirs else []
        search_dirs = [*own, *(folder for key, folder in search_dirs.items() if key != section)]
    return tuple(Path(folder).expanduser().absolute() for folder in search_dirs if folder is not None)


def find_in(folders: Sequence[Path], name: str, *, recursive: bool) -> Path | None:
    """Return `name` from the first folder that has it directly; then, if asked, from the first that has it anywhere.

    Of several in one folder the newest wins. Folders that are not there have nothing.
    """
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    for folder in folders if recursive else ():
        hits = [Path(at) / name for at, inner, files in os.walk(folder) if name in files or name in inner]
        there = [hit for hit in hits if hit.exists()]
        if there:
            return max(there, key=lambda hit: (hit.stat().st_mtime_ns, str(hit)))
    return None


def not_found_text(name: str, section: str | None, registry: str, folders: Sequence[Path], *, recursive: bool) -> str:
    """Say what was looked for, and where."""
    lines = [
        "artifact not found",
        f"   name: {name}",
        *([] if section is None else [f"   section: {section}"]),
        f"   registry: {registry}",
        f"   recursive: {recursive}",
        "   searched:" if folders else "   searched: no folders (search_dirs names none)",
        *(f"     - {folder}{'' if folder.is_dir() else ' (is not there)'}" for folder in folders),
        "   see what is published with: sealrun latest-manifest",
    ]
    return "\n".join(lines)


def copy_to(source: Path, folder: Path, name: str, content: Digest) -> Path:
    """Copy the published file to a folder, over what has the name there: complete, or not at all."""
    final = folder.expanduser().absolute() / name
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, room = tempfile.mkstemp(prefix=f".{name[:100]}-", dir=final.parent)
        try:
            with open(handle, "wb") as target, source.open("rb") as opened:  # noqa: PTH123 - a descriptor, not a path
                copied = _copy_bytes(opened, target)
                target.flush()
                os.fsync(target.fileno())
            _check_same(copied, content, source, final)
            shutil.copystat(source, room)
            Path(room).replace(final)
        except BaseException:
            Path(room).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"{final}: cannot be written ({error.strerror}); the file is published all the same"
        raise NoSpaceError(msg) from error
    return final


def _check_same(copied: str, content: Digest, source: Path, final: Path) -> None:
    if copied != content:
        msg = f"{source}: changed after it was published; {final} was left as it was"
        raise RunChangedError(msg)


def _copy_bytes(source: BinaryIO, target: BinaryIO) -> str:
    hasher = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        hasher.update(chunk)
        target.write(chunk)
    return hasher.hexdigest()
