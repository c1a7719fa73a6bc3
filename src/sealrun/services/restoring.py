"""Restore a run, or one file of it, on this machine: verified, and complete or not there."""

from __future__ import annotations

from collections.abc import Callable

from sealrun.domain.manifest import ARTIFACTS, MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry
from sealrun.ports import Destination
from sealrun.services.pouring import Chunks, pour
from sealrun.services.reading import Reader, RunView


def restore(
    reader: Reader,
    view: RunView,
    destination: Destination,
    *,
    sealed: bool,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Write the run's files, executable bits, empty folders and links, then make them visible at once.

    With `sealed` the whole run folder: records beside ``artifacts/``, so that ``sha256sum -c MANIFEST.sha256`` passes
    there. `advance` is told bytes. `DigestMismatchError`: a stored file is damaged; nothing is left behind.
    """
    inside = ARTIFACTS if sealed else ""

    def one(entry: Entry, chunks: Chunks) -> None:
        destination.write(inside + entry.path, chunks, executable=entry.executable)
        if advance is not None:
            advance(entry.size)

    try:
        if sealed:
            for name, body in (
                (RUN_FILE, view.run_json),
                (MANIFEST_FILE, view.manifest_json),
                (SUMS_FILE, view.sums.encode()),
            ):
                destination.write(name, [body], executable=False)
            destination.folder(ARTIFACTS.rstrip("/"))
        pour(reader, view, view.manifest.entries, one)
        for folder in view.manifest.directories:
            destination.folder(inside + folder)
        for link in view.manifest.links:
            destination.link(inside + link.path, link.target)
        destination.commit()
    except BaseException:
        destination.abandon()
        raise


def restore_file(reader: Reader, view: RunView, entry: Entry, destination: Destination, name: str) -> None:
    """Write one file of a run as `name` at the destination, verified."""
    try:
        destination.write(name, reader.chunks(view, entry), executable=entry.executable)
        destination.commit()
    except BaseException:
        destination.abandon()
        raise
