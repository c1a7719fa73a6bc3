"""Bytes go ahead of their delivery where they may, and the delivery takes their attempt over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.delivery import FakeRegistry, PostOffice
from tests.fakes.store import ModelStore
from tests.servers.seaweedfs import SeaweedFS

from sealrun.bootstrap.daemon.stages import _may_send
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.address import parse_object_key
from sealrun.domain.oversight.board import Pause
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.delivery.parts import AtHand, begin
from sealrun.services.delivery.pausing import Hold
from sealrun.services.publication.beginning import new_ticket
from sealrun.services.publication.head_start import WORTH_BYTES, HeadStart

WATCH = WatchSpec(name="w", path="/runs", experiment="e", registries=("main", "other"))


class Opened:
    """What is asked of an opened registry here."""

    def __init__(self, *, links: bool = False) -> None:
        self.store: Store = ModelStore(lambda: 0.0, links=links)


def hold(*, paused: bool) -> Hold:
    def find(_now: datetime) -> Pause | None:
        return Pause(cause="person") if paused else None

    return Hold(find, FakeClock())


def may_send(watch: WatchSpec, opened: dict[str, Opened], **paused: bool) -> bool:
    holds = {name: hold(paused=paused.get(name, False)) for name in watch.registries}
    return _may_send(watch, cast("Any", opened), holds)


def test_nothing_goes_ahead_to_a_registry_that_is_held_or_closed() -> None:
    assert may_send(WATCH, {"main": Opened()})
    assert not may_send(WATCH, {"main": Opened()}, main=True)
    assert not may_send(WATCH, {})
    both = {"main": Opened(), "other": Opened(links=True)}
    assert may_send(WATCH, both, main=True), "the other one gets the copies"
    assert not may_send(WATCH, both, other=True)


@pytest.mark.parametrize("on_failed", ["skip", "quarantine"])
def test_nothing_goes_ahead_where_failed_runs_are_kept_back(on_failed: str) -> None:
    watch = msgspec.structs.replace(WATCH, on_failed=on_failed)
    assert not may_send(watch, {"main": Opened()})


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    made = PostOffice(tmp_path)
    yield made
    made.close()


def started(office: PostOffice, registry_id: str) -> HeadStart:
    ticket = new_ticket(office.clock, office.entropy, office.journal.state_id)
    made = HeadStart(
        ModelStore(lambda: 0.0, links=False),
        registry_id,
        ticket,
        lambda _entry, _facts: cast("Any", None),
        lambda _key: False,
        lambda: None,
    )
    made._offered.add(cast("Any", "something"))
    return made


def begun(office: PostOffice, registry: str, ahead: HeadStart | None) -> tuple[AttemptTicket, HeadStart | None]:
    journal = office.journal
    claimed = journal.deliveries.claim(registry, office.clock.now().timestamp())
    assert claimed is not None
    at_hand = AtHand(journal.deliveries.run(claimed.sealed), lambda _entry: cast("Any", None), (), ahead)
    answer = begin(claimed, at_hand, registry, journal, office.clock, office.entropy)
    journal.deliveries.postpone(claimed.id, office.clock.now().timestamp(), "again")
    return answer


def test_a_delivery_takes_over_what_went_ahead_to_its_registry_and_keeps_it_through_a_crash(office: PostOffice) -> None:
    office.accept("one", "main", "other")
    ahead = started(office, "main")
    elsewhere, nothing = begun(office, "other", ahead)
    assert nothing is None
    ticket, taken = begun(office, "main", ahead)
    assert (ticket, taken) == (ahead.ticket, ahead)
    assert ticket.fresh
    assert elsewhere.attempt != ticket.attempt
    assert office.only().attempt == ticket.attempt, "durable before its intent"

    again, taken = begun(office, "main", ahead)
    assert (again.attempt, again.nonce, again.fresh, taken) == (ticket.attempt, ticket.nonce, False, ahead)
    after_a_crash, nothing = begun(office, "main", None)
    assert (after_a_crash, nothing) == (again, None)


def test_an_attempt_that_is_void_is_not_taken_again(office: PostOffice) -> None:
    office.accept("one")
    ahead = started(office, "main")
    ticket, _ = begun(office, "main", ahead)
    deliveries, now = office.journal.deliveries, office.clock.now().timestamp()
    claimed = deliveries.claim("main", now)
    assert claimed is not None
    deliveries.postpone(claimed.id, now, "it is void", new_attempt=True)
    fresh, nothing = begun(office, "main", ahead)
    assert fresh.attempt != ticket.attempt
    assert nothing is None


def test_a_line_tells_its_registry_what_went_ahead(office: PostOffice) -> None:
    office.accept("one")
    registry, ahead = FakeRegistry(), started(office, "main")
    line = office.line(registry)
    run = office.journal.deliveries.run(1)
    line._parts = msgspec.structs.replace(
        line._parts, at_hand=lambda _sealed: AtHand(run, lambda _entry: cast("Any", None), (), ahead)
    )
    assert office.drain(line) == 1
    assert registry.ahead == [ahead]
    assert [ticket.attempt for ticket in registry.tickets] == [ahead.ticket.attempt]


def test_a_command_sends_a_run_once_under_the_attempt_that_seals_it(
    tmp_path: Path, seaweedfs_server: SeaweedFS
) -> None:
    for name in ("first", "second"):
        run = tmp_path / name
        run.mkdir()
        (run / "large").write_bytes(name.encode() * WORTH_BYTES)
        (run / "larger").write_bytes(name.encode() * WORTH_BYTES + b"!")
        for number in range(40):
            (run / f"{number}").write_text(f"{name} {number}" * 4000)
    spec = RegistrySpec(
        name="main", url=f"s3://{seaweedfs_server.create_bucket()}", storage_options=seaweedfs_server.storage_options
    )
    attempts: set[str] = set()
    with Parts(tmp_path / "state", {"main": spec}, ()) as parts:
        for name in ("first", "second"):
            report = parts.producer.publish(str(tmp_path / name), "e")
            (done,) = report.deliveries
            assert done.published is not None
            assert (done.published.new, done.published.uploaded_objects) == (True, 42)
            attempts.add(done.published.attempt)
            store = parts.producer.registry("main").store
            creators = [parse_object_key(found.key).creator for found in store.list("store/")]
            assert set(creators) == attempts
            assert len(creators) == 3 * len(attempts), "two large files, one pack"
            reader = Reader(store, FakeClock(), FakeEntropy())
            view = reader.load(reader.resolve(report.ref))
            for entry in view.manifest.entries:
                assert b"".join(reader.chunks(view, entry)) == (tmp_path / name / entry.path).read_bytes()
        assert not [found.key for found in store.list("attempts/") if found.key.endswith("intent.json")]
