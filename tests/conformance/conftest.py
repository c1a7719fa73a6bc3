from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.factories import FACTORIES

from sealrun.ports import Store


@pytest.fixture(params=sorted(FACTORIES))
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(store_kind: str, tmp_path: Path) -> Iterator[Store]:
    with FACTORIES[store_kind](tmp_path) as opened:
        yield opened
        opened.close()
