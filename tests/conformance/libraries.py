"""The registries that readers are tried with: a directory, and a server."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from uuid import uuid4

from tests.builders.libraries import Library
from tests.servers.shared import shared_seaweedfs

KINDS = ("directory", "seaweedfs")


def a_library(kind: str, room: Path) -> Library:
    """Give an empty registry of that kind."""
    room.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        return Library(room, str(room / "registry"))
    return Library(room, f"s3://{_bucket()}/{uuid4().hex}", shared_seaweedfs().admin.storage_options)


@cache
def _bucket() -> str:
    return shared_seaweedfs().create_bucket()
