"""What a journal says at a glance: as quick with fifty thousand runs as with none, since none of them is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.builders.crowds import crowd_journal
from tests.builders.houses import House

from sealrun.adapters.journal.file import JournalFile
from sealrun.domain.oversight.board import Alarm
from sealrun.services.oversight.overseeing import health_of

MANY = 50_000
ROWS_AT_MOST = 200


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("crowded"))
    crowd_journal(made.folder / "state" / "journal.sqlite", MANY, "drops", "main")
    made.settle("one")
    made.settle("two", "rejected", "a link leads out of it")
    yield made
    made.close()


class Asked:
    """Every query of a journal, with how many rows it gave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[tuple[str, Sequence[object], int]] = []
        inner = JournalFile.rows

        def rows(file: JournalFile, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
            found = inner(file, statement, values)
            self.queries.append((statement, values, len(found)))
            self.file = file
            return found

        monkeypatch.setattr(JournalFile, "rows", rows)

    def plans(self) -> list[str]:
        """How SQLite goes about each query of a table that grows with the runs."""
        told = []
        for statement, values, _ in list(self.queries):
            if "FROM deliveries" in statement or "FROM folders" in statement:
                plan = self.file.rows(f"EXPLAIN QUERY PLAN {statement}", values)
                told += [str(row[-1]) for row in plan]
        return told


LOOKS: dict[str, Callable[[House], object]] = {
    "overview": lambda house: house.board.overview(),
    "pending": lambda house: house.board.pending("drops"),
    "queue": lambda house: house.board.queue("main"),
    "events": lambda house: house.board.events(),
}


@pytest.mark.parametrize("name", LOOKS)
def test_no_look_reads_what_is_over(house: House, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    LOOKS[name](house)
    assert asked.queries
    assert sum(count for _, _, count in asked.queries) < ROWS_AT_MOST
    for plan in asked.plans():
        # Either by an index to the few rows that are wanted, or through an index alone; never through a table.
        assert "SCAN" not in plan or "COVERING INDEX" in plan, plan


def test_the_counts_are_right(house: House) -> None:
    found = house.board.overview()
    assert (found.registries[0].published, found.registries[0].queued) == (MANY, 0)
    (watch,) = found.watches
    assert watch.counts == {"sealed": MANY, "settling": 1, "rejected": 1}
    assert watch.pending == house.board.pending("drops").total == 2


@pytest.mark.parametrize(
    ("severities", "health"), [([], "ok"), (["warning"], "degraded"), (["warning", "critical"], "failing")]
)
def test_the_worst_alarm_decides_how_things_stand(severities: list[Any], health: str) -> None:
    alarms = [
        Alarm(
            key=str(number), kind="damage", subject="main", severity=severity, reason="", since="2026-01-17T00:00:00Z"
        )
        for number, severity in enumerate(severities)
    ]
    assert health_of(alarms) == health
