"""The schemas that come with sealrun, read out of the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from sealrun.domain.errors import NotFoundError
from sealrun.domain.schemas import PUBLISHED, schema_file


def published_text(name: str) -> str:
    """Return a published schema as its file has it. `NotFoundError` for a name that none has."""
    if name not in PUBLISHED:
        msg = f"no published schema {name!r} (there is {', '.join(PUBLISHED)})"
        raise NotFoundError(msg)
    return (resources.files("sealrun.domain.schemas") / schema_file(name)).read_text("utf-8")


def published_schema(name: str) -> dict[str, Any]:
    """Return a published schema, decoded."""
    found: dict[str, Any] = json.loads(published_text(name))
    return found
