"""The deleting room: the only place from which anything below a watch root is renamed or deleted.

The name tells how far a deletion is, so a crash needs no record elsewhere::

    run-7 ── set aside ──> .run-7.sealrun-reclaim ── begin ──> .run-7.sealrun-reclaimed ── files, folders ──> gone
          <── put back ───

A file unit goes in one step, so it never bears the second name.
"""

# ruff: noqa: PTH106, PTH118, PTH119, PTH120 - names go to and from the kernel as they are

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from sealrun.adapters.run_folders.beneath import facts_of, opened_folder, printable, split, translate
from sealrun.adapters.run_folders.renaming import rename_new
from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.stores.posix_durable import sync_folder
from sealrun.domain.errors import ConflictError, NoSpaceError, RunChangedError, RunRejectedError
from sealrun.domain.patterns import OWN_FOLDER
from sealrun.domain.runs.links import is_left_out
from sealrun.domain.upkeep.reclaiming import DONE_MARKER
from sealrun.ports import Contents, FileFacts, SetAside, Tree

_ASIDE = ".sealrun-reclaim"
_BEGUN = ".sealrun-reclaimed"
_GONE = {errno.ENOENT, errno.ENOTDIR}


class LocalSourceRemover:
    """`ports.SourceRemover` on this machine."""

    def __init__(self, workers: int | None = None) -> None:
        """Hash with `workers` threads."""
        self._workers = workers

    def set_aside(self, path: str) -> SetAside:
        """Give a candidate its hidden name; see the port. A link is refused: nobody knows what it leads to."""
        aside = SetAside(path=path, hidden=_hidden(path, _ASIDE), begun=False)
        try:
            mode = os.lstat(path).st_mode
        except OSError as error:
            raise _problem(error, path) from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            msg = f"{printable(path)}: is neither a folder nor a file; it is left alone"
            raise RunRejectedError(msg)
        _rename(path, aside.hidden)
        return aside

    def put_back(self, aside: SetAside) -> None:
        """Give it its own name again; see the port."""
        _rename(aside.hidden, aside.path)

    def leftovers(self, root: str, levels: int) -> Sequence[SetAside]:
        """Everything that stands aside; see the port. A folder that cannot be listed has none that could be helped."""
        found = [aside for folder in _folders(root, levels - 1) for aside in _asides(folder)]
        return sorted(found, key=lambda aside: (aside.path, aside.hidden))

    def real(self, path: str) -> str:
        """Return the path without links on the way; see the port."""
        folder, name = os.path.split(path)
        return os.path.join(os.path.realpath(folder), name)

    def look(self, path: str, unit: Literal["folder", "file"]) -> Tree:
        """List everything in a candidate; see the port."""
        tree = LocalFolder(path, unit=unit, hashes=NoHashes()).scan()
        if unit == "folder":
            _markers(path)
        return tree

    def contents(self, aside: SetAside, unit: Literal["folder", "file"]) -> Contents:
        """List everything and digest every byte; see the port."""
        folder = LocalFolder(aside.hidden, unit=unit, hashes=NoHashes(), workers=self._workers)
        tree = folder.scan()
        hashed = folder.hash(tree)
        if unit == "file":
            name = os.path.basename(aside.path)
            entries = [msgspec.structs.replace(entry, path=name) for entry in hashed.entries]
            facts = dict.fromkeys([name], next(iter(tree.files.values())))
            return Contents(entries=tuple(entries), links=(), directories=(), facts=facts, markers={})
        return Contents(
            entries=tuple(sorted(hashed.entries)),
            links=tree.links,
            directories=tree.directories,
            facts=tree.files,
            markers=_markers(aside.hidden),
        )

    def begin(self, aside: SetAside) -> SetAside:
        """Mark it as one whose deletion has begun; see the port. A file stays as it is: one step deletes it."""
        if not stat.S_ISDIR(_mode(aside.hidden)):
            return aside
        for folder, _, _ in os.walk(aside.hidden):
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                inside = os.path.relpath(folder, aside.hidden)
                msg = f"nothing may be deleted from {printable(inside)} in it; give whoever runs sealrun the right to"
                raise RunRejectedError(msg)
        begun = SetAside(path=aside.path, hidden=_hidden(aside.path, _BEGUN), begun=True)
        _rename(aside.hidden, begun.hidden)
        return begun

    def remove(self, aside: SetAside, contents: Contents) -> Sequence[str]:
        """Delete what `contents` lists; see the port."""
        if not stat.S_ISDIR(_mode(aside.hidden)):
            kept = _remove_file(aside, contents)
        else:
            removal = _Removal(aside.hidden)
            kept = removal.everything(contents)
        sync_folder(os.path.dirname(aside.path))
        return kept


