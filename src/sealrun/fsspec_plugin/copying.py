"""Files of a run on their way to this machine, verified."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.browsing import OpenRun

Advance = Callable[[int], object]


def pour_out(run: OpenRun, entry: Entry, out: IO[Any], advance: Advance) -> None:
    """Write a file's bytes to `out`; at the end `DigestMismatchError` if they are not as sealed."""
    for chunk in run.chunks(entry):
        out.write(chunk)
        advance(len(chunk))


def copy_out(run: OpenRun, entry: Entry, final: Path, advance: Advance) -> None:
    """Write a file to `final`, over what is there, once it is complete and verified; a crash leaves ``.sealrun-*``."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".sealrun-", dir=final.parent, delete=False) as file:
        try:
            pour_out(run, entry, file, advance)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            Path(file.name).replace(final)
        except BaseException:
            Path(file.name).unlink()
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
