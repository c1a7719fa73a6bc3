"""Looking at a folder before there are settings: what to watch in it, and how many runs are there already."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sealrun.adapters.run_folders.glancing import list_names
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.watches.proposing import Proposal, names_for, propose
from sealrun.domain.watches.watch import WatchSpec
from sealrun.settings.composing import WatchLines

DEFAULT_PORT = 9478
_PORTS = 20


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A watch to be written. `found` and `by`: what was recognised and by which file; `there`: so many folders now."""

    lines: WatchLines
    folder: Path
    found: str | None = None
    by: str | None = None
    there: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `sealrun init` is going to write, and what it could not make a watch of."""

    watches: tuple[Planned, ...]
    notes: tuple[str, ...] = ()


def plan_watches(folder: Path, watch: Path | None, name: str, experiment: str | None) -> Plan:
    """Look below `watch`, or else below `folder`, and plan a watch for each place where runs of a framework lie.

    Where nothing is recognised: one watch called `name` of `watch`, or of ``outbox`` in `folder`. Reads names only.
    """
    base = folder.absolute()
    looked_at = watch.absolute() if watch is not None else base
    found = propose(list_names(str(looked_at)), inside=watch is not None)
    project = looked_at.resolve().name
    if not found.watches:
        alone = watch.absolute() if watch is not None else base / "outbox"
        lines = WatchLines(name=name, path=_written(alone, base), experiment=experiment or name)
        return Plan(watches=(_counted(lines, alone),), notes=found.notes)
    names = names_for(found.watches, project, experiment)
    planned = (_planned(each, looked_at, base, *named) for each, named in zip(found.watches, names, strict=True))
    return Plan(watches=tuple(planned), notes=found.notes)


def free_listen() -> str:
    """Return the first address of this machine from the usual port on where nobody listens now."""
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
            return f"127.0.0.1:{port}"
    return f"127.0.0.1:{DEFAULT_PORT}"


def _planned(proposal: Proposal, looked_at: Path, base: Path, name: str, experiment: str) -> Planned:
    folder = looked_at / proposal.path
    lines = WatchLines(
        name=name,
        path=_written(folder, base),
        experiment=experiment,
        glob=proposal.glob,
        preset=proposal.preset,
        settle=proposal.settle,
        exclude=proposal.exclude,
    )
    return _counted(lines, folder, proposal.found, str(looked_at / proposal.by))


def _counted(lines: WatchLines, folder: Path, found: str | None = None, by: str | None = None) -> Planned:
    """Count what the watch would take, and say so above it."""
    spec = WatchSpec(name="init", path=str(folder), experiment="init", registries=(), glob=lines.glob)
    there = len(LocalFolderSource(spec, NoHashes()).candidates() or ())
    remarks: Sequence[str] = []
    if found is not None and by is not None:
        remarks = [f"Found here: runs of {found}, the first by {Path(by).relative_to(folder)}"]
    if there:
        remarks = [
            *remarks,
            f"Folders that were there when this was written: {there}. Those that are complete are runs, too.",
        ]
    written = msgspec.structs.replace(lines, remarks=tuple(remarks))
    return Planned(lines=written, folder=folder, found=found, by=by, there=there)


def _written(path: Path, base: Path) -> str:
    """Return the path to write: relative where it lies inside the folder, so that all of it can be moved."""
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
