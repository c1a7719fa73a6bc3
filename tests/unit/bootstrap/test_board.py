"""What a daemon's board says of a real registry and journal."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.houses import A_RUN, LARGE, PNG, House
from tests.builders.runs import a_run

from sealrun.bootstrap.verbs.mending import scrub_next
from sealrun.domain.errors import (
    DigestMismatchError,
    NotFoundError,
    SealrunError,
    UnavailableError,
    UsageError,
)
from sealrun.domain.oversight.board import RunQuestion
from sealrun.domain.upkeep.retention import Policy
from sealrun.services.delivery.pausing import pause
from sealrun.settings.resolved import GcSettings, KeepingSettings

KEEPING = KeepingSettings(retention={"train": Policy(keep_last=1)}, gc=GcSettings(grace_s=0.0, max_delete_ratio=1.0))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, KEEPING)
    yield made
    made.close()


def names(ref: str) -> tuple[str, str, str]:
    experiment, _, run_id = ref.partition("/")
    return "main", experiment, run_id


def test_the_overview_asks_no_registry(house: House) -> None:
    house.publish()
    shutil.rmtree(house.folder / "main")
    house.settle("a")
    house.settle("b", "rejected", "a link leads out of it")
    found = house.board.overview()
    assert [(watch.name, watch.pending, watch.counts) for watch in found.watches] == [
        ("drops", 2, {"settling": 1, "rejected": 1})
    ]
    main, cold = found.registries
    assert (main.name, main.state, main.published, main.queued) == ("main", "up", 1, 0)
    assert (cold.name, cold.state) == ("cold", "unknown")
    assert (found.health, found.alarms) == ("ok", ())
    assert "sample" in {timer.name for timer in found.timers}
    assert found.events[-1].kind == "run.published"
    assert found.events[-1].id == house.journal.events.newest()


def test_a_queue_says_what_waits_how_much_and_why(house: House) -> None:
    house.publish()
    run, _ = a_run({"a": b"x" * 1000}, name="waits")
    number = house.journal.deliveries.accept(run, ["cold"])
    claimed = house.journal.deliveries.claim("cold", house.clock.now().timestamp())
    assert claimed is not None
    house.journal.deliveries.postpone(claimed.id, 0.0, "the server answers nothing")
    other, _ = a_run({"b": b"y"}, name="parked")
    house.journal.deliveries.accept(other, ["cold"])
    parked = house.journal.deliveries.claim("cold", house.clock.now().timestamp(), number + 1)
    assert parked is not None
    house.journal.deliveries.park(parked.id, "the folder changed")
    page = house.board.queue("cold")
    assert [(row.state, row.tries, row.error, row.size) for row in page.rows] == [
        ("queued", 1, "the server answers nothing", 1000),
        ("parked", 1, "the folder changed", 1),
    ]
    assert page.total == 2
    assert house.board.queue("cold", page=2, size=1).rows == page.rows[1:]
    cold = house.board.overview().registries[1]
    assert (cold.queued, cold.queued_bytes, cold.parked, cold.last_error) == (1, 1000, 1, "the folder changed")
    assert house.board.queue("main").total == 0


def test_what_is_paused_says_so(house: House) -> None:
    found = house.board.overview()
    assert (found.watches[0].paused, found.registries[0].paused) == (None, None)
    pause(house.journal, house.clock, "registry", "main", by="somebody", reason="the disk is full")
    pause(house.journal, house.clock, "watch", "drops", by="somebody", for_s=3600.0)
    found = house.board.overview()
    assert found.registries[0].paused is not None
    assert found.registries[0].paused.cause == "person"
    assert "the disk is full" in found.registries[0].paused.reason
    assert found.watches[0].paused is not None
    assert found.watches[0].paused.until is not None


def test_pending_folders_come_newest_first_a_page_at_a_time(house: House) -> None:
    for number in range(5):
        house.settle(f"r{number}")
    house.settle("done", "sealed", "")
    first, second = house.board.pending("drops", 1, 3), house.board.pending("drops", 2, 3)
    assert [row.name for row in (*first.rows, *second.rows)] == ["r4", "r3", "r2", "r1", "r0"]
    assert (first.total, second.total) == (5, 5)
    with pytest.raises(NotFoundError):
        house.board.pending("nobody")
    with pytest.raises(UsageError, match="page 0"):
        house.board.pending("drops", 0)


def test_runs_are_filtered_searched_and_paged(house: House) -> None:
    refs = [house.publish(name="x", tags=["nightly"] if number % 2 else []) for number in range(4)]
    other = house.publish(experiment="eval", status="failed")
    page = house.board.runs(RunQuestion(registry="main", size=3))
    assert [row.ref for row in page.rows] == [other, *refs[:1:-1]]
    assert (page.total, page.experiments, page.statuses) == (5, ["eval", "train"], ["failed", "success"])
    assert [row.ref for row in house.board.runs(RunQuestion(registry="main", page=2, size=3)).rows] == refs[1::-1]
    assert [row.ref for row in house.board.runs(RunQuestion(registry="main", tag="nightly")).rows] == refs[:0:-2]
    assert [row.ref for row in house.board.runs(RunQuestion(registry="main", status="failed")).rows] == [other]
    assert house.board.runs(RunQuestion(registry="main", experiment="eval")).total == 1
    wanted = refs[1].partition("/")[2].upper()
    assert [row.ref for row in house.board.runs(RunQuestion(registry="main", search=wanted)).rows] == [refs[1]]
    with pytest.raises(NotFoundError):
        house.board.runs(RunQuestion(registry="main", experiment="nobody"))
    with pytest.raises(NotFoundError):
        house.board.runs(RunQuestion(registry="nobody"))


def test_a_run_that_was_published_since_is_listed_once_the_list_is_not_fresh_any_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish()
    assert house.board.runs(RunQuestion(registry="main")).total == 1
    later = house.publish()
    monkeypatch.setattr(house.clock, "monotonic", lambda: 10.0**9)
    assert house.board.runs(RunQuestion(registry="main")).rows[0].ref == later


def test_a_run_is_shown_with_its_pointers_checks_and_lineage(house: House) -> None:
    source = house.publish(params={"lr": 0.1})
    made = house.publish(inputs=[{"type": "run", "ref": source}, "s3://elsewhere/data"])
    found = house.board.run(*names(made))
    assert found.row.pointers == ("latest",)
    assert [(check.name, check.passed) for check in found.checks] == [("converged", True), ("finite", False)]
    assert found.checks[1].detail == "fail: NaN"
    assert found.metrics == {"loss": 0.25}
    assert [(each.label, each.ref) for each in found.upstream] == [(source, source), ("s3://elsewhere/data", None)]
    before = house.board.run(*names(source))
    assert [each.ref for each in before.downstream] == [made]
    assert (before.searched, before.searchable, before.params) == (2, 2, {"lr": 0.1})
    assert before.row.pointers == ()


def test_a_run_says_where_its_bytes_are_in_every_registry(house: House) -> None:
    found = house.board.run(*names(house.publish()))
    main, cold = found.places
    assert (main.registry, main.state) == ("main", "present")
    assert (main.objects or 0) + (main.packed or 0) == len({*A_RUN.values(), b"1"})
    assert (cold.registry, cold.state, cold.attempt) == ("cold", "unreachable", None)


def test_commands_are_quoted_for_a_shell(house: House) -> None:
    ref = house.publish()
    lines = [command.line for command in house.board.run(*names(ref)).commands]
    assert f"sealrun show {ref}" in lines
    assert all(shlex.split(line)[0] == "sealrun" and "--registry" not in line for line in lines)


def test_files_are_paged_and_say_what_a_preview_would_be(house: House) -> None:
    where = names(house.publish())
    page = house.board.files(*where)
    kinds = {row.path: row.kind for row in page.rows}
    assert kinds["plots/loss.png"] == "picture"
    assert kinds["table.csv"] == "table"
    assert kinds["evil.svg"] == kinds["page.html"] == "text"
    assert page.total == len(A_RUN) + 1
    assert {row.where for row in page.rows} == {"packed"}
    again = [row for number in (1, 2, 3, 4, 5) for row in house.board.files(*where, number, 3).rows]
    assert again == list(page.rows)
    assert house.board.files(*where, 99).rows == []


def test_files_are_opened_verified_small_ones_before_their_first_byte(house: House) -> None:
    where = names(house.publish({"small": b"s" * 5000, "large": b"l" * LARGE}))
    for path, body in (("small", b"s" * 5000), ("large", b"l" * LARGE)):
        opened = house.board.open_file(*where, path)
        pieces = list(iter(lambda opened=opened: opened.body.read(100_000), b""))  # type: ignore[misc]
        assert b"".join(pieces) == body
        opened.body.close()
    flip_every_object(house)
    with pytest.raises(DigestMismatchError):
        house.board.open_file(*where, "small")
    damaged = house.board.open_file(*where, "large")
    assert b"!" not in damaged.body.read(1 << 20)
    with pytest.raises(DigestMismatchError):
        damaged.body.read()
    with pytest.raises(NotFoundError):
        house.board.open_file(*where, "nothing")


def flip_every_object(house: House) -> None:
    """Change the last byte of the contents of every file of runs, loose or packed."""
    for path in (house.folder / "main" / "store").rglob("*"):
        if path.is_file() and ("objects" in path.parts or "packs" in path.parts):
            body = path.read_bytes()
            path.chmod(0o644)
            path.write_bytes(
                body.replace(b"s" * 5000, b"s" * 4999 + b"!").replace(b"l" * LARGE, b"l" * (LARGE - 1) + b"!")
            )


def test_previews_show_tables_texts_and_real_pictures_only(house: House) -> None:
    where = names(house.publish())
    table = house.board.table(*where, "table.csv")
    assert (table.columns, table.rows, table.rows_total) == (["epoch", "loss"], [["1", "0.5"], ["2", "0.25"]], 2)
    lines = house.board.table(*where, "rows.jsonl")
    assert (lines.columns, lines.rows) == (["a", "b"], [["1", "x"], ["2", ""]])
    assert house.board.text(*where, "log.txt").text == "training started\nß done\n"
    picture = house.board.picture(*where, "plots/loss.png")
    assert (picture.media_type, picture.body) == ("image/png", PNG)
    for path in ("fake.png", "evil.svg", "page.html"):
        with pytest.raises(UsageError, match="no picture"):
            house.board.picture(*where, path)
    with pytest.raises(UsageError, match="no table"):
        house.board.table(*where, "log.txt")


def test_pointers_stand_somewhere_and_have_a_history(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = house.publish(), house.publish()
    rows = house.board.pointers("main")
    assert [(row.experiment, row.name, row.ref, row.generation) for row in rows] == [("train", "latest", second, 2)]
    moves = house.board.pointer_history("main", "train", "latest")
    assert [(move.generation, move.ref) for move in moves] == [(2, second), (1, first)]
    monkeypatch.setattr("sealrun.bootstrap.board.composed.MOST_ROWS", 1)
    assert list(house.board.pointer_history("main", "train", "latest")) == moves[:1]
    with pytest.raises(NotFoundError):
        house.board.pointer_history("main", "train", "nobody")
    with pytest.raises(NotFoundError):
        house.board.pointers("main", "nobody")


def test_a_plan_says_what_would_be_retired_and_deleted_and_writes_nothing(house: House) -> None:
    first, _ = house.publish({"a": b"1" * 1000}), house.publish({"b": b"2" * 1000})
    before = sorted(str(path) for path in house.folder.joinpath("main").rglob("*"))
    plan = house.board.collection_plan("main")
    assert [(line.what, line.name) for line in plan.retire] == [("run", first)]
    assert (plan.condemn, plan.total_bytes, plan.refused) == ([], 0, None)
    assert sorted(str(path) for path in house.folder.joinpath("main").rglob("*")) == before


def test_a_point_of_the_history_is_taken_and_shown(house: House) -> None:
    house.publish({"a": b"1" * 1000})
    house.publish({"a": b"1" * 1000})
    house.board.sample(lambda: None)
    house.board.sample(lambda: None)
    before, point = house.board.storage("main")
    assert before.at <= point.at
    assert (point.runs, point.registry) == (2, "main")
    assert point.logical_bytes > 2000
    assert point.objects is not None
    assert point.stored_bytes is not None
    assert point.stored_bytes > 0
    assert point.requests["list"] > 0
    assert house.board.storage("cold") == []


def test_a_verification_is_remembered_with_what_it_found(house: House) -> None:
    house.publish({"small": b"s" * 5000})
    assert house.board.scrubs("main") == []
    scrub_next(house.main, house.journal, house.clock, house.entropy, 1.0)
    flip_every_object(house)
    scrub_next(house.main, house.journal, house.clock, house.entropy, 1.0)
    with pytest.raises(UnavailableError):
        scrub_next(house.cold, house.journal, house.clock, house.entropy, 1.0)
    damaged, sound = house.board.scrubs("main")
    assert (sound.runs, sound.damage, sound.problem) == (1, [], None)
    assert sound.read_bytes > 5000
    assert "small: bytes" in damaged.damage[0]
    (failed,) = house.board.scrubs("cold")
    assert failed.problem is not None


def test_events_can_be_followed(house: House) -> None:
    house.publish()
    known = house.board.events()
    house.publish()
    new = house.board.events(after=known[-1].id)
    assert new
    assert all(event.id > known[-1].id for event in new)
    with pytest.raises(UsageError):
        house.board.events(limit=0)


def test_a_registry_that_the_first_delivery_is_to_make_holds_no_run(tmp_path: Path) -> None:
    house = House(tmp_path)
    question = RunQuestion(registry="main")
    assert (house.board.runs(question).total, house.board.pointers("main")) == (0, ())
    with pytest.raises(SealrunError):
        house.board.runs(RunQuestion(registry="cold"))  # it is not ours to make
    house.publish()
    assert house.board.runs(question).total == 1
    house.board.close()
    (tmp_path / "main").rename(tmp_path / "gone")
    with pytest.raises(SealrunError):
        house.board.runs(question)  # what was there once is missed
    house.close()


def test_runs_that_were_listed_once_are_listed_while_the_registry_is_away(house: House) -> None:
    house.publish()
    question = RunQuestion(registry="main")
    before = house.board.runs(question)
    assert before.problem is None
    lists = house.board._look("main").lists
    lists._experiments._until = -1.0
    for fresh in lists._fresh.values():
        fresh._until = -1.0
    (house.folder / "main").rename(house.folder / "gone")
    found = house.board.runs(question)
    assert [row.ref for row in found.rows] == [row.ref for row in before.rows]
    assert found.problem is not None
    assert "is not there" in found.problem
    (house.folder / "gone").rename(house.folder / "main")