class _Removal:
    """One folder on its way out. Every step is beneath a descriptor of the step before; no link is followed."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._kept: list[str] = []
        self._shared: set[int] = set()

    def everything(self, contents: Contents) -> list[str]:
        """Unlink files and links, then remove folders, which only succeeds where they are empty."""
        for path, facts in sorted({**contents.facts, **contents.markers}.items()):
            self._file(path, facts)
        for link in contents.links:
            self._link(link.path, link.target)
        if not self._kept:
            self._empty("")
        return self._kept

    def _file(self, path: str, facts: FileFacts) -> None:
        folder, name = split(path)
        try:
            with opened_folder(self._root, folder) as descriptor:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode) or not self._same(facts, facts_of(status)):
                    self._kept.append(f"{path!r} changed after it was read")
                    return
                os.unlink(name, dir_fd=descriptor)
        except OSError as error:
            self._keep(path, error)
        else:
            self._shared.add(facts.inode)

    def _same(self, known: FileFacts, found: FileFacts) -> bool:
        """Unlinking one of several names of a file changes its ctime for the others."""
        if known.inode in self._shared:
            known = msgspec.structs.replace(known, ctime_ns=found.ctime_ns)
        return known == found

    def _link(self, path: str, target: str) -> None:
        folder, name = split(path)
        try:
            with opened_folder(self._root, folder) as descriptor:
                if os.readlink(name, dir_fd=descriptor) != target:
                    self._kept.append(f"{path!r} changed after it was read")
                    return
                os.unlink(name, dir_fd=descriptor)
        except OSError as error:
            self._keep(path, error)

    def _empty(self, path: str) -> None:
        """Remove the folder at `path`, inner ones first. Whatever else is found in it stays, and it, too."""
        try:
            with opened_folder(self._root, path) as descriptor, os.scandir(descriptor) as listing:
                items = [(item.name, item.is_dir(follow_symlinks=False), item.is_symlink()) for item in listing]
            for name, folder, link in sorted(items):
                inner = f"{path}/{name}" if path else name
                if folder:
                    self._empty(inner)
                elif link and is_left_out(inner):
                    self._link_away(inner)
                else:
                    self._kept.append(f"{inner!r} appeared after the folder was read")
            if not self._kept:
                self._rmdir(path)
        except OSError as error:
            self._keep(path, error)

    def _link_away(self, path: str) -> None:
        """Unlink what was never part of the run."""
        folder, name = split(path)
        with opened_folder(self._root, folder) as descriptor:
            os.unlink(name, dir_fd=descriptor)

    def _rmdir(self, path: str) -> None:
        if not path:
            os.rmdir(self._root)
            return
        folder, name = split(path)
        with opened_folder(self._root, folder) as descriptor:
            os.rmdir(name, dir_fd=descriptor)

    def _keep(self, path: str, error: OSError) -> None:
        if error.errno not in _GONE:  # somebody else deleted it: that is what was wanted
            self._kept.append(f"{path!r} cannot be deleted ({os.strerror(error.errno or 0)})")


def _remove_file(aside: SetAside, contents: Contents) -> list[str]:
    (facts,) = contents.facts.values()
    folder, name = os.path.split(aside.hidden)
    try:
        with opened_folder(os.path.realpath(folder)) as descriptor:
            if facts_of(os.stat(name, dir_fd=descriptor, follow_symlinks=False)) != facts:
                return [f"{printable(aside.path)} changed after it was read"]
            os.unlink(name, dir_fd=descriptor)
    except OSError as error:
        raise _problem(error, aside.path) from error
    return []


def _hidden(path: str, ending: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{ending}")


def _rename(source: str, target: str) -> None:
    try:
        rename_new(source, target)
        sync_folder(os.path.dirname(target))
    except OSError as error:
        if error.errno == errno.EEXIST:
            msg = f"{printable(target)}: is there already, so {printable(source)} keeps its name; move one of them away"
            raise ConflictError(msg) from error
        raise _problem(error, source) from error


def _problem(error: OSError, path: str) -> RunChangedError | NoSpaceError:
    if error.errno in _GONE:
        return RunChangedError(f"{printable(path)}: is not there any more")
    reason = os.strerror(error.errno or 0)
    todo = "check who may write beside it"
    if error.errno == errno.ENAMETOOLONG:
        todo = f"the name it has while it is deleted is {len(_ASIDE) + 1} letters longer: give it a shorter one"
    return NoSpaceError(f"{printable(path)}: cannot be renamed or deleted ({reason}); {todo}")


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError as error:
        raise _problem(error, path) from error


def _folders(root: str, levels: int) -> Iterator[str]:
    """Folders `levels` below `root`, hidden ones and links left out, as for candidates."""
    if levels <= 0:
        yield root
        return
    try:
        with os.scandir(root) as listing:
            inner = [item.path for item in listing if item.is_dir(follow_symlinks=False) and item.name[:1] != "."]
    except OSError:
        return
    for folder in inner:
        yield from _folders(folder, levels - 1)


def _asides(folder: str) -> Iterator[SetAside]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - as above
    except OSError:
        return
    for name in names:
        for ending, begun in ((_ASIDE, False), (_BEGUN, True)):
            own = name.removeprefix(".").removesuffix(ending)
            if name == f".{own}{ending}" and own:
                yield SetAside(path=os.path.join(folder, own), hidden=os.path.join(folder, name), begun=begun)


def _markers(root: str) -> dict[str, FileFacts]:
    """The marker that may go, if it is all that sealrun's own folder holds; `RunRejectedError` otherwise."""
    found: dict[str, FileFacts] = {}
    try:
        with opened_folder(root, OWN_FOLDER) as descriptor, os.scandir(descriptor) as listing:
            for item in listing:
                path, status = f"{OWN_FOLDER}/{item.name}", item.stat(follow_symlinks=False)
                if path != DONE_MARKER or not stat.S_ISREG(status.st_mode):
                    msg = f"holds files that no registry has: {path!r}"
                    raise RunRejectedError(msg)
                found[path] = facts_of(status)
    except FileNotFoundError:
        return {}
    except (NotADirectoryError, PermissionError) as error:
        msg = f"holds files that no registry has: {OWN_FOLDER!r} is no folder that may be read"
        raise RunRejectedError(msg) from error
    except OSError as error:
        raise translate(error, os.path.join(root, OWN_FOLDER)) from error
    return found
