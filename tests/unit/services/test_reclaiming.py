"""The source of a run is deleted late, rarely, and never when anything about it or its copies is not as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from tests.builders.folders import a_folder
from tests.builders.reclaiming import A_DAY, Disposal, tree
from tests.builders.worlds import retire

from sealrun.adapters.run_folders.reclaiming import LocalSourceRemover
from sealrun.adapters.run_folders.renaming import rename_new
from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.domain.errors import UnavailableError
from sealrun.ports import Contents, SetAside, Tree
from sealrun.services.mending.verifying import Verifier
from sealrun.services.sources.copies import Holder
from sealrun.services.watching.detecting import fingerprint_of

FILES = {"a": b"1", "b/c": b"2"}


@pytest.fixture
def disposal(tmp_path: Path) -> Disposal:
    return Disposal(tmp_path / "outbox")


def kept(disposal: Disposal, run: Path, files: Mapping[str, bytes] | None = None) -> str:
    """Reclaim: nothing is deleted, the folder has its name. Return the reason."""
    report = disposal.reclaim()
    assert report.reclaimed == ()
    assert tree(run) == (FILES if files is None else files)
    assert disposal.names() == [run.name]
    (refused,) = report.refused
    assert disposal.journal.events.kinds()[-1] == "run.reclaim_refused"
    return refused.reason


def test_a_source_goes_when_its_time_has_come_and_both_copies_are_verified(disposal: Disposal) -> None:
    disposal.ready()
    report = disposal.reclaim()
    assert [(done.registries, done.size, done.files) for done in report.reclaimed] == [(("main", "cloud"), 2, 2)]
    assert report.refused == ()
    assert disposal.names() == []
    assert sorted(disposal.verified) == ["cloud", "main"]
    event = disposal.journal.events.recent(1)[0]
    assert (event["kind"], event["subject"]) == ("run.reclaimed", report.reclaimed[0].ref)


def test_nothing_goes_before_its_time(disposal: Disposal) -> None:
    run = disposal.drop("run")
    disposal.publish()
    disposal.wait(A_DAY - 1)
    assert disposal.why_not().startswith("not before")
    disposal.reclaim()
    assert tree(run) == FILES
    assert disposal.verified == []


def test_a_reclaimed_source_is_no_alarm_and_nothing_to_be_taken_again(disposal: Disposal) -> None:
    disposal.ready()
    disposal.reclaim()
    report = disposal.station.rescan(60)
    assert (report.missing, report.gone) == (None, ())
    assert disposal.station.state("run") == "reclaimed"
    assert "watch.missing" not in disposal.journal.events.kinds()


def test_the_same_bytes_dropped_again_are_the_same_run_and_wait_for_their_time_again(disposal: Disposal) -> None:
    disposal.ready()
    disposal.reclaim()
    disposal.drop("run")
    assert disposal.station.state("run") == "sealed"
    assert len(disposal.station.envelopes()) == 1
    assert disposal.why_not().startswith("not before")
    disposal.wait()
    assert len(disposal.reclaim().reclaimed) == 1


@pytest.mark.parametrize("registry", ["main", "cloud"])
def test_a_delivery_in_flight_or_parked_keeps_the_source(disposal: Disposal, registry: str) -> None:
    run = disposal.drop("run")
    disposal.publish(registry)
    disposal.wait()
    assert "does not have it yet (queued)" in disposal.why_not()
    other = next(delivery for delivery in disposal.journal.deliveries.all(state="queued"))
    disposal.journal.deliveries.park(other.id, "no access")
    assert "does not have it yet (parked)" in disposal.why_not()
    disposal.reclaim()
    assert tree(run) == FILES


def test_a_run_published_by_hand_from_the_same_folder_keeps_it_until_it_is_delivered(disposal: Disposal) -> None:
    run = disposal.ready()
    journal = disposal.journal
    sealed = journal.deliveries.run(1)
    other = type(sealed)(folder=sealed.folder, run_json=sealed.run_json + b" ", manifest_json=sealed.manifest_json)
    number = journal.deliveries.accept(other, ["elsewhere"])
    assert f"sealed run {number} is queued for registry 'elsewhere'" in disposal.why_not()
    disposal.reclaim()
    assert tree(run) == FILES


@pytest.mark.parametrize("registry", ["main", "cloud"])
def test_a_damaged_copy_does_not_count(disposal: Disposal, registry: str) -> None:
    run = disposal.ready()
    store = disposal.worlds[registry].store
    store.bodies[disposal.object_of(registry, b"2")] = b"X"
    assert "1 verified copies, 2 are asked for" in kept(disposal, run)
    assert "verify.damage" in disposal.journal.events.kinds()


def test_a_missing_object_or_a_retired_run_does_not_count(disposal: Disposal) -> None:
    run = disposal.ready()
    del disposal.worlds["main"].store.bodies[disposal.object_of("main", b"1")]
    assert "is missing" in kept(disposal, run)
    done = next(d.published for d in disposal.journal.deliveries.all(registry="cloud") if d.published)
    retire(disposal.worlds["cloud"], done.attempt)
    assert "0 verified copies" in kept(disposal, run)


def test_one_registry_under_two_names_is_one_copy(disposal: Disposal) -> None:
    run = disposal.ready()
    disposal.ids = dict.fromkeys(disposal.ids, "the same")
    assert "1 verified copies" in kept(disposal, run)


def test_one_good_copy_is_enough_where_one_is_asked_for(tmp_path: Path) -> None:
    disposal = Disposal(tmp_path / "outbox", copies=1)
    disposal.ready()
    store = disposal.worlds["cloud"].store
    store.bodies[disposal.object_of("cloud", b"2")] = b"X"
    (done,) = disposal.reclaim().reclaimed
    assert done.registries == ("main",)


def test_copies_are_verified_anew_in_every_round(disposal: Disposal) -> None:
    run = disposal.ready()
    writing = disposal.station.writers.writing
    writing.append("train[7]")
    assert kept(disposal, run) == "open for writing by train[7]"
    writing.clear()
    store = disposal.worlds["main"].store
    store.bodies[disposal.object_of("main", b"2")] = b"X"
    assert "1 verified copies" in kept(disposal, run)


def test_an_outage_is_tried_again_in_the_next_round_and_other_refusals_only_a_day_later(
    disposal: Disposal, monkeypatch: pytest.MonkeyPatch
) -> None:
    disposal.ready()
    holder = disposal.holder

    def away(registry: str) -> Holder:
        raise UnavailableError(f"{registry}: not reachable")

    monkeypatch.setattr(disposal, "holder", away)
    assert "not reachable" in disposal.reclaim(patient=True).refused[0].reason
    monkeypatch.setattr(disposal, "holder", holder)
    disposal.station.writers.writing.append("train[7]")
    assert "train[7]" in disposal.reclaim(patient=True).refused[0].reason
    disposal.station.writers.writing.clear()
    assert disposal.reclaim(patient=True).refused == ()
    assert disposal.names() == ["run"]
    disposal.wait()
    assert len(disposal.reclaim(patient=True).reclaimed) == 1


def test_a_changed_source_is_never_deleted_and_becomes_a_new_revision(disposal: Disposal) -> None:
    run = disposal.ready()
    (run / "a").write_text("other")
    assert "changed since it was sealed" in disposal.why_not()
    disposal.reclaim()
    disposal.station.settle()
    assert len(disposal.station.envelopes()) == 2
    assert tree(run) == {**FILES, "a": b"other"}


def test_a_change_that_no_time_shows_is_found_by_reading_every_byte(disposal: Disposal) -> None:
    run = disposal.ready()
    record = disposal.journal.folders.get("w", str(run))
    assert record is not None
    (run / "a").write_text("X")
    looks = fingerprint_of(LocalFolder(str(run), hashes=NoHashes()).survey())
    disposal.journal.folders.set(msgspec.structs.replace(record, fingerprint=looks))  # as a broken disk would look
    assert kept(disposal, run, {**FILES, "a": b"X"}) == "changed since it was sealed: 'a'"


def test_files_that_the_watch_excludes_keep_the_whole_folder(tmp_path: Path) -> None:
    disposal = Disposal(tmp_path / "outbox", exclude=("*.log",))
    run = disposal.ready("run", {"a": "1", "d/x.log": "mine"})
    assert disposal.why_not() == "holds files that no registry has: 'd/x.log'"
    disposal.reclaim()
    assert tree(run) == {"a": b"1", "d/x.log": b"mine"}
    (run / "d/x.log").unlink()
    (run / "void.log").mkdir()
    assert len(disposal.reclaim().reclaimed) == 1, "an empty folder is no file"


def test_the_done_marker_goes_with_its_run_and_anything_beside_it_stays(disposal: Disposal) -> None:
    run = disposal.ready("run", {"a": "1", ".sealrun/done.json": "{}", ".sealrun/notes": "mine"})
    assert "holds files that no registry has: '.sealrun/notes'" in disposal.why_not()
    (run / ".sealrun/notes").unlink()
    assert len(disposal.reclaim().reclaimed) == 1
    assert disposal.names() == []


def test_links_and_empty_folders_and_hard_links_go_too(disposal: Disposal) -> None:
    run = a_folder(disposal.root / "run", {"a": "1", "d/b": "2"})
    (run / "void/deep").mkdir(parents=True)
    (run / "d/up").symlink_to("../a")
    os.link(run / "a", run / "d/again")
    disposal.ready()
    assert len(disposal.reclaim().reclaimed) == 1
    assert disposal.names() == []


def test_a_link_that_is_no_part_of_a_run_of_wandb_goes_with_it(disposal: Disposal) -> None:
    run = a_folder(disposal.root / "run", {"a": "1", "logs/debug.log": "2"})
    (run / "logs/debug-core.log").symlink_to("/nowhere/core-debug.log")
    disposal.ready()
    assert len(disposal.reclaim().reclaimed) == 1
    assert disposal.names() == []


def test_dropped_files_are_reclaimed_one_by_one(tmp_path: Path) -> None:
    disposal = Disposal(tmp_path / "outbox", unit="file")
    a_folder(disposal.root, {"x.csv": "1", "y.csv": "2"})
    disposal.station.settle()
    disposal.publish()
    disposal.wait()
    store = disposal.worlds["main"].store
    store.bodies[disposal.object_of("main", b"2")] = b"X"
    report = disposal.reclaim()
    assert [Path(done.path).name for done in report.reclaimed] == ["x.csv"]
    assert disposal.names() == ["y.csv"]
    assert (disposal.root / "y.csv").read_bytes() == b"2"


class Meddling(LocalSourceRemover):
    """Does something just before a step."""

    def __init__(self, step: str, deed: Callable[[Path], object]) -> None:
        super().__init__(workers=1)
        self.step, self.deed = step, deed

    def contents(self, aside: SetAside, unit: Literal["folder", "file"]) -> Contents:
        if self.step == "contents":
            self.deed(Path(aside.hidden))
        return super().contents(aside, unit)

    def remove(self, aside: SetAside, contents: Contents) -> Sequence[str]:
        if self.step == "remove":
            self.deed(Path(aside.hidden))
        return super().remove(aside, contents)


@pytest.mark.parametrize(
    ("deed", "files"),
    [
        (lambda run: (run / "a").write_text("new"), {**FILES, "a": b"new"}),
        (lambda run: (run / "new").write_text("new"), {**FILES, "new": b"new"}),
        (lambda run: (run / "b/c").unlink(), {"a": b"1"}),
        (lambda run: (run / "b/c").rename(run / "b/d"), {"a": b"1", "b/d": b"2"}),
    ],
)
def test_whatever_a_producer_does_before_the_last_reading_puts_the_folder_back(
    disposal: Disposal, deed: Callable[[Path], object], files: dict[str, bytes]
) -> None:
    run = disposal.ready()
    disposal.remover = Meddling("contents", deed)
    kept(disposal, run, files)
    assert disposal.station.state("run") == "sealed"
    disposal.station.settle()
    assert len(disposal.station.envelopes()) == 2, "what it is now is a new revision"


def test_an_unreadable_thing_or_a_pipe_puts_the_folder_back(disposal: Disposal) -> None:
    run = disposal.ready()
    disposal.remover = Meddling("contents", lambda hidden: os.mkfifo(hidden / "pipe"))
    assert "named pipe" in disposal.reclaim().refused[0].reason
    assert disposal.names() == ["run"]
    assert (run / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("deed", "left"),
    [
        (lambda run: (run / "b/c").write_text("new"), {"b/c": b"new"}),
        (lambda run: (run / "b/new").write_text("new"), {"b/new": b"new"}),
        (lambda run: os.utime(run / "b/c"), {"b/c": b"2"}),
    ],
)
def test_a_file_that_changes_between_hash_and_unlink_stays(
    disposal: Disposal, deed: Callable[[Path], object], left: dict[str, bytes]
) -> None:
    disposal.ready()
    disposal.remover = Meddling("remove", deed)
    (refused,) = disposal.reclaim().refused
    assert "what is left stands in" in refused.reason
    assert disposal.names() == [".run.sealrun-reclaimed"]
    assert tree(disposal.root / ".run.sealrun-reclaimed") == left
    disposal.remover = LocalSourceRemover()
    disposal.station.settle()
    assert len(disposal.station.envelopes()) == 1, "what is left is not taken for a new run"
    if left == {"b/c": b"2"}:  # only its time had changed
        assert len(disposal.reclaim().reclaimed) == 1
    else:
        assert "what is left" not in disposal.reclaim().refused[0].reason
        assert tree(disposal.root / ".run.sealrun-reclaimed") == left


def test_a_folder_swapped_for_a_link_is_not_followed(disposal: Disposal, tmp_path: Path) -> None:
    disposal.ready()
    outside = a_folder(tmp_path / "outside", {"c": "2"})

    def swap(hidden: Path) -> None:
        (hidden / "b").rename(hidden / "old")
        (hidden / "b").symlink_to(outside)

    disposal.remover = Meddling("remove", swap)
    assert disposal.reclaim().reclaimed == ()
    assert tree(outside) == {"c": b"2"}


def test_a_new_folder_under_the_same_name_is_not_touched_when_the_old_one_is_put_back(disposal: Disposal) -> None:
    run = disposal.ready()

    def replace(hidden: Path) -> None:
        a_folder(run, {"new": "3"})
        (hidden / "a").write_text("changed")

    disposal.remover = Meddling("contents", replace)
    (refused,) = disposal.reclaim().refused
    assert "is there already" in refused.reason
    assert tree(run) == {"new": b"3"}
    assert tree(disposal.root / ".run.sealrun-reclaim") == {**FILES, "a": b"changed"}


def test_a_dry_run_touches_nothing_and_says_why_and_why_not(disposal: Disposal) -> None:
    disposal.ready("one")
    disposal.drop("two")
    before, writes = disposal.names(), disposal.journal.folders.writes
    events = len(disposal.journal.events.seen)
    plan = disposal.reclaimer().plan(thorough=True)
    said = [(Path(each.path).name, each.due, each.size, each.files) for each in plan.sources]
    assert said == [("one", True, 2, 2), ("two", False, 2, 2)]
    assert plan.sources[0].reasons[0].startswith("published to cloud, main, due ")
    assert plan.sources[1].reasons == (
        "registry 'cloud' does not have it yet (queued)",
        "registry 'main' does not have it yet (queued)",
    )
    assert disposal.names() == before
    assert (disposal.journal.folders.writes, len(disposal.journal.events.seen)) == (writes, events)
    assert disposal.verified == []


class DeathError(BaseException):
    """The process died."""


class Mortal:
    """Counts what is done to disk and journal, dies before the n-th, and does nothing any more from then on."""

    def __init__(self, dies_at: int) -> None:
        self.left = dies_at
        self.dead = False

    def breathe(self) -> None:
        self.left -= 1
        self.dead = self.dead or self.left < 0
        if self.dead:
            raise DeathError

    def lets(self, call: Callable[..., object]) -> Callable[..., object]:
        def guarded(*arguments: object, **options: object) -> object:
            self.breathe()
            return call(*arguments, **options)

        return guarded


def test_a_crash_at_any_step_is_healed_and_nothing_is_lost_or_published_twice(tmp_path: Path) -> None:
    deaths = 0
    while True:
        disposal = Disposal(tmp_path / f"outbox-{deaths}")
        disposal.ready("run", {"a": "1", "b/c": "2", "d": "3"})
        if not _dies(disposal, deaths):
            break
        deaths += 1
        begun = disposal.names() != ["run"] and disposal.names()[0].endswith("-reclaimed")
        disposal.station.settle()
        if begun:
            key, bodies = disposal.object_of("main", b"3"), disposal.worlds["main"].store.bodies
            bodies[key] = b"X"
            assert "1 verified copies" in disposal.reclaim().refused[0].reason
            bodies[key] = b"3"
        disposal.reclaim()
        disposal.station.settle()
        disposal.wait()
        disposal.reclaim()
        assert disposal.names() == []
        assert disposal.station.state("run") == "reclaimed"
        assert len(disposal.station.envelopes()) == 1, "a folder that lost files is never taken for a run"
        assert "watch.missing" not in disposal.journal.events.kinds()
    assert deaths == 8


def _dies(disposal: Disposal, at: int) -> bool:
    life = Mortal(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, life.lets(getattr(os, name)))
        patch.setattr("sealrun.adapters.run_folders.reclaiming.rename_new", life.lets(rename_new))
        patch.setattr(disposal.journal.folders, "set", life.lets(disposal.journal.folders.set))
        try:
            disposal.reclaim()
        except DeathError:
            return True
    return False


def test_a_folder_that_cannot_be_renamed_stays_as_it_is(disposal: Disposal, monkeypatch: pytest.MonkeyPatch) -> None:
    run = disposal.ready()

    def refuse(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted", source, None, target)

    monkeypatch.setattr("sealrun.adapters.run_folders.reclaiming.rename_new", refuse)
    assert "cannot be renamed" in kept(disposal, run)
    assert disposal.station.state("run") == "sealed"


def test_looking_finds_what_patterns_hide(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1", ".hidden": "2"})
    found: Tree = LocalSourceRemover().look(str(run), "folder")
    assert set(found.files) == {"a", ".hidden"}


def test_a_watch_that_reclaims_no_more_leaves_every_folder_alone(tmp_path: Path) -> None:
    disposal = Disposal(tmp_path / "outbox")
    run = disposal.ready()
    plan = disposal.reclaimer().plan()
    assert len(plan.due) == 1
    disposal.station.watch = msgspec.structs.replace(disposal.station.watch, reclaim=None)
    report = disposal.reclaimer().execute(plan)
    assert report.reclaimed == ()
    assert tree(run) == FILES
    assert disposal.reclaimer().plan().sources == ()


def test_a_deletion_that_had_begun_waits_for_somebody_when_the_watch_reclaims_no_more(disposal: Disposal) -> None:
    disposal.ready()
    disposal.remover = Meddling("remove", lambda hidden: os.utime(hidden / "a"))
    disposal.reclaim()
    disposal.remover = LocalSourceRemover()
    disposal.station.watch = msgspec.structs.replace(disposal.station.watch, reclaim=None)
    (refused,) = disposal.reclaim().refused
    assert "look at it" in refused.reason
    assert disposal.names() == [".run.sealrun-reclaimed"]


def test_a_plan_that_is_old_by_now_is_judged_anew(disposal: Disposal) -> None:
    run = disposal.ready()
    reclaimer = disposal.reclaimer()
    plan = reclaimer.plan()
    (run / "a").write_text("new")
    report = reclaimer.execute(plan)
    assert "changed since it was sealed" in report.refused[0].reason
    assert disposal.verified == [], "no copy is read for what stays anyway"


def test_a_writer_or_a_publication_that_turns_up_after_verifying_puts_the_folder_back(
    disposal: Disposal,
) -> None:
    run = disposal.ready()
    writing = disposal.station.writers.writing
    disposal.remover = Meddling("contents", lambda _hidden: writing.append("train[7]"))
    assert kept(disposal, run) == "open for writing by train[7]"
    writing.clear()
    sealed = disposal.journal.deliveries.run(1)
    other = msgspec.structs.replace(sealed, run_json=sealed.run_json + b" ")
    disposal.remover = Meddling("contents", lambda _hidden: disposal.journal.deliveries.accept(other, ["elsewhere"]))
    assert "is queued for registry 'elsewhere'" in kept(disposal, run)


def test_a_verification_that_skips_bytes_is_none(disposal: Disposal, monkeypatch: pytest.MonkeyPatch) -> None:
    run = disposal.ready()
    monkeypatch.setattr(
        "sealrun.services.sources.copies.Verifier", lambda reader, **_options: Verifier(reader, read_bytes=False)
    )
    assert "0 of 2 bytes were read again" in kept(disposal, run)


def test_a_source_stays_until_a_registry_that_the_watch_got_later_has_it(disposal: Disposal) -> None:
    run = disposal.ready()
    disposal.station.watch = msgspec.structs.replace(disposal.station.watch, registries=("main", "cloud", "new"))
    assert "registry 'new' does not have it yet (never queued" in disposal.why_not()
    disposal.reclaim()
    assert tree(run) == FILES
    disposal.station.watch = msgspec.structs.replace(disposal.station.watch, registries=("main", "cloud"))
    assert disposal.reclaim().reclaimed


def test_a_source_stays_for_a_delivery_that_knows_it_by_another_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "outbox").symlink_to("real")
    disposal = Disposal(tmp_path / "outbox")
    run = disposal.ready()
    (delivery, *_) = disposal.journal.deliveries.all()
    sealed = disposal.journal.deliveries.run(delivery.sealed)
    other = msgspec.structs.replace(sealed, folder=str(tmp_path / "real/run"))
    disposal.journal.deliveries.accept(other, ["elsewhere"])
    assert "is queued for registry 'elsewhere'" in disposal.why_not()
    disposal.reclaim()
    assert tree(run) == FILES


def test_what_a_paused_watch_holds_is_left_alone_but_by_hand(disposal: Disposal) -> None:
    run = disposal.ready()
    disposal.paused.add(disposal.station.watch.name)
    (source,) = disposal.reclaimer().plan().sources
    assert source.reasons == ("its watch is paused",)
    disposal.paused.clear()
    plan = disposal.reclaimer().plan()
    disposal.paused.add(disposal.station.watch.name)  # between the plan and the deletion
    (refused,) = disposal.reclaimer().execute(plan).refused
    assert refused.reason == "its watch is paused"
    assert tree(run) == FILES
    assert disposal.reclaim(patient=False).reclaimed


def test_a_folder_from_which_nothing_may_be_deleted_keeps_the_whole(
    disposal: Disposal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = disposal.ready()
    access = os.access
    # Who runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda path, *mode, **how: Path(path).name != "b" and access(path, *mode, **how))
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    assert "nothing may be deleted from 'b' in it" in kept(disposal, run)


def test_a_name_that_leaves_no_room_says_what_to_do(tmp_path: Path) -> None:
    disposal = Disposal(tmp_path / "outbox")
    run = disposal.ready("r" * 245)
    assert "give it a shorter one" in kept(disposal, run)
