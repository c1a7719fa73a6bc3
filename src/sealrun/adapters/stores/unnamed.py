"""Temporary files without a name: gone with the process, or with whoever closes them."""

from __future__ import annotations

import os

from sealrun.domain.errors import NoSpaceError


def open_unnamed(folder: str) -> int:
    """Return the descriptor of a new file on the disk of `folder`, which is there; raise `OSError` as it comes."""
    import tempfile  # noqa: PLC0415 - with its archives; most commands have nothing that waits

    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        return os.dup(file.fileno())


def cannot_wait(folder: str, what: str, error: OSError) -> NoSpaceError:
    """Return the error for a file in `folder` that could not be made or written; `what` cannot wait there."""
    reason = error.strerror or str(error)
    return NoSpaceError(f"{folder}: {what} ({reason}); make room on that disk")
