"""What a process shows of itself: everything the settings name, with 0 at first, from the journal what lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.builders.runs import a_run

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.run_folders.space import room_at
from sealrun.bootstrap import metering as room
from sealrun.bootstrap.metering import Metering
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.metering import CATALOGUE, COUNTED, SEALED
from sealrun.domain.runs.sealed import Published
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import FolderRecord
from sealrun.services.delivery.pausing import pause, resume
from sealrun.services.oversight.alarming import raise_alarm

CLOCK, ENTROPY = SystemClock(), SystemEntropy()
Shown = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    opened = open_journal(tmp_path / "state", CLOCK, ENTROPY)
    yield opened
    opened.close()


class Shows:
    """Metering of a registry `main` in a directory, one `cloud` elsewhere, and a watch."""

    def __init__(self, folder: Path, journal: SqliteJournal) -> None:
        self.folder = folder
        self.metering = Metering(folder / "state", journal, CLOCK)
        self.specs = {
            "main": RegistrySpec(name="main", url=f"file://{folder}/registry"),
            "cloud": RegistrySpec(name="cloud", url="s3://bucket/prefix", quiet=None),
        }
        self.watch = WatchSpec(name="training", path=str(folder), experiment="e", registries=("main",))
        self.know()

    def know(self, *names: str) -> None:
        specs = {name: self.specs[name] for name in names or self.specs}
        self.metering.know(specs, [self.watch], ["gc:main"], ["hook"])

    def shown(self) -> Shown:
        body, _ = self.metering.answer("")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.shown()[name, tuple(sorted(labels.items()))]


@pytest.fixture
def shows(tmp_path: Path, journal: SqliteJournal) -> Shows:
    return Shows(tmp_path, journal)


def test_everything_that_the_settings_name_is_there_before_anything_happens(shows: Shows) -> None:
    found = shows.shown()
    named = {"registry": ("main", "cloud"), "watch": ("training",), "timer": ("gc:main",), "target": ("hook",)}
    named["kind"] = tuple(KINDS)
    absent = {("sealrun_registry_free_bytes", "cloud")}  # it lies in no directory
    for metric in CATALOGUE:
        if metric.name == "sealrun_build_info":
            continue
        suffix = "_count" if metric.kind == "histogram" else ""
        combinations: list[dict[str, str]] = [{}]
        for label in metric.labels:
            values = (named | dict(metric.words))[label]
            combinations = [{**one, label: value} for one in combinations for value in values]
        for labels in combinations:
            if (metric.name, labels.get("registry")) in absent:
                continue
            value = found[metric.name + suffix, tuple(sorted(labels.items()))]
            assert value == 0 or metric not in COUNTED, (metric.name, labels)
    assert found["sealrun_registry_state", (("registry", "cloud"), ("state", "unknown"))] == 1


def test_the_strict_parser_of_openmetrics_takes_everything(shows: Shows) -> None:
    body, _ = shows.metering.answer("application/openmetrics-text;version=1.0.0")
    parse = openmetrics.text_string_to_metric_families
    families = {family.name for family in parse(body.decode())}  # type: ignore[no-untyped-call] # the library's
    assert {metric.name.removesuffix("_total") for metric in CATALOGUE} <= families


def test_the_queue_is_shown_with_its_bytes_and_its_oldest_run_and_what_was_published_lasts(
    shows: Shows, journal: SqliteJournal
) -> None:
    before = CLOCK.now().timestamp()
    first = journal.deliveries.accept(a_run({"a": b"1234"})[0], ["main", "cloud"])
    journal.deliveries.accept(a_run({"a": b"12"})[0], ["main"])
    assert shows.value("sealrun_registry_queued_runs", registry="main") == 2
    assert shows.value("sealrun_registry_queued_bytes", registry="main") == 6
    oldest = shows.value("sealrun_registry_oldest_queued_timestamp_seconds", registry="main")
    assert before <= oldest <= CLOCK.now().timestamp()
    delivery = journal.deliveries.claim("cloud", CLOCK.now().timestamp() + 1)
    assert delivery is not None
    assert delivery.sealed == first
    published = Published(experiment="e", run_id="r", attempt="a", root_sha256="0", new=True)
    journal.deliveries.finish(delivery.id, published)
    assert shows.value("sealrun_registry_queued_runs", registry="cloud") == 0
    assert shows.value("sealrun_registry_oldest_queued_timestamp_seconds", registry="cloud") == 0
    lasts = shows.value("sealrun_registry_last_success_timestamp_seconds", registry="cloud")
    assert lasts >= before
    assert shows.value("sealrun_registry_state", registry="cloud", state="up") == 1
    parked = journal.deliveries.claim("main", CLOCK.now().timestamp() + 1)
    assert parked is not None
    journal.deliveries.park(parked.id, "somebody has to look")
    assert shows.value("sealrun_registry_parked_runs", registry="main") == 1
    assert shows.value("sealrun_registry_queued_runs", registry="main") == 1
    again = Shows(shows.folder, journal)
    assert again.value("sealrun_registry_last_success_timestamp_seconds", registry="cloud") == lasts


def test_candidates_are_shown_by_state_and_the_last_seal_outlives_its_folder(
    shows: Shows, journal: SqliteJournal
) -> None:
    number = journal.deliveries.accept(
        a_run({"a": b"1"})[0],
        ["main"],
        FolderRecord(watch="training", path="/w/a", state="sealed", reason="", since=1.0),
    )
    sealed_at = shows.value("sealrun_watch_last_sealed_timestamp_seconds", watch="training")
    assert sealed_at > 1.0
    for path, state in (("/w/a", "gone"), ("/w/b", "stale"), ("/w/c", "stale")):
        record = FolderRecord(
            watch="training",
            path=path,
            state=state,  # type: ignore[arg-type] # one of its words
            reason="",
            since=2.0,
            sealed=number if path == "/w/a" else None,
        )
        journal.folders.set(record)
    counts = {
        state: shows.value("sealrun_watch_candidates", watch="training", state=state)
        for state in ("sealed", "gone", "stale", "settling")
    }
    assert counts == {"sealed": 0, "gone": 1, "stale": 2, "settling": 0}
    assert shows.value("sealrun_watch_last_sealed_timestamp_seconds", watch="training") == sealed_at


def test_alarms_and_pauses_are_shown_while_they_stand(shows: Shows, journal: SqliteJournal) -> None:
    raise_alarm(journal, CLOCK, "damage", "main", "critical", "a file")
    pause(journal, CLOCK, "registry", "main", by="a person")
    pause(journal, CLOCK, "watch", "training", by="a person")
    assert shows.value("sealrun_alarms", kind="damage") == 1
    assert shows.value("sealrun_registry_paused", registry="main") == 1
    assert shows.value("sealrun_registry_paused", registry="cloud") == 0
    assert shows.value("sealrun_watch_paused", watch="training") == 1
    resume(journal, CLOCK, "registry", "main", by="a person")
    assert shows.value("sealrun_registry_paused", registry="main") == 0


def test_a_reload_that_is_refused_is_shown_until_one_is_taken(shows: Shows) -> None:
    taken = shows.value("sealrun_settings_reload_success_timestamp_seconds")
    with pytest.raises(ConfigurationError), shows.metering.reloading():
        raise ConfigurationError("wrong")
    assert shows.value("sealrun_settings_reload_successful") == 0
    assert shows.value("sealrun_settings_reload_success_timestamp_seconds") == taken
    assert shows.value("sealrun_settings_reloads_total", outcome="failed") == 1
    with shows.metering.reloading():
        pass
    assert shows.value("sealrun_settings_reload_successful") == 1
    assert shows.value("sealrun_settings_reload_success_timestamp_seconds") > taken


def test_what_new_settings_do_not_name_is_not_shown_any_more_and_goes_on_counting(shows: Shows) -> None:
    shows.metering.metered(shows.specs)["main"].open_store(make=True).close()
    shows.know("cloud")
    assert not [labels for _, labels in shows.shown() if ("registry", "main") in labels]
    shows.know()
    assert shows.value("sealrun_registry_uploaded_bytes_total", registry="main") == 0


def test_a_disk_that_hangs_is_left_out_and_keeps_nobody_waiting_twice(
    shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    asked: list[str] = []

    def hanging(path: str) -> object:
        if path.endswith("/registry"):
            asked.append(path)
            answered.wait()
        return room_at(path)

    monkeypatch.setattr("sealrun.bootstrap.metering.room_at", hanging)
    monkeypatch.setattr(room, "_PATIENCE_S", 0.05)
    try:
        for _ in range(3):
            found = shows.shown()
            assert ("sealrun_registry_free_bytes", (("registry", "main"),)) not in found
            assert found["sealrun_watch_free_bytes", (("watch", "training"),)] > 0
        assert len(asked) == 1
    finally:
        answered.set()


def test_commands_go_on_counting_where_others_ended_also_if_they_overlap(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    first, second, third = (Shows(tmp_path, journal) for _ in range(3))
    for total, shows in enumerate((second, first, third), start=1):  # all had begun before one ended
        shows.metering.meters.counter(SEALED, watch="training")(1)
        shows.metering.go_on()
        shows.metering.write(tmp_path / "sealrun.prom")
        said = f'sealrun_watch_runs_sealed_total{{watch="training"}} {total}.0'
        assert said in (tmp_path / "sealrun.prom").read_text()


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/srv/a", "/srv/a"),
        ("file:///srv/a", "/srv/a"),
        ("FILE://localhost/srv/a", "/srv/a"),
        ("s3://a/b", None),
        ("zip::file:///a", None),
    ],
)
def test_only_a_directory_has_free_room(url: str, folder: str | None) -> None:
    assert RegistrySpec(name="main", url=url).folder == folder
