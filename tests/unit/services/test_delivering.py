from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.fakes.delivery import FakeRegistry, PostOffice

from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConflictError,
    DigestMismatchError,
    NoRegistryError,
    NoSpaceError,
    OutcomeUnknownError,
    RunChangedError,
    UnavailableError,
    UnsafeStoreError,
    UnsupportedFormatError,
    UsageError,
)
from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import SealedRun
from sealrun.ports import FolderRecord
from sealrun.services.delivery.availability import read_standing, release_deliveries
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.delivery.parts import AtHand, Sources

AN_HOUR_S = 3600.0
During = Callable[[SealedRun, AttemptTicket, Sources], None]


class DiedError(BaseException):
    """The process is gone: nothing catches it."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(tmp_path / "state")
    yield office
    office.close()


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def standing(office: PostOffice, registry: str = "main") -> str:
    found = read_standing(office.journal.facts, registry)
    return "up" if found is None else found.state


def test_runs_are_delivered_in_the_order_they_were_accepted(office: PostOffice, registry: FakeRegistry) -> None:
    for name in ("r1", "r2", "r3"):
        office.accept(name)
    assert office.drain(office.line(registry)) == 3
    assert registry.names() == ["r1", "r2", "r3"]
    assert {delivery.state for delivery in office.journal.deliveries.all()} == {"published"}
    assert office.kinds() == ["run.published"] * 3


def test_the_attempt_is_durable_before_anything_is_written(office: PostOffice, registry: FakeRegistry) -> None:
    seen: list[tuple[object, ...]] = []

    def look(_run: SealedRun, ticket: AttemptTicket, _sources: Sources) -> None:
        delivery = office.reopened().deliveries.all()[0]
        seen.append((delivery.attempt, delivery.nonce, delivery.attempt_created_at))
        assert ticket.owner == office.journal.state_id
        assert seen == [(ticket.attempt, ticket.nonce, ticket.created_at)]

    registry.during = look
    office.accept("r1")
    office.drain(office.line(registry))
    assert len(seen) == 1


def test_a_process_that_dies_between_begin_and_finish_resumes_the_same_attempt(
    office: PostOffice, registry: FakeRegistry
) -> None:
    def die(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        raise DiedError

    office.accept("r1")
    registry.during = die
    with pytest.raises(DiedError):
        office.line(registry).run_once()
    office.journal.close()
    office.journal = office.reopened()
    registry.during = None
    assert office.drain(office.line(registry)) == 1
    assert len(registry.tickets) == 2
    assert msgspec.structs.replace(registry.tickets[0], fresh=False) == registry.tickets[1]


def test_a_registry_that_is_down_for_an_hour_loses_nothing_and_holds_up_nobody_else(office: PostOffice) -> None:
    main, cloud = FakeRegistry("main"), FakeRegistry("cloud")
    lines = [office.line(main), office.line(cloud)]
    cloud.trouble = UnavailableError("cloud: no answer")
    for minute in range(60):
        office.accept(f"r{minute}", "main", "cloud")
        for line in lines:
            office.drain(line)
        assert len(main.published) == minute + 1
        office.clock.advance(60)
    assert cloud.published == []
    cloud.trouble = None
    for _ in range(6):
        office.clock.advance(60)
        office.drain(lines[1])
    assert sorted(cloud.names()) == sorted(f"r{minute}" for minute in range(60))
    assert len(office.journal.deliveries.all(state="published")) == 120


def test_an_outage_costs_the_line_one_try_at_a_time_not_every_delivery_one(
    office: PostOffice, registry: FakeRegistry
) -> None:
    line = office.line(registry)
    office.drain(line)
    registry.trouble = OutcomeUnknownError("main: time-out")
    for number in range(20):
        office.accept(f"r{number}")
    for _ in range(60):
        office.drain(line)
        office.clock.advance(1)
    assert sum(delivery.tries for delivery in office.journal.deliveries.all()) < 12
    assert standing(office) == "down"
    assert office.kinds().count("registry.down") == 1
    registry.trouble = None
    office.clock.advance(300)
    office.drain(line)
    assert len(registry.published) == 20
    assert standing(office) == "up"
    assert office.kinds().count("registry.up") == 1


def test_an_attempt_goes_on_after_an_outage(office: PostOffice, registry: FakeRegistry) -> None:
    office.accept("r1")
    line = office.line(registry)
    office.drain(line)
    office.accept("r2")
    registry.during = fails_once(registry, UnavailableError("main: gone"))
    office.drain(line)
    office.clock.advance(300)
    office.drain(line)
    assert msgspec.structs.replace(registry.tickets[1], fresh=False) == registry.tickets[2]
    assert registry.names() == ["r1", "r2"]


def fails_once(registry: FakeRegistry, error: Exception) -> During:
    def fail(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        registry.during = None
        raise error

    return fail


def test_a_void_attempt_is_followed_by_a_new_one_at_once(office: PostOffice, registry: FakeRegistry) -> None:
    office.accept("r1")
    registry.during = fails_once(registry, ConflictError("void"))
    assert office.drain(office.line(registry)) == 2
    assert registry.tickets[0].attempt != registry.tickets[1].attempt
    assert registry.tickets[0].nonce != registry.tickets[1].nonce
    assert office.only().state == "published"


def test_attempts_that_are_voided_again_and_again_slow_down(office: PostOffice, registry: FakeRegistry) -> None:
    office.accept("r1")
    registry.during = always(ConflictError("void"))
    assert office.drain(office.line(registry)) < 10
    assert office.only().state == "queued"


def always(error: Exception) -> During:
    def fail(_run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [AccessDeniedError("no"), ConfigurationError("no"), UnsafeStoreError("no"), NoRegistryError("no")],
    ids=lambda error: type(error).__name__,
)
def test_a_registry_that_refuses_us_is_tried_again_every_five_minutes(office: PostOffice, error: Exception) -> None:
    registry = FakeRegistry()
    registry.refuse_opening = error
    office.accept("r1")
    line = office.line(registry)
    for _ in range(10):
        office.drain(line)
        office.clock.advance(60)
    assert standing(office) == "refused"
    assert office.only().tries == 2
    assert office.only().error == "no"
    registry.refuse_opening = None
    office.clock.advance(300)
    office.drain(line)
    assert registry.names() == ["r1"]


def test_a_release_ends_the_wait_of_a_line_in_another_process(office: PostOffice, registry: FakeRegistry) -> None:
    registry.refuse_opening = AccessDeniedError("wrong credentials")
    office.accept("r1")
    line = office.line(registry)
    office.drain(line)
    registry.refuse_opening = None
    assert office.drain(line) == 0
    release_deliveries(office.reopened(), office.clock, "other")
    assert office.drain(line) == 0
    office.clock.advance(1)
    assert release_deliveries(office.reopened(), office.clock, "main") == 1
    assert office.drain(line) == 1
    assert registry.names() == ["r1"]


def test_a_registry_that_cannot_be_read_holds_its_line_and_parks_nothing(office: PostOffice) -> None:
    registry = FakeRegistry()
    registry.refuse_opening = UnsupportedFormatError("registry.json: of a newer format")
    office.accept("r1")
    office.accept("r2")
    office.drain(office.line(registry))
    assert standing(office) == "refused"
    assert office.journal.deliveries.all(state="parked") == []


def test_a_full_registry_is_told_once_and_small_runs_go_on(office: PostOffice, registry: FakeRegistry) -> None:
    def only_small(run: SealedRun, _ticket: AttemptTicket, _sources: Sources) -> None:
        if run.envelope().name == "big":
            raise NoSpaceError("main: no space left")

    registry.during = only_small
    office.accept("big")
    line = office.line(registry)
    for _ in range(4):
        office.drain(line)
        office.clock.advance(60)
    assert standing(office) == "full"
    assert office.kinds().count("registry.full") == 1
    assert "no space" in (office.only().error or "")
    office.accept("small")
    office.drain(line)
    assert registry.names() == ["small"]
    registry.during = None
    office.clock.advance(300)
    office.drain(line)
    assert registry.names() == ["small", "big"]


@pytest.mark.parametrize("error", [DigestMismatchError("damage"), UsageError("bad name")], ids=str)
def test_what_trying_again_cannot_help_is_parked_until_it_is_released(office: PostOffice, error: Exception) -> None:
    registry = FakeRegistry()
    registry.during = always(error)
    office.accept("r1")
    line = office.line(registry)
    office.drain(line)
    assert (office.only().state, office.only().error) == ("parked", str(error))
    office.clock.advance(AN_HOUR_S)
    assert office.drain(line) == 0
    registry.during = None
    assert release_deliveries(office.journal, office.clock) == 1
    assert office.drain(line) == 1
    assert office.only().state == "published"


def test_an_unexpected_error_is_logged_with_its_traceback_and_tried_again(
    office: PostOffice, registry: FakeRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.during = fails_once(registry, ZeroDivisionError("secret"))
    office.accept("r1")
    office.accept("r2")
    line = office.line(registry)
    with caplog.at_level(logging.ERROR):
        office.drain(line)
    assert registry.names() == ["r2"]
    assert any(record.exc_info for record in caplog.records)
    assert "secret" not in str(office.journal.deliveries.all()) + str(office.journal.events.recent())
    office.clock.advance(2)
    office.drain(line)
    assert registry.names() == ["r2", "r1"]


# ---------------------------------------------------------------- a folder that changed


def sealed_folder(office: PostOffice, name: str = "r1") -> FolderRecord:
    """A run that was sealed from a watched folder and queued."""
    run, _ = a_run(name=name)
    record = FolderRecord(
        watch="w",
        path=run.folder,
        state="sealed",
        reason="marker",
        since=0.0,
        fingerprint="f",
        manifest_sha256=run.envelope().manifest_sha256,
        run_id=run.envelope().run_id,
    )
    office.journal.deliveries.accept(run, ["main"], record)
    return record


def fail_changed(office: PostOffice, registry: FakeRegistry) -> None:
    registry.during = fails_once(registry, RunChangedError("a.txt: is not what was sealed"))
    office.drain(office.line(registry))


def test_a_folder_that_changed_before_it_was_published_settles_again(
    office: PostOffice, registry: FakeRegistry
) -> None:
    record = sealed_folder(office)
    fail_changed(office, registry)
    assert office.only().state == "parked"
    assert "settles again" in (office.only().error or "")
    found = office.journal.folders.get("w", record.path)
    assert found is not None
    assert (found.state, found.fingerprint, found.manifest_sha256) == ("settling", "", None)
    assert found.run_id == record.run_id
    assert office.again == [record.path]


def test_a_folder_that_settles_to_the_same_bytes_is_delivered_after_all(
    office: PostOffice, registry: FakeRegistry
) -> None:
    sealed_folder(office)
    fail_changed(office, registry)
    sealed_folder(office)
    office.drain(office.line(registry))
    assert registry.names() == ["r1"]


def test_a_folder_that_is_gone_is_told_and_nothing_is_forgotten(office: PostOffice, registry: FakeRegistry) -> None:
    record = sealed_folder(office)
    office.there = False
    fail_changed(office, registry)
    assert office.only().state == "parked"
    assert "the source folder is gone, and no registry holds the sealed bytes yet" in (office.only().error or "")
    assert office.journal.folders.get("w", record.path) is not None
    assert office.again == []


def test_a_run_whose_folder_was_sealed_anew_is_superseded_and_the_new_seal_is_left_alone(
    office: PostOffice, registry: FakeRegistry
) -> None:
    sealed_folder(office)
    newer, _ = a_run({"a.txt": b"newer"})
    record = FolderRecord(watch="w", path=newer.folder, state="sealed", reason="marker", since=1.0, fingerprint="g")
    sealed = office.journal.deliveries.accept(newer, ["main"], record)
    registry.during = fails_once(registry, RunChangedError("changed"))
    office.drain(office.line(registry))
    first, second = reversed(office.journal.deliveries.all())
    assert (first.state, second.state) == ("parked", "published")
    assert "superseded by a newer seal" in (first.error or "")
    found = office.journal.folders.get("w", newer.folder)
    assert found is not None
    assert (found.state, found.sealed) == ("sealed", sealed)


def test_a_run_that_no_watch_looks_at_is_parked_with_what_to_do(office: PostOffice, registry: FakeRegistry) -> None:
    office.accept("r1")
    fail_changed(office, registry)
    assert "publish it again" in (office.only().error or "")


# ---------------------------------------------------------------- upkeep, stopping, clocks


def test_wrecks_are_looked_for_when_a_line_starts_and_when_it_is_asked(
    office: PostOffice, registry: FakeRegistry
) -> None:
    line = office.line(registry)
    office.drain(line)
    office.drain(line)
    assert (registry.recovered, registry.compacted) == (1, 0)
    line.ask_to_recover()
    line.ask_to_compact()
    office.drain(line)
    assert (registry.recovered, registry.compacted) == (2, 1)


def test_a_recovery_that_an_outage_ended_is_made_up_for(office: PostOffice, registry: FakeRegistry) -> None:
    line = office.line(registry)
    office.drain(line)
    line.ask_to_recover()
    registry.trouble = UnavailableError("down")
    office.drain(line)
    assert standing(office) == "down"
    registry.trouble = None
    office.clock.advance(300)
    office.drain(line)
    assert registry.recovered == 2
    assert standing(office) == "up"


def test_a_registry_that_cannot_be_recovered_is_still_delivered_to(office: PostOffice) -> None:
    class Odd(FakeRegistry):
        def recover(self) -> None:
            raise DigestMismatchError("attempts/x/intent.json: damaged")

    registry = Odd()
    office.accept("r1")
    office.drain(office.line(registry))
    assert registry.names() == ["r1"]


def test_a_stopped_line_interrupts_between_two_uploads_and_the_next_one_resumes(
    office: PostOffice, registry: FakeRegistry
) -> None:
    line = office.line(registry)

    def upload(run: SealedRun, _ticket: AttemptTicket, sources: Sources) -> None:
        for entry in run.manifest().entries:
            sources(entry)
            line.stop()

    run, _ = a_run({"a": b"a", "b": b"b"})
    office.journal.deliveries.accept(run, ["main"])
    registry.during = upload
    office.drain(line)
    assert office.only().state == "queued"
    assert "interrupted" in (office.only().error or "")
    assert office.drain(line) == 0
    registry.during = None
    office.drain(office.line(registry))
    assert msgspec.structs.replace(registry.tickets[0], fresh=False) == registry.tickets[1]
    assert office.only().state == "published"


def test_a_clock_that_was_set_back_does_not_delay_a_delivery(office: PostOffice, registry: FakeRegistry) -> None:
    office.accept("r1")
    delivery = office.journal.deliveries.claim("main", office.clock.now().timestamp())
    assert delivery is not None
    a_day_ahead = office.clock.now().timestamp() + 24 * AN_HOUR_S
    office.journal.deliveries.postpone(delivery.id, a_day_ahead, "by a clock that was a day ahead")
    assert office.drain(office.line(registry)) == 1


def test_a_line_says_how_long_it_has_nothing_to_do(office: PostOffice, registry: FakeRegistry) -> None:
    line = office.line(registry)
    assert line.step() == 5.0
    office.accept("r1")
    registry.during = fails_once(registry, ZeroDivisionError())
    assert line.step() == 0.0
    assert 0.0 < line.step() <= 1.0
    office.clock.advance(1)
    assert line.step() == 0.0
    assert registry.names() == ["r1"]


def test_a_line_says_so_when_nothing_is_due(office: PostOffice, registry: FakeRegistry) -> None:
    line = office.line(registry)
    office.accept("r1")
    line.step()
    assert office.pauses == 0
    line.step()
    assert (office.pauses, registry.names()) == (1, ["r1"])


def test_staged_bytes_are_preferred_to_the_folder(office: PostOffice, registry: FakeRegistry) -> None:
    asked: list[int] = []
    run, staged = a_run()

    def wait_for_sealed(sealed: int) -> AtHand:
        asked.append(sealed)
        return AtHand(run, staged)

    def no_folder(_run: SealedRun) -> Sources:
        raise AssertionError("the folder is not needed")

    parts = msgspec.structs.replace(office.line(registry)._parts, at_hand=wait_for_sealed, folder_sources=no_folder)
    sealed = office.accept("r1")
    office.drain(DeliveryLine("main", registry.open, parts))
    assert set(asked) == {sealed}
