"""Folders, as ``sealrun doctor`` looks at them: watches, the state folder, and room on their file systems."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from sealrun.adapters.run_folders.mounts import file_system_of, is_remote
from sealrun.adapters.run_folders.space import room_at
from sealrun.bootstrap.doctor.findings import Finding
from sealrun.domain.space import Room, has_few_inodes, has_next_to_no_inodes, share_of_inodes
from sealrun.domain.upkeep.mirroring import MirrorSpec
from sealrun.domain.watches.watch import WatchSpec

_MIB = 1 << 20
_GIB = 1 << 30
_LOOKED_AT = 200
"""So many candidates of a watch are tried for whether they can be read."""


def nearest(path: Path) -> Path:
    """Return the innermost folder above `path`, or itself, that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def check_rooms(places: Mapping[str, Path], least: int = _GIB) -> Iterator[Finding]:
    """Say how much room there is, once for each file system. Below `least` is a warning, next to nothing an error."""
    rooms: dict[str, tuple[Room, list[str]]] = {}
    for what, path in places.items():
        room = room_at(str(path))
        if room is not None:
            rooms.setdefault(room.mount, (room, []))[1].append(what)
    for room, names in rooms.values():
        yield judge_room(room, ", ".join(names), least)


def judge_room(room: Room, names: str, least: int = _GIB) -> Finding:
    """Judge what a file system has left for what lies on it."""
    unit, name = (_GIB, "GiB") if room.size >= _GIB else (_MIB, "MiB")
    free = f"{room.free / unit:.1f} of {room.size / unit:.1f} {name} free"
    inodes = f", {share_of_inodes(room):.0%} of the inodes free" if room.inodes else ""
    detail = f"{free}{inodes} (for {names})"
    if room.free < min(least, 64 * _MIB, room.size // 10) or has_next_to_no_inodes(room):
        return Finding(level="error", what="space", detail=detail, do=_MORE_ROOM)
    if room.free < min(least, room.size // 10) or has_few_inodes(room):
        return Finding(level="warning", what="space", detail=detail, do=_MORE_ROOM)
    return Finding(level="ok", what="space", detail=detail)


_MORE_ROOM = "make room; what sealrun could free: sealrun gc --dry-run, sealrun reclaim --dry-run"


def check_watch(watch: WatchSpec, candidates: Sequence[str]) -> Iterator[Finding]:
    """Look at a watched folder and at the first of its `candidates`: are they there, readable, writable if need be?"""
    what, path = f"watch {watch.name}", watch.path
    if not os.path.isdir(path):  # noqa: PTH112 - as it is
        said = "is a file, not a folder" if os.path.exists(path) else "is not there"  # noqa: PTH110 - as it is
        do = f"mount its disk, or: mkdir -p {shlex.quote(path)}"
        yield Finding(level="error", what=what, detail=f"{path}: {said}", do=do)
        return
    if not os.access(path, os.R_OK | os.X_OK):
        do = f"setfacl -m u:{_me()}:rx {shlex.quote(path)}, or add the user to the folder's group"
        yield Finding(level="error", what=what, detail=f"{path}: may not be read by this user ({_me()})", do=do)
        return
    yield _how_watched(what, path)
    yield from _candidates_readable(what, candidates)
    yield from _writable(watch, what)


def check_unreadable(watch: WatchSpec, folders: Iterable[str]) -> Iterator[Finding]:
    """Name folders above the candidates that may not be listed: nothing in them is seen."""
    for folder in folders:
        detail = f"{folder}: may not be listed by this user ({_me()}), so no run in it is seen"
        do = f"setfacl -m u:{_me()}:rx {shlex.quote(folder)}, if there are runs in it"
        yield Finding(level="warning", what=f"watch {watch.name}", detail=detail, do=do)


def _how_watched(what: str, path: str) -> Finding:
    kind = file_system_of(path)
    how = "polled, since no events come from other machines" if is_remote(kind) else "watched by inotify, and rescanned"
    return Finding(level="ok", what=what, detail=f"{path} ({kind}): {how}")


def _candidates_readable(what: str, candidates: Iterable[str]) -> Iterator[Finding]:
    shut = [path for path in islice(candidates, _LOOKED_AT) if not os.access(path, os.R_OK)]
    if shut:
        detail = f"{len(shut)} of the first runs may not be read by this user ({_me()}), such as {shut[0]}"
        do = "give it read access; for runs to come, by a default ACL: setfacl -d -m u:" + _me() + ":rX FOLDER"
        yield Finding(level="warning", what=what, detail=detail, do=do)


def _writable(watch: WatchSpec, what: str) -> Iterator[Finding]:
    asked = [f'seal = "{watch.seal}"'] if watch.seal == "in-place" else []
    asked += ["reclaim"] if watch.reclaim is not None else []
    if asked and not os.access(watch.path, os.W_OK | os.X_OK):
        detail = f"{watch.path}: may not be written to by this user ({_me()}), as {' and '.join(asked)} needs"
        do = f"setfacl -m u:{_me()}:rwx {shlex.quote(watch.path)} (a unit needs ReadWritePaths= as well)"
        yield Finding(level="error", what=what, detail=detail, do=do)


def check_nested(watches: Sequence[WatchSpec]) -> Iterator[Finding]:
    """Name watches that lie inside each other: allowed, since they take different runs, and often not meant."""
    for inner in watches:
        for outer in watches:
            if inner is not outer and Path(outer.path) in Path(inner.path).parents:
                detail = f"{inner.path} lies inside {outer.path}, which the watch {outer.name} takes by {outer.glob!r}"
                do = f"if both should take it: nothing; else narrow the `glob` of {outer.name}"
                yield Finding(level="note", what=f"watch {inner.name}", detail=detail, do=do)


def check_mirrors(mirrors: Iterable[MirrorSpec]) -> Iterator[Finding]:
    """Look at where mirrors are filled: there, or to be made, and writable."""
    for mirror in mirrors:
        there, what = nearest(Path(mirror.path)), f"mirror {mirror.name}"
        if os.access(there, os.W_OK | os.X_OK) and there.is_dir():
            yield Finding(level="ok", what=what, detail=f"{mirror.path} ({file_system_of(str(there))}): writable")
            continue
        do = f"setfacl -m u:{_me()}:rwx {shlex.quote(str(there))} (a unit needs ReadWritePaths= as well)"
        yield Finding(level="error", what=what, detail=f"{there}: may not be written to by this user ({_me()})", do=do)


def check_state_folder(state: Path) -> Iterator[Finding]:
    """Look at where the state folder lies: locks and the journal want a disk of this machine."""
    kind = file_system_of(str(nearest(state)))
    if is_remote(kind):
        detail = f"{state} is on {kind}, where locks and the journal's writes are not dependable"
        do = 'set `state` to a folder on a local disk, such as state = "/var/lib/sealrun"'
        yield Finding(level="warning", what="state", detail=detail, do=do)
    if not os.access(nearest(state), os.W_OK | os.X_OK):
        detail = f"{state}: may not be written to by this user ({_me()})"
        do = f"run this as the service's user, or: chown -R {_me()} {shlex.quote(str(state))}"
        yield Finding(level="error", what="state", detail=detail, do=do)


def _me() -> str:
    import pwd  # noqa: PLC0415 - for messages only

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
