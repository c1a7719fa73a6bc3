"""What tables of the settings file have in common: quantities as they are written, and where secrets come from."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Duration = str | float
"""``"30s"``, ``"1h30m"``, ``"14d"``, or a number of seconds."""
Percent = str | float
"""``"5%"``, or a share between 0 and 1."""

Size = str | int
"""``"32MiB"``, ``"1MB"``, or a number of bytes."""


class SecretTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret comes from: exactly one of the three."""

    env: Annotated[str | None, Meta(description="Name of an environment variable.")] = None
    file: Annotated[str | None, Meta(description="Path of a file; a final newline does not count.")] = None
    credential: Annotated[str | None, Meta(description="Name of a file in $CREDENTIALS_DIRECTORY (systemd).")] = None
