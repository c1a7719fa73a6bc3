"""No daemon outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.deployment import STARTED


@pytest.fixture(autouse=True)
def no_daemon_is_left() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()
