"""When a delivery was published is remembered, also of journals that did not remember it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from tests.builders.runs import a_run
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.journal import open_journal
from sealrun.adapters.journal.opening import JOURNAL_FILE
from sealrun.adapters.journal.schema import APPLICATION_ID, MIGRATIONS
from sealrun.domain.address import AttemptId
from sealrun.domain.runs.sealed import Published

DONE = Published(
    experiment="train",
    run_id="r",
    attempt=AttemptId("20260117T143052Z-0123456789abcdef"),
    root_sha256="0" * 64,
    new=True,
)


def test_a_delivery_knows_when_it_was_published(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = open_journal(tmp_path, clock, FakeEntropy())
    run, _ = a_run()
    journal.deliveries.accept(run, ["main"])
    assert [delivery.published_at for delivery in journal.deliveries.all()] == [None]
    clock.advance(3600)
    delivery = journal.deliveries.claim("main", clock.now().timestamp())
    assert delivery is not None
    journal.deliveries.finish(delivery.id, DONE)
    clock.advance(3600)
    journal.deliveries.accept(run, ["main", "cloud"])
    known = {each.registry: each.published_at for each in journal.deliveries.all()}
    assert known == {"main": clock.now().timestamp() - 3600, "cloud": None}
    journal.close()


def test_what_an_older_version_published_counts_from_the_upgrade(tmp_path: Path) -> None:
    before = int(time.time())
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO sealed_runs (identity, folder, accepted) VALUES (x'00', '/r', 1.0)")
    for registry, state in (("main", "published"), ("cloud", "queued")):
        connection.execute(
            "INSERT INTO deliveries (sealed, registry, state, tries, due) VALUES (1, ?, ?, 0, 1.0)", (registry, state)
        )
    connection.close()
    journal = open_journal(tmp_path, FakeClock(), FakeEntropy())
    known = {delivery.registry: delivery.published_at for delivery in journal.deliveries.all()}
    assert known["cloud"] is None
    assert known["main"] is not None
    assert known["main"] >= before
    journal.close()
