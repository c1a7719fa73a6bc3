"""Servers that many tests share: one of each for a session (for every worker of pytest-xdist), started when needed.

And nobody in this process waits long before asking again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.endpoint import Endpoint
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.shared import shared_moto, shared_seaweedfs, stop_shared

from sealrun.adapters.machine.clock import SystemClock

LONGEST_PAUSE_S = 0.02


@pytest.fixture(scope="session", autouse=True)
def _servers_end_with_the_session() -> Iterator[None]:
    yield
    stop_shared()


@pytest.fixture(scope="session", autouse=True)
def _pauses_are_short() -> Iterator[None]:
    """Whoever pauses asks again afterwards: so many times, or until a time has passed."""
    with pytest.MonkeyPatch.context() as patched:
        sleep = SystemClock.sleep
        patched.setattr(SystemClock, "sleep", lambda clock, seconds: sleep(clock, min(seconds, LONGEST_PAUSE_S)))
        yield


@pytest.fixture(scope="session")
def seaweedfs_server() -> SeaweedFS:
    return shared_seaweedfs()


@pytest.fixture(scope="session")
def moto_server() -> Endpoint:
    return shared_moto()
