"""Schemas of users on every store that creates exclusively: of any number of writers one decides."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conformance.factories import FACTORIES, SINGLE_WRITER

from sealrun.adapters.content.json_schema import JsonSchemaLanguage
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.domain.errors import ConflictError
from sealrun.ports import Store
from sealrun.services.curation.schemata import Schemata

_WRITERS = 6


@pytest.fixture(params=sorted(set(FACTORIES) - SINGLE_WRITER))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with FACTORIES[request.param](tmp_path) as opened:
        yield opened
        opened.close()


def test_of_many_that_add_other_schemas_under_one_version_one_wins_and_all_see_it(store: Store) -> None:
    schemata = Schemata(store, SystemClock(), SystemEntropy())
    language = JsonSchemaLanguage()

    def add(number: int) -> str | None:
        try:
            return schemata.add("r", "1", {"title": str(number)}, language, f"writer {number}").by
        except ConflictError:
            return None

    with ThreadPoolExecutor(_WRITERS) as pool:
        winners = [by for by in pool.map(add, range(_WRITERS)) if by is not None]
    assert len(winners) == 1
    standing = schemata.read("r/1")
    assert (standing.by, standing.schema) == (winners[0], {"title": winners[0].removeprefix("writer ")})
    assert schemata.all() == [standing]
