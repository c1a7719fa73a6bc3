"""Frameworks' real folders on disk: they settle when their run is over and not before, and its facts are sealed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.builders.folders import A_MOMENT, BY_COMMAND, Station, Writers, a_folder
from tests.builders.frameworks import ENDS, laid_out, recorded_names
from tests.fakes.clock import FakeClock

from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.errors import RunChangedError
from sealrun.domain.presets import recognise
from sealrun.domain.runs.manifest import Manifest
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.watches.settling import MARKER_GRACE_S, SettleRules
from sealrun.services.watching.detecting import Explanation, explain
from sealrun.services.watching.recognising import FolderLook, SealedLook, recognise_sealed
from sealrun.services.watching.sealing import SealRequest, seal

_SETTLE_S = 30.0
_SETTLING = ("hf-trainer/", "hydra/sweep", "hydra/search", "ray-tune/")
_SLOW = tuple(name for name, (state, _) in ENDS.items() if state == "finished" and name.startswith(_SETTLING))
"""Runs that ended, but where something may still follow."""
_SILENT = tuple(name for name, (state, _) in ENDS.items() if state == "silent")
_RUNNING = tuple(name for name, (state, _) in ENDS.items() if state == "running")
_ENDED = tuple(name for name in ENDS if name not in {*_SILENT, *_RUNNING, *_SLOW})


def a_station(tmp_path: Path, name: str, *, settle_now: bool = False, **settings: Any) -> Station:  # noqa: ANN401 - of a watch
    """A watch without markers of its own, in which one recorded run was dropped."""
    settings = {"markers": (), "settle_s": _SETTLE_S, "settle_now": settle_now, **settings}
    station = Station(tmp_path / "root", **settings)
    laid_out(name, station.root / "run")
    return station


def framework_of(name: str) -> str:
    return name.partition("/")[0]


def sealed(path: Path, preset: str = "auto") -> Envelope:
    request = SealRequest(experiment="e", completion=BY_COMMAND, preset=preset)
    return seal(open_alone(str(path), NoHashes()), request).envelope


def explained(path: Path, preset: str = "auto") -> Explanation:
    return explain(open_alone(str(path), NoHashes()), SettleRules(preset=preset, markers=()), Writers(), FakeClock())


@pytest.mark.parametrize("name", _ENDED)
def test_a_run_that_ended_is_sealed_after_the_grace_of_a_marker(tmp_path: Path, name: str) -> None:
    station = a_station(tmp_path, name)
    station.rescan()
    assert station.state("run") == "settling"
    station.rescan(MARKER_GRACE_S)
    assert station.state("run") == "sealed"
    (envelope,) = station.envelopes()
    assert (envelope.completion.method, envelope.completion.confidence) == ("framework", "declared")
    assert envelope.producer["framework"]["name"] == framework_of(name)


@pytest.mark.parametrize("name", [*_SLOW, *_SILENT])
def test_where_something_may_follow_the_whole_settle_time_is_waited_for(tmp_path: Path, name: str) -> None:
    station = a_station(tmp_path, name)
    station.rescan()
    station.rescan(_SETTLE_S - 1)
    assert station.state("run") == "settling"
    station.rescan(1)
    assert station.state("run") == "sealed"
    (envelope,) = station.envelopes()
    assert envelope.completion.method == ("quiet" if name in _SILENT else "framework")
    assert envelope.status == ENDS[name][1]


@pytest.mark.parametrize("name", _RUNNING)
def test_a_run_that_was_killed_is_never_taken_but_raises_an_alarm(tmp_path: Path, name: str) -> None:
    station = a_station(tmp_path, name, stale_after_s=3600.0)
    station.settle()
    station.rescan(600)
    assert station.state("run") == "settling"
    assert framework_of(name) in station.reason("run")
    assert "awaited" in station.reason("run")
    station.rescan(3600)
    assert station.state("run") == "stale"
    assert station.envelopes() == []


@pytest.mark.parametrize("name", [name for name in _RUNNING if name != "sacred/queued"])
def test_a_watch_may_take_a_run_that_was_killed_as_interrupted(tmp_path: Path, name: str) -> None:
    station = a_station(tmp_path, name, stale_after_s=3600.0, on_stale="seal")
    station.rescan()
    station.rescan(3599)
    assert station.state("run") == "settling"
    station.rescan(1)
    assert station.state("run") == "sealed"
    (envelope,) = station.envelopes()
    assert envelope.status == "interrupted"
    assert (envelope.completion.method, envelope.completion.confidence) == ("quiet", "inferred")
    assert f"{framework_of(name)} says that it is running" in envelope.completion.evidence


@pytest.mark.parametrize("what", ["writer", "required", "download", "change"])
def test_a_run_is_not_given_up_while_something_else_is_awaited(tmp_path: Path, what: str) -> None:
    settings: dict[str, Any] = {"require": ("metrics.json",)} if what == "required" else {}
    station = a_station(tmp_path, "mlflow/running", stale_after_s=3600.0, on_stale="seal", **settings)
    if what == "download":
        a_folder(station.root / "run", {"model.bin.part": "x"})
    station.writers.writing = ["python (7)"] if what == "writer" else []
    station.rescan()
    if what == "change":
        a_folder(station.root / "run", {"metrics/loss": "1795271945000 0.1 9\n"})
    station.rescan(3600)
    assert station.state("run") == ("settling" if what == "change" else "stale")
    assert station.envelopes() == []


def test_a_folder_that_holds_a_run_that_is_not_over_waits_for_it(tmp_path: Path) -> None:
    station = a_station(tmp_path, "hydra/quiet")
    inside = laid_out("wandb/finished", station.root / "run/wandb/offline-run-1")
    log = inside / "logs/debug-internal.log"
    (record,) = inside.glob("run-*.wandb")
    whole, words = record.read_bytes(), log.read_text()
    record.write_bytes(whole[:-14])
    log.write_text("{}\n")
    station.rescan()
    station.rescan(10 * _SETTLE_S)
    assert station.state("run") == "settling"
    assert "in wandb/offline-run-1" in station.reason("run")
    record.write_bytes(whole)
    log.write_text(words)
    station.rescan()
    station.rescan(_SETTLE_S)
    (envelope,) = station.envelopes()
    assert envelope.producer["framework"]["inside"][0]["run"] == "0d5qyk8k"


def test_the_link_to_the_log_of_wandbs_service_is_no_part_of_a_run(tmp_path: Path) -> None:
    run = laid_out("wandb/finished", tmp_path / "run")
    before = sealed(run)
    (run / "logs/debug-core.log").symlink_to("/home/somebody/.cache/wandb/logs/core-debug.log")
    assert explained(run).rejected is None
    assert sealed(run).tree_digest == before.tree_digest
    (run / "logs/other.log").symlink_to("/home/somebody/other.log")
    assert "absolute path" in (explained(run).rejected or "")


def test_a_command_that_does_not_stay_takes_a_slow_end_only_when_it_is_old(tmp_path: Path) -> None:
    station = a_station(tmp_path, "hf-trainer/finished", settle_now=True)
    station.rescan()
    assert station.state("run") == "settling"
    for path in station.root.rglob("*"):
        os.utime(path, (A_MOMENT, A_MOMENT))
    station.clock.advance(3600)  # changing times is a change
    station.rescan()
    assert station.state("run") == "sealed"


def test_the_facts_of_a_run_are_in_its_envelope(tmp_path: Path) -> None:
    envelope = sealed(laid_out("mlflow/failed", tmp_path / "run"))
    assert envelope.status == "failed"
    assert (envelope.started_at, envelope.finished_at) == ("2026-11-21T14:39:00Z", "2026-11-21T14:39:00Z")
    assert envelope.tags == ("release=yes",)
    assert envelope.producer["params"]["rate"] == "0.01"
    assert envelope.producer["metrics"] == {"loss": 0.3333333333333333, "val/loss": 0.5}
    assert envelope.producer["framework"] == {
        "name": "mlflow",
        "run": "d14f041f86a7448aa3685213bea3c47a",
        "ids": {"experiment": envelope.producer["framework"]["ids"]["experiment"], "name": "failed"},
    }


@pytest.mark.parametrize("name", recorded_names())
def test_sealing_a_recorded_run_twice_gives_the_same_envelope(tmp_path: Path, name: str) -> None:
    run = laid_out(name, tmp_path / "run")
    first = sealed(run)
    assert first == sealed(run)
    assert first.producer["framework"]["name"] == framework_of(name)


def test_a_preset_in_the_settings_reaches_the_envelope(tmp_path: Path) -> None:
    run = laid_out("mlflow/finished", tmp_path / "run")
    assert "framework" not in sealed(run, "none").producer
    assert sealed(run, "none").status == "unknown"


def test_a_watch_for_one_framework_does_not_take_what_is_none_of_its_runs_or_none_yet(tmp_path: Path) -> None:
    station = a_station(tmp_path, "mlflow/finished", preset="sacred", markers=("_SUCCESS",))
    station.settle()
    assert station.state("run") == "settling"
    assert station.reason("run") == "required but not there: anything by which a run of sacred is recognised"
    a_folder(station.root / "run", {"_SUCCESS": ""})
    station.rescan()
    station.rescan(MARKER_GRACE_S)
    (envelope,) = station.envelopes()
    assert (envelope.completion.method, "framework" in envelope.producer) == ("marker", False)


def test_a_prepared_folder_is_taken_once_its_framework_has_run_in_it(tmp_path: Path) -> None:
    station = Station(tmp_path / "root", markers=(), settle_s=_SETTLE_S, preset="snakemake")
    a_folder(station.root / "run", {"Snakefile": "rule all: ..."})
    station.settle()
    assert station.state("run") == "settling"
    shutil.copytree(laid_out("snakemake/succeeded", tmp_path / "run"), station.root / "run", dirs_exist_ok=True)
    station.rescan()
    station.rescan(MARKER_GRACE_S)
    assert [envelope.status for envelope in station.envelopes()] == ["success"]


def test_the_producers_own_records_have_the_last_word(tmp_path: Path) -> None:
    run = laid_out("mlflow/finished", tmp_path / "run")
    a_folder(run, {".sealrun/done.json": '{"status": "partial", "params": {"mine": 1}}'}, at=None)
    envelope = sealed(run)
    assert (envelope.status, envelope.producer["params"]) == ("partial", {"mine": 1})
    assert envelope.producer["metrics"]["val/loss"] == 0.5


def test_an_explicit_marker_comes_before_a_frameworks_status(tmp_path: Path) -> None:
    run = laid_out("mlflow/failed", tmp_path / "run")
    request = SealRequest(experiment="e", completion=Completion("marker", "_SUCCESS", "declared"), status="success")
    assert seal(open_alone(str(run), NoHashes()), request).envelope.status == "success"


def test_sacreds_records_are_not_taken_for_the_producers(tmp_path: Path) -> None:
    envelope = sealed(laid_out("sacred/completed", tmp_path / "run"))
    assert envelope.producer["metrics"] == {"loss": 0.3333333333333333, "result": 0.25}
    assert envelope.finished_at == "2026-11-21T14:39:18Z"


def test_a_run_of_no_framework_is_sealed_as_before(tmp_path: Path) -> None:
    envelope = sealed(a_folder(tmp_path / "run", {"metrics.json": '{"loss": 1}'}))
    assert envelope.producer == {"metrics": {"loss": 1}}


def test_a_marker_of_ones_own_does_not_make_a_run_sparks(tmp_path: Path) -> None:
    assert sealed(a_folder(tmp_path / "own", {"model.bin": "x", "_SUCCESS": ""})).producer == {}
    spark = sealed(a_folder(tmp_path / "spark", {"day=1/part-00000.csv": "x", "_SUCCESS": ""}))
    assert spark.producer == {"framework": {"name": "success-file"}}


def test_a_marker_of_ones_own_leaves_the_run_to_the_framework_that_made_it(tmp_path: Path) -> None:
    run = laid_out("hydra/quiet", tmp_path / "run")
    a_folder(run, {"_SUCCESS": ""})
    assert sealed(run).producer["framework"] == {"name": "hydra", "version": "1.3.8"}
    assert sealed(run).status == "success"


def test_explain_says_what_was_recognised_and_what_is_awaited(tmp_path: Path) -> None:
    said = explained(laid_out("nextflow/running", tmp_path / "run"))
    assert said.framework == "nextflow"
    assert said.framework_says == "running (.nextflow/history: fervent_babbage -)"
    assert said.framework_awaits == "OK or ERR for fervent_babbage in .nextflow/history"
    assert said.framework_facts["version"] == "24.04.4"
    assert not said.complete
    assert said.awaited == (
        f"nextflow says that it is running (.nextflow/history: fervent_babbage -); awaited: {said.framework_awaits}",
    )


def test_explain_says_why_quiet_decides_and_what_could_not_be_used(tmp_path: Path) -> None:
    run = laid_out("hydra/quiet", tmp_path / "run")
    (run / ".hydra/config.yaml").write_text("a: !!python/name:os.system\n")
    said = explained(run)
    assert said.framework_awaits is not None
    assert "quiet decides" in said.framework_awaits
    assert said.unread == (".hydra/config.yaml: not used, it is absent, too large or not plain YAML",)
    assert explained(run, "none").frameworks == ()


def test_explain_names_the_sign_of_each_framework_and_the_runs_inside(tmp_path: Path) -> None:
    run = laid_out("hydra/quiet", tmp_path / "run")
    laid_out("mlflow/failed", run / "mlruns/0/d14f")
    said = explained(run)
    assert said.recognised_by == ("hydra by .hydra/config.yaml: silent",)
    assert said.inside == ("mlruns/0/d14f: mlflow, finished (meta.yaml: status 4)",)
    assert explained(run / "mlruns/0/d14f").recognised_by == ("mlflow by meta.yaml: status 4: finished",)
    assert said.framework_facts["metrics"]["val/loss"] == 0.5


def test_a_link_in_the_place_of_a_status_file_is_not_followed(tmp_path: Path) -> None:
    run = laid_out("mlflow/finished", tmp_path / "run")
    (run / "meta.yaml").rename(run / "other.yaml")
    (run / "meta.yaml").symlink_to("other.yaml")
    assert recognise(look_at(run), "auto").found == ()


def look_at(run: Path) -> FolderLook:
    folder = open_alone(str(run), NoHashes())
    return FolderLook(folder, folder.scan())


def test_a_look_shows_parts_of_files_and_nothing_that_is_not_there(tmp_path: Path) -> None:
    look = look_at(a_folder(tmp_path / "run", {"a/b": "0123456789", "c": ""}))
    assert (look.start("a/b", 3), look.end("a/b", 3), look.end("a/b", 100)) == (b"012", b"789", b"0123456789")
    assert (look.read("a/b", 10), look.read("a/b", 9)) == (b"0123456789", None)
    assert (look.read("x", 9), look.start("x", 9), look.end("x", 9), look.end("c", 9)) == (None, None, None, b"")
    assert set(look.top) == {"a", "c"}


def test_a_part_of_a_link_or_of_nothing_is_absent_and_past_the_end_it_is_empty(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a/b": "0123"})
    (run / "link").symlink_to("a/b")
    (run / "folder").symlink_to("a")
    folder = open_alone(str(run), NoHashes())
    assert (folder.read_part("a/b", 1, 2), folder.read_part("a/b", 9, 9)) == (b"12", b"")
    assert [folder.read_part(path, 0, 9) for path in ("link", "folder/b", "x", "x/y", "a")] == [None] * 5


def test_what_vanishes_while_it_is_looked_at_counts_as_absent(tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", {"a": "1234"})
    look = look_at(run)
    (run / "a").unlink()
    assert (look.read("a", 9), look.start("a", 9), look.end("a", 9)) == (None, None, None)


@pytest.mark.parametrize("how", ["read", "start", "end"])
def test_facts_of_other_bytes_than_were_hashed_are_refused(tmp_path: Path, how: str) -> None:
    run = a_folder(tmp_path / "run", {"a": "1234"})
    folder = LocalFolder(str(run), hashes=NoHashes())
    tree = folder.scan()
    manifest = Manifest.build(folder.hash(tree).entries, (), ())
    look = SealedLook(folder, tree, manifest)
    assert getattr(look, how)("a", 10) == b"1234"
    (run / "a").write_text("5678")
    with pytest.raises(RunChangedError):
        getattr(look, how)("a", 10)


def test_a_dropped_file_is_of_no_framework(tmp_path: Path) -> None:
    a_folder(tmp_path, {"events.out.tfevents.1795271957.x": "x"})
    folder = open_alone(str(tmp_path / "events.out.tfevents.1795271957.x"), NoHashes())
    tree = folder.scan()
    recognised, _ = recognise_sealed(folder, tree, Manifest.build(folder.hash(tree).entries, (), ()), "auto")
    assert recognised.found == ()
