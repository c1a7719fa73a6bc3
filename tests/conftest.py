"""Servers that many tests share: one of each for a session (for every worker of pytest-xdist), started when needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.endpoint import Endpoint
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.shared import shared_moto, shared_seaweedfs, stop_shared


@pytest.fixture(scope="session", autouse=True)
def _servers_end_with_the_session() -> Iterator[None]:
    yield
    stop_shared()


@pytest.fixture(scope="session")
def seaweedfs_server() -> SeaweedFS:
    return shared_seaweedfs()


@pytest.fixture(scope="session")
def moto_server() -> Endpoint:
    return shared_moto()
