"""Files of a run on their way to this machine, verified."""

from __future__ import annotations

import os
import secrets
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
    temporary = final.with_name(f".sealrun-{secrets.token_hex(8)}")
    # The permissions that `open` would have given it: to ask for the umask means setting it, for all threads.
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(opened, "wb") as file:
            pour_out(run, entry, file, advance)
        temporary.replace(final)
    except BaseException:
        temporary.unlink()
        raise
