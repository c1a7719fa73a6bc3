"""Deleting from a directory store."""

# Plain strings below the root: this runs for every object, and a Path costs more than the call.
# ruff: noqa: PTH106, PTH108

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence

from sealrun.adapters.stores.posix_errors import translate
from sealrun.adapters.stores.posix_folders import Root
from sealrun.domain.address import Key
from sealrun.domain.errors import SealrunError
from sealrun.ports import Unfinished


class PosixRemover:
    """`ports.Remover` for a directory. Folders that run folders no longer need go too; see `prune`."""

    def __init__(self, root: str) -> None:
        """Delete below the absolute path `root`."""
        self._root = Root(root, make=False)

    def delete(self, keys: Sequence[Key]) -> Mapping[Key, str]:
        """Delete `keys`; see the port."""
        failures: dict[Key, str] = {}
        for key in keys:
            try:
                unlink(self._root, key)
            except SealrunError as error:
                failures[key] = str(error)
            else:
                prune(self._root, key)
        return failures

    def unfinished(self) -> Iterator[Unfinished]:
        """None: what is not complete waits in the stage, which the next opening clears."""
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """Nothing to end."""


def unlink(root: Root, key: Key) -> None:
    """Delete the file of `key`. Harmless when it is gone already."""
    path = root.place(key)
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        root.confirm()
    except OSError as error:
        raise translate(error, f"{path}: cannot be deleted") from error


def prune(root: Root, key: Key) -> None:
    """Remove the folders that `key` leaves empty, if no record can ever need them.

    Only a probe's own folder and projections in run folders: a record's folder must stay, since other processes
    may have made its entry durable once and will not do so again.
    """
    parts = key.split("/")
    if parts[0] == "probe":
        kept = 1
    elif parts[0] == "experiments" and parts[2:3] == ["runs"] and parts[4:5] == ["artifacts"]:
        kept = 4
    else:
        return
    with contextlib.suppress(OSError):  # not empty, or somebody else was faster
        for depth in range(len(parts) - 1, kept, -1):
            os.rmdir(f"{root.path}/{'/'.join(parts[:depth])}")
