"""One thing that ``sealrun doctor`` looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "note", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, what was found, and in `do` the command or the edit that mends it.

    ``error``: something does not work. ``warning``: it will not work for long, or not as safely as it should. ``note``:
    worth knowing, and well as it is.
    """

    level: Level
    what: str
    detail: str
    do: str = ""
