"""What a path in a watched folder still waits for: said without a journal, and nothing is hashed or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource, open_alone
from sealrun.adapters.run_folders.writers import ProcWriters
from sealrun.domain.errors import UsageError
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.watching.detecting import Explanation, explain


def explain_path(path: str, watches: Sequence[WatchSpec], name: str | None = None) -> Explanation:
    """Say what is known about a path's completeness, by the rules of the watch of that name, or that it lies in.

    A path in no watch is judged by the rules that a watch has if its settings say nothing. `UsageError` for a watch
    that there is not.
    """
    real = os.path.realpath(path)
    watch = watch_of(real, watches, name)
    if watch is None:
        watch = WatchSpec(name="none", path=str(Path(real).parent), experiment="none", registries=())
        folder = open_alone(path, NoHashes())
    else:
        folder = LocalFolderSource(watch, NoHashes()).open(real)
    return explain(folder, watch.rules, ProcWriters(), SystemClock())


def watch_of(path: str, watches: Sequence[WatchSpec], name: str | None = None) -> WatchSpec | None:
    """Return the watch of that name, or that `path` lies in; None if it lies in none."""
    for watch in watches:
        if watch.name == name or (name is None and path.startswith(watch.path.rstrip("/") + "/")):
            return watch
    if name is not None:
        msg = f"no watch {name!r} in the settings (they name: {', '.join(each.name for each in watches) or 'none'})"
        raise UsageError(msg)
    return None
