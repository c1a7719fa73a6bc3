from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.builders.folders import Station, Writers, a_folder, sha256sum

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.errors import NoSpaceError
from sealrun.domain.watches.settling import SettleRules
from sealrun.ports import FolderRecord
from sealrun.services.watching.detecting import Explanation, explain, find_framework


class Following:
    """`ports.Watcher` that remembers whom it follows."""

    def __init__(self) -> None:
        self.followed: set[str] = set()

    def watch(self, root: str, on_change: object) -> None:
        raise NotImplementedError

    def follow(self, folder: str) -> None:
        self.followed.add(folder)

    def unfollow(self, folder: str) -> None:
        self.followed.discard(folder)

    def describe(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        pass


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path / "outbox")


def test_a_quiet_folder_is_sealed_once_and_queued_for_every_registry(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1"})
    station.settle()
    assert station.state("run") == "sealed"
    assert [d.registry for d in station.journal.deliveries.all()] == ["cloud", "main"]
    assert station.envelopes()[0].completion.method == "quiet"
    for _ in range(3):
        station.rescan(60)
    assert station.sealer.calls == 1
    assert len(station.envelopes()) == 1


def test_a_growing_folder_waits_until_it_stops(station: Station) -> None:
    run = a_folder(station.root / "run", {"log": ""})
    station.rescan()
    for _ in range(10):
        with (run / "log").open("a") as log:
            log.write("more\n")
        station.rescan(29)
    assert station.state("run") == "settling"
    assert station.reason("run") == "changed within the last 30 s"
    station.rescan(30)
    assert station.state("run") == "sealed"


def test_a_growing_folder_does_not_write_to_the_journal_at_every_look(station: Station) -> None:
    run = a_folder(station.root / "run", {"log": ""})
    station.rescan()
    station.rescan(1)
    before = station.journal.folders.writes
    for n in range(10):
        (run / "log").write_text(str(n))
        station.rescan(5)
    assert station.journal.folders.writes == before


def test_a_marked_folder_is_sealed_after_the_grace(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1", "_SUCCESS": ""})
    station.rescan()
    station.rescan(1.9)
    assert station.state("run") == "settling"
    station.rescan(0.1)
    (envelope,) = station.envelopes()
    assert (envelope.completion.evidence, envelope.status) == ("_SUCCESS", "success")


def test_a_marker_that_is_copied_first_does_not_cut_the_run_short(station: Station) -> None:
    run = a_folder(station.root / "run", {"_SUCCESS": ""})
    for n in range(5):
        station.rescan()
        a_folder(run, {f"f{n}": "1"})
        station.rescan(1.5)
    station.rescan(2)
    assert station.envelopes()[0].files == 6


def test_done_json_alone_completes_a_folder(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1", ".sealrun/done.json": '{"status": "failed"}'})
    station.rescan()
    station.rescan(2)
    assert station.envelopes()[0].status == "failed"


def test_a_folder_moved_in_is_sealed_whole(station: Station, tmp_path: Path) -> None:
    made = a_folder(tmp_path / "elsewhere", {"deep/a": "1", "b": "2", "_SUCCESS": ""})
    station.rescan()
    made.rename(station.root / "run")
    station.intake.mark(str(station.root / "run"))
    station.look()
    station.look(2)
    assert station.envelopes()[0].files == 3


def test_an_unfinished_copy_waits_for_its_temporary_name_to_go(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1", ".model.bin.Xy12ab": "half", "_SUCCESS": ""})
    station.rescan()
    station.rescan(1000)
    assert ".model.bin.Xy12ab" in station.reason("run")
    (run / ".model.bin.Xy12ab").rename(run / "model.bin")
    station.rescan()
    station.rescan(2)
    assert station.state("run") == "sealed"


def test_an_open_writer_is_waited_for_and_named(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1", "_SUCCESS": ""})
    station.rescan()
    assert station.writers.asked == 0  # the process table is read only when everything else is ready
    station.writers.writing = ["python[7]"]
    station.rescan(60)
    assert station.reason("run") == "open for writing by python[7]"
    station.writers.writing = []
    station.rescan()
    assert station.state("run") == "sealed"


def test_a_required_file_is_waited_for_until_the_folder_is_stale(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox", require=("metrics.json",), stale_after_s=3600.0)
    run = a_folder(station.root / "run", {"a": "1", "_SUCCESS": ""})
    station.settle()
    assert "metrics.json" in station.reason("run")
    station.rescan(3600)
    assert station.state("run") == "stale"
    for _ in range(3):
        station.rescan(3600)
    assert station.journal.events.kinds().count("run.stale") == 1
    (run / "metrics.json").write_text("{}")
    station.rescan()
    station.rescan(2)
    assert station.state("run") == "sealed"


def test_staleness_survives_a_restart(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox", require=("x",), stale_after_s=3600.0)
    a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    again = Station(station.root, journal=station.journal, require=("x",), stale_after_s=3600.0)
    again.clock.advance(4000)
    again.rescan()
    assert again.state("run") == "stale"


def test_a_stale_folder_stays_stale_over_a_restart_without_a_second_alarm(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox", require=("x",), stale_after_s=3600.0)
    a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    station.rescan(3600)
    again = Station(station.root, journal=station.journal, require=("x",), stale_after_s=3600.0)
    again.rescan()
    assert again.state("run") == "stale"
    assert station.journal.events.kinds() == ["run.stale"]


@pytest.mark.parametrize("unit", ["folder", "file"])
def test_a_watch_root_may_be_a_link(tmp_path: Path, unit: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "outbox").symlink_to("real")
    (tmp_path / "real/.sealignore").write_text("*.log\n")
    station = Station(tmp_path / "outbox", unit=unit)
    a_folder(station.root, {"thing": "1", "x.log": "2"} if unit == "file" else {"thing/a": "1", "thing/b.log": "2"})
    station.settle()
    assert station.state("thing") == "sealed"
    (envelope,) = station.envelopes()
    assert envelope.files == 1


def test_a_journal_that_fails_once_does_not_wedge_the_folder(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    monkeypatch.setattr(station.journal.deliveries, "accept", _no_space)
    station.rescan(30)
    assert (station.state("run"), station.reason("run")) == ("settling", "the disk is full")
    monkeypatch.undo()
    station.look(30)
    station.look(30)
    assert station.state("run") == "sealed"


def _no_space(*_args: object) -> int:
    raise NoSpaceError("the disk is full")


def test_a_restart_settles_again_before_sealing(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    again = Station(station.root, journal=station.journal)
    again.clock.advance(10_000)
    again.rescan()
    assert again.state("run") == "settling"
    again.rescan(30)
    assert again.state("run") == "sealed"


def test_a_folder_with_an_escaping_link_is_rejected_until_it_changes(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    (run / "passwd").symlink_to("/etc/passwd")
    station.settle()
    assert station.state("run") == "rejected"
    assert "passwd" in station.reason("run")
    assert station.sealer.calls == 0
    for _ in range(3):
        station.settle()
    assert station.journal.events.kinds().count("run.rejected") == 1
    (run / "passwd").unlink()
    station.settle()
    assert station.state("run") == "sealed"


def test_a_run_folder_whose_name_is_not_utf8_is_rejected_once(station: Station) -> None:
    a_folder(station.root / os.fsdecode(b"caf\xe9"), {"a": "1"})
    station.settle()
    station.settle()
    assert station.state("caf\\xe9") == "rejected"
    assert station.journal.events.kinds() == ["run.rejected"]


def test_a_broken_ignore_file_rejects_the_run_with_the_line(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    (run / ".sealignore").mkdir()
    station.settle()
    assert station.state("run") == "rejected"
    assert ".sealignore" in station.reason("run")


def test_ignore_files_of_the_run_and_of_the_root_apply(station: Station) -> None:
    (station.root / ".sealignore").write_text("*.log\nscratch-run/\nrun/only\n")
    a_folder(station.root / "scratch-run", {"a": "1"})
    a_folder(station.root / "run", {"a": "1", "b.log": "1", "c.bin": "1", "only": "1", ".sealignore": "*.bin\n"})
    station.settle()
    assert station.state("scratch-run") == "unknown"
    run = station.journal.deliveries.run(1)
    assert [entry.path for entry in run.manifest().entries] == [".sealignore", "a"]


def test_a_folder_that_changes_after_it_was_sealed_becomes_a_new_revision(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    (run / "b").write_bytes(b"2")
    station.rescan()
    assert station.state("run") == "settling"
    station.rescan(30)
    first, second = station.envelopes()
    assert second.supersedes == first.run_id
    assert second.run_id != first.run_id
    assert second.files == 2


def test_the_same_content_touched_again_is_no_new_run(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    before = station.journal.folders.get("w", str(run))
    (run / "a").write_bytes(b"1")
    station.settle()
    after = station.journal.folders.get("w", str(run))
    assert before is not None
    assert after is not None
    assert len(station.envelopes()) == 1
    assert after.state == "sealed"
    assert (after.run_id, after.sealed) == (before.run_id, before.sealed)
    assert after.fingerprint != before.fingerprint
    station.settle()
    assert station.sealer.calls == 2


def test_a_folder_that_changes_while_it_is_sealed_settles_again(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})

    def interfere() -> None:
        (run / "late").write_bytes(b"2")

    station.sealer.before = interfere
    station.settle()
    assert station.state("run") == "settling"
    assert station.journal.events.kinds() == ["run.changed"]
    assert station.envelopes() == []
    station.rescan(1)
    station.rescan(30)
    assert station.envelopes()[0].files == 2


def test_a_false_manifest_counts_for_nothing_and_quiet_decides(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    sums = sha256sum(run, "a")
    a_folder(run, {"MANIFEST.sha256": sums.replace(b"6", b"7")})
    station.rescan()
    station.rescan(2)
    assert station.state("run") == "settling"
    station.rescan(1)
    station.rescan(30)
    assert station.envelopes()[0].completion.method == "quiet"


def test_a_true_manifest_is_a_marker(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1", "d/b": "2"})
    sums = sha256sum(run, "./a", "d/b")
    a_folder(run, {"MANIFEST.sha256": b"# made by hand\n" + sums})
    station.rescan()
    station.rescan(2)
    assert station.envelopes()[0].completion.evidence == "MANIFEST.sha256"


@pytest.mark.parametrize(
    ("on_failed", "state", "event"),
    [
        ("seal", "sealed", "run.sealed"),
        ("skip", "skipped", "run.skipped"),
        ("quarantine", "rejected", "run.quarantined"),
    ],
)
def test_what_becomes_of_failed_runs_is_the_watchs_choice(
    tmp_path: Path, on_failed: str, state: str, event: str
) -> None:
    station = Station(tmp_path / "outbox", on_failed=on_failed)
    a_folder(station.root / "run", {"a": "1", "run.json": '{"status": "failed"}'})
    station.settle()
    station.settle()
    assert station.state("run") == state
    assert station.journal.events.kinds() == [event]


def test_a_vanished_root_is_an_alarm_and_never_a_deletion(station: Station, tmp_path: Path) -> None:
    a_folder(station.root / "run", {"a": "1"})
    a_folder(station.root / "young", {"a": "2"})
    station.settle()
    away = tmp_path / "away"
    station.root.rename(away)
    for _ in range(3):
        assert station.rescan(60).missing is not None
    assert station.state("run") == "sealed"
    assert station.journal.events.kinds().count("watch.missing") == 1
    away.rename(station.root)
    assert station.rescan(60).missing is None
    assert station.journal.events.kinds()[-1] == "watch.returned"
    assert station.sealer.calls == 2


def test_nothing_is_due_while_the_root_is_missing(station: Station, tmp_path: Path) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    station.root.rename(tmp_path / "away")
    station.intake.mark(str(run))
    station.look(30)
    assert station.intake.next_look() == math.inf
    (tmp_path / "away").rename(station.root)
    station.rescan()
    station.rescan(30)
    assert station.state("run") == "sealed"


def test_a_root_that_comes_up_empty_is_an_alarm_and_never_a_deletion(station: Station) -> None:
    assert station.rescan().missing is None  # empty from the start is ordinary
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    shutil.rmtree(run)
    assert station.rescan().missing is not None
    assert station.state("run") == "sealed"
    a_folder(station.root / "other", {"b": "1"})
    station.settle()
    assert station.state("other") == "sealed"


def test_a_folder_that_may_not_be_listed_any_more_is_an_alarm_if_runs_were_seen_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = Station(tmp_path / "outbox", glob="*/*")
    a_folder(station.root / "exp/run", {"x": "1"})
    (station.root / "lost+found").mkdir()
    station.settle()
    scandir, closed = os.scandir, {str(station.root / "lost+found")}

    def refusing(path: str) -> object:
        if path in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    a_folder(station.root / "exp/run2", {"x": "2"})
    station.settle()
    assert station.state("exp/run2") == "sealed"
    closed.add(str(station.root / "exp"))
    (station.root / "touched").mkdir()  # so that it is listed once more
    missing = station.rescan(60).missing
    assert missing == f"{station.root}/exp may not be listed, though runs were seen in it"
    assert station.state("exp/run") == "sealed"
    unreadable = [event["subject"] for event in station.journal.events.recent() if event["kind"] == "watch.unreadable"]
    assert sorted(unreadable) == sorted(closed)
    closed.clear()
    assert station.rescan(60).missing is None


def test_a_folder_that_went_away_is_written_down_and_known_again_on_return(station: Station, tmp_path: Path) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    a_folder(station.root / "stays", {"a": "2"})
    station.settle()
    run.rename(tmp_path / "away")
    assert station.rescan().gone == (str(run),)
    assert station.state("run") == "gone"
    (tmp_path / "away").rename(run)
    station.settle()
    assert station.state("run") == "sealed"
    assert len(station.envelopes()) == 2


def test_hidden_folders_links_and_plain_files_are_no_runs(station: Station, tmp_path: Path) -> None:
    a_folder(station.root / ".hidden", {"a": "1"})
    a_folder(tmp_path / "outside", {"a": "1"})
    (station.root / "link").symlink_to(tmp_path / "outside")
    (station.root / "file.txt").write_text("x")
    station.settle()
    assert station.journal.folders.all() == []


def test_runs_may_lie_deeper(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox", glob="2026-*/*")
    a_folder(station.root / "2026-01-17/12-00-00", {"a": "1"})
    a_folder(station.root / "other/12-00-00", {"a": "1"})
    station.settle()
    assert [record.path for record in station.journal.folders.all()] == [str(station.root / "2026-01-17/12-00-00")]
    late = a_folder(station.root / "2026-01-18/x", {"a": "1"})
    station.intake.mark(str(late / "deep/file"))
    station.look(1)
    assert station.state("2026-01-18/x") == "settling"
    station.intake.mark(str(station.root / "2026-01-19"))
    assert station.intake.next_look() == -math.inf


def test_dropped_files_are_runs_of_their_own(tmp_path: Path) -> None:
    station = Station(tmp_path / "drop", unit="file", glob="*.csv", exclude=("bad*",))
    a_folder(station.root, {"profile.csv": "1", "bad.csv": "2", "notes.txt": "3", "x.csv.part": "4"})
    station.settle()
    (envelope,) = station.envelopes()
    assert envelope.publish_names == {"profile.csv": "profile.csv"}
    a_folder(station.root, {"profile.csv": "11"})
    station.settle()
    assert station.envelopes()[1].supersedes == envelope.run_id


def test_hints_are_enough_between_rescans(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    assert station.intake.next_look() == math.inf
    station.intake.mark(str(run / "a"))
    assert station.intake.next_look() <= station.clock.monotonic()
    assert station.look().looked == 1
    assert station.intake.next_look() == station.clock.monotonic() + 30
    assert station.look(30).settled == (str(run),)
    assert station.intake.next_look() == math.inf


def test_a_folder_that_is_written_to_all_the_time_is_not_looked_at_all_the_time(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    looked = 0
    for _ in range(40):
        station.intake.mark(str(run / "a"))
        looked += station.look(0.1).looked
    assert looked <= 4


def test_a_lost_event_means_look_at_everything(station: Station) -> None:
    a_folder(station.root / "run", {"a": "1"})
    station.intake.mark(None)
    assert station.look().looked == 1


def test_a_hint_that_names_nothing_is_harmless(station: Station) -> None:
    for path in ("/elsewhere/x", str(station.root), str(station.root / "nothing/deep"), str(station.root / ".hidden")):
        station.intake.mark(path)
        station.look(1)
    assert station.intake.next_look() == math.inf
    assert station.journal.folders.all() == []


def test_only_unsettled_folders_are_followed(tmp_path: Path) -> None:
    following = Following()
    station = Station(tmp_path / "outbox", watcher=following)
    run = a_folder(station.root / "run", {"a": "1"})
    station.rescan()
    assert following.followed == {str(run)}
    station.rescan(30)
    assert following.followed == set()
    station.rescan(30)
    assert following.followed == set()


def test_a_sealing_that_ends_while_nobody_looks_wakes_whoever_waits_for_the_next_look(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox")
    pool: list[Callable[[], None]] = []
    woken: list[float] = []
    station.intake._launch = pool.append
    station.intake.wake_by(lambda: woken.append(station.intake.next_look()))
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    (run / "a").write_text("2")  # so that what was seen is not what is sealed
    assert station.intake.next_look() == math.inf
    pool.pop()()
    assert woken == [station.clock.monotonic() + 1]


def test_what_has_been_due_for_longest_is_looked_at_first(station: Station) -> None:
    for name in "cab":
        a_folder(station.root / name, {"x": name})
        station.clock.advance(1)
        station.intake.mark(str(station.root / name))
        station.look()
    assert station.look(60).settled == tuple(str(station.root / name) for name in "cab")


def test_a_single_look_takes_what_is_complete_now(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox", settle_now=True)
    a_folder(station.root / "marked", {"a": "1", "_SUCCESS": ""})
    a_folder(station.root / "fresh", {"a": "1"})
    station.rescan()
    assert (station.state("marked"), station.state("fresh")) == ("sealed", "settling")
    station.rescan(60)
    assert station.state("fresh") == "sealed"


def test_sealing_elsewhere_leaves_the_intake_free_and_is_not_started_twice(tmp_path: Path) -> None:
    station = Station(tmp_path / "outbox")
    pool: list[object] = []
    station.intake._launch = pool.append
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    station.intake.mark(str(run))
    assert station.intake.next_look() == math.inf
    station.rescan(60)
    assert len(pool) == 1
    (run / "b").write_bytes(b"1")
    pool.pop()()  # type: ignore[operator] # what was launched
    assert station.state("run") == "settling"
    station.rescan(1)
    station.rescan(30)
    assert len(pool) == 1


def test_a_hint_that_arrives_while_a_run_is_sealed_is_not_lost(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.sealer.after = lambda: station.intake.mark(str(a_folder(run, {"late": "2"}) / "late"))
    station.settle()
    assert station.state("run") == "sealed"
    assert station.look(1).waiting == (str(run),)
    station.look(30)
    assert [envelope.files for envelope in station.envelopes()] == [1, 2]


def test_an_accepted_run_that_is_offered_again_after_a_crash_is_not_queued_twice(station: Station) -> None:
    run = a_folder(station.root / "run", {"a": "1"})
    station.settle()
    forgotten = FolderRecord(watch="w", path=str(run), state="settling", reason="", since=0)
    station.journal.folders.set(forgotten)
    station.settle()
    assert len(station.envelopes()) == 1
    assert station.state("run") == "sealed"


def _explain(path: Path, rules: SettleRules | None = None, writers: Writers | None = None) -> Explanation:
    clock = Station(path.parent / "unused").clock
    return explain(open_alone(str(path), NoHashes()), rules or SettleRules(), writers or Writers(), clock)


def test_an_explanation_says_everything_that_is_awaited(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a.part": "1", "meta.yaml": "run_id: x\nstatus: 1\n"})
    os.mkfifo(run / "pipe")
    (run / "empty").mkdir()
    writers = Writers()
    writers.writing = ["python[7]"]
    said = _explain(run, SettleRules(require=("metrics.json",)), writers)
    assert not said.complete
    assert (said.missing, said.forbidden, said.writers) == (("metrics.json",), ("a.part",), ("python[7]",))
    assert said.framework == "mlflow"
    assert said.rejected is not None
    assert len(said.awaited) == 3
    assert said.empty_folders == ("empty",)


def test_an_explanation_of_a_complete_folder_names_the_evidence(tmp_path: Path) -> None:
    said = _explain(a_folder(tmp_path / "run", {"a": "1", "_SUCCESS": ""}))
    assert said.complete
    assert said.awaited == ()
    assert said.evidence == "marker: _SUCCESS"
    assert said.markers == ("_SUCCESS",)


@pytest.mark.parametrize(
    ("files", "framework", "state", "status"),
    [
        ({"part-0": "x", "_SUCCESS": ""}, "success-file", "finished", "success"),
        ({"_SUCCESS": "", "_temporary/0/x": ""}, "success-file", "running", "unknown"),
        ({"meta.yaml": "run_id: x\nstatus: 3\n"}, "mlflow", "finished", "success"),
        ({"meta.yaml": "run_id: x\nstatus: 4\n"}, "mlflow", "finished", "failed"),
        ({"meta.yaml": "run_id: x\nstatus: 1\n"}, "mlflow", "running", "unknown"),
        (
            {"run.json": '{"heartbeat": 1, "status": "FAILED"}', "cout.txt": "", "config.json": "{}"},
            "sacred",
            "finished",
            "failed",
        ),
        (
            {"run.json": '{"heartbeat": 1, "status": "RUNNING"}', "cout.txt": "", "config.json": "{}"},
            "sacred",
            "running",
            "unknown",
        ),
        ({".hydra/config.yaml": "a: 1"}, "hydra", "silent", "unknown"),
        ({"meta.yaml": "title: mine\nstatus: 3\n", "run.json": '{"status": "FAILED"}'}, None, None, None),
    ],
)
def test_frameworks_are_recognised_by_their_own_files(
    tmp_path: Path, files: Mapping[str, str], framework: str | None, state: str | None, status: str | None
) -> None:
    folder = open_alone(str(a_folder(tmp_path / "run", files)), NoHashes())
    found = find_framework(folder, folder.scan(), "auto")
    assert (found and found.framework, found and found.state, found and found.status) == (framework, state, status)
    assert find_framework(folder, folder.scan(), "none") is None
