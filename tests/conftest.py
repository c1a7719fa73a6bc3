"""Servers that many tests share: one of each for a session (for every worker of pytest-xdist), started when needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers import moto, seaweedfs
from tests.servers.endpoint import Endpoint


@pytest.fixture(scope="session")
def seaweedfs_server() -> Iterator[seaweedfs.SeaweedFS]:
    with seaweedfs.running() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Endpoint]:
    with moto.running() as endpoint:
        yield endpoint
