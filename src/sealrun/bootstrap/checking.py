"""What `sealrun doctor` looks at, and what to do about what it finds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from sealrun.adapters.locking import holder
from sealrun.adapters.mounts import file_system_of, is_remote
from sealrun.bootstrap.parts import Parts
from sealrun.domain.errors import SealrunError
from sealrun.domain.watch import WatchSpec

_LOW_SPACE = 1 << 30
_FEW_WATCHES = 65_536
_WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    level: Literal["ok", "note", "error"]
    what: str
    detail: str


def check_everything(parts: Parts) -> list[Finding]:
    """Look at everything; probes write a few keys below ``probe/`` and remove them again."""
    return [
        *_check_state(parts),
        *(finding for watch in parts.watches for finding in _check_watch(watch)),
        *_check_limits(),
        *(finding for name in parts.registries for finding in _check_registry(parts, name)),
    ]


def _check_state(parts: Parts) -> Iterator[Finding]:
    try:
        identity = parts.journal.state_id
    except SealrunError as error:
        yield Finding(level="error", what="state", detail=str(error))
        return
    yield Finding(level="ok", what="state", detail=f"{parts.state}: journal {identity}")
    free = shutil.disk_usage(parts.state).free
    if free < _LOW_SPACE:
        detail = f"{parts.state}: {free >> 20} MiB free; the journal needs room to queue runs"
        yield Finding(level="error", what="space", detail=detail)
    process = holder(parts.state)
    running = f"running, process {process}" if process else "not running; start it with: sealrun daemon"
    yield Finding(level="ok" if process else "note", what="daemon", detail=running)


def _check_watch(watch: WatchSpec) -> Iterator[Finding]:
    what = f"watch {watch.name}"
    if not Path(watch.path).is_dir():
        detail = f"{watch.path}: is not a folder that is there; create it, or mount its disk"
        yield Finding(level="error", what=what, detail=detail)
        return
    if not os.access(watch.path, os.R_OK | os.X_OK):
        yield Finding(level="error", what=what, detail=f"{watch.path}: may not be read by this user")
        return
    kind = file_system_of(watch.path)
    how = "polled, since no events come from other machines" if is_remote(kind) else "watched by inotify, and rescanned"
    yield Finding(level="ok", what=what, detail=f"{watch.path} ({kind}): {how}")


def _check_limits() -> Iterator[Finding]:
    try:
        limit = int(_WATCH_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    if limit < _FEW_WATCHES:
        detail = (
            f"fs.inotify.max_user_watches is {limit}: many unsettled folders are then noticed by the rescan only; "
            f"raise it with: sysctl fs.inotify.max_user_watches={_FEW_WATCHES * 8}"
        )
        yield Finding(level="note", what="inotify", detail=detail)


def _check_registry(parts: Parts, name: str) -> Iterator[Finding]:
    spec, what = parts.registries[name], f"registry {name}"
    try:
        if spec.read_only:
            parts.consumer(name)
            yield Finding(level="ok", what=what, detail=f"{spec.shown_url}: readable; the settings say read-only")
            return
        report = parts.probe(name)
    except SealrunError as error:
        yield Finding(level="error", what=what, detail=f"{spec.shown_url}: {error}")
        return
    for problem in report.faults:
        yield Finding(level="error", what=what, detail=problem)
    for problem in report.races:
        yield Finding(level="note" if spec.single_writer else "error", what=what, detail=problem)
    for warning in report.warnings:
        yield Finding(level="note", what=what, detail=warning)
    if report.safe:
        detail = f"{spec.shown_url}: {', '.join(report.features)}; clock {report.clock_skew_s:+.0f} s from ours"
        yield Finding(level="ok", what=what, detail=detail)
