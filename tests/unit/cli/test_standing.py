"""What stands, by command: status and alarms, also where settings are wrong or not read yet, and the runbook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.unit.cli.test_verbs import Place, place

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.machine.locking import hold
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.in_force import Source, in_force, take_settings
from sealrun.domain.oversight.alarming import KINDS, RELOAD, Trouble
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.oversight.alarming import Alarms, raise_alarm, standing
from sealrun.settings import load_settings

__all__ = ["place"]


@contextmanager
def _journal(place: Place) -> Iterator[SqliteJournal]:
    with closing(open_journal(place.folder / ".sealrun", SystemClock(), SystemEntropy())) as journal:
        yield journal


def _take(place: Place) -> None:
    """Do what a daemon does when it reads its settings."""
    settings = load_settings(None, {}, place.folder)
    registries = {name: RegistrySpec(name=name, url=spec.url) for name, spec in settings.registries.items()}
    with _journal(place) as journal:
        take_settings(journal, SystemClock(), Source(settings.file, settings.digest), registries, settings.watches)


def _edit(place: Place, text: str) -> None:
    with (place.folder / "sealrun.toml").open("a") as settings:
        settings.write(text)


def test_settings_that_a_running_daemon_has_not_read_are_told_until_it_reloads(place: Place) -> None:
    _take(place)
    with hold(place.folder / ".sealrun"):
        assert place("status", "--json").json()["settings"]["unread"] is None
        _edit(place, "\n# another line\n")
        said = place("status").out.decode().splitlines()
        assert said[1].startswith("  settings  ")
        assert "was changed after the daemon read it" in said[1]
        assert said[2] == f"  do        {RELOAD}"
        assert "after the daemon read it" in place("status", "--json").json()["settings"]["unread"]
        findings = place("doctor", "--json").json()["findings"]
        assert [each["do"] for each in findings if "after the daemon read it" in each["detail"]] == [RELOAD]
        _take(place)
        assert place("status", "--json").json()["settings"]["unread"] is None
    assert place("status", "--json").json()["settings"] is None


def test_a_daemon_that_goes_by_another_file_is_told(place: Place) -> None:
    _take(place)
    (place.folder / "other.toml").write_bytes((place.folder / "sealrun.toml").read_bytes())
    with hold(place.folder / ".sealrun"):
        said = place("status", "--config", "other.toml").out.decode()
    assert f"goes by {place.folder / 'sealrun.toml'}, not by {place.folder / 'other.toml'}" in said


def test_settings_that_are_gone_are_changed_and_unreadable_ones_are_not(tmp_path: Path) -> None:
    file, spec = tmp_path / "sealrun.toml", RegistrySpec(name="main", url="/r")
    with closing(open_journal(tmp_path, FakeClock(), SystemEntropy())) as journal:
        assert in_force(journal.facts) is None
        take_settings(journal, FakeClock(), Source(file, "0" * 64), {"main": spec}, ())
        now = in_force(journal.facts)
        assert now is not None
        assert now.unread is not None
        take_settings(journal, FakeClock(), Source(), {"main": spec}, ())
        now = in_force(journal.facts)
        assert now is not None
        assert now.unread is None


@pytest.mark.parametrize("text", ["nonsense", "[[watch]\n", "[http]\nlisten = 'x'\n"])
def test_with_broken_settings_the_journal_is_shown_and_the_exit_code_stays(place: Place, text: str) -> None:
    place.publish(place.drop("r", a=b"1"))
    _take(place)
    with _journal(place) as journal:
        raise_alarm(journal, SystemClock(), "damage", "main", "critical", "one run")
    _edit(place, text)
    for words in (("status",), ("alarms",)):
        answer = place(*words)
        assert answer.code == 78
        assert b"damage main" in answer.out
        assert "sealrun.toml" in answer.err
        assert json.loads(place(*words, "--json").out.splitlines()[0])
    said = place("status").out.decode()
    assert f"registry  main: {place.folder / 'registry'}: 1 published" in said
    assert f"watch     outbox: {place.folder / 'outbox'} -> outbox" in said


def test_broken_settings_alone_are_only_an_error(place: Place) -> None:
    for file in (place.folder / ".sealrun").iterdir():
        file.unlink()
    _edit(place, 'state = "elsewhere"\nnonsense')
    answer = place("status")
    assert (answer.code, answer.out) == (78, b"")
    assert not (place.folder / "elsewhere").exists()
    assert list((place.folder / ".sealrun").iterdir()) == []


def test_the_state_folder_of_broken_settings_is_found(place: Place) -> None:
    settings = place.folder / "sealrun.toml"
    settings.write_text(settings.read_text().replace("version = 1", 'version = 1\nstate = "${HOME}/state"', 1))
    assert place("scan", "--once").code == 0
    _edit(place, "nonsense")
    answer = place("status")
    assert (answer.code, answer.out.decode().splitlines()[0]) == (78, "daemon    not running")


def test_an_alarm_that_is_over_unless_it_comes_back_says_so(place: Place) -> None:
    clock = FakeClock()
    full = Trouble(kind="registry-full", subject="main", reason="no room")
    rules = load_settings(None, {}, place.folder).alarms
    with _journal(place) as journal:
        alarms = Alarms(journal, clock)
        alarms.round(lambda _stands: [full], rules)
        assert standing(journal)[0].quiet_since is None
        clock.advance(30)
        alarms.round(lambda _stands: [], rules)
        assert standing(journal)[0].quiet_since == "2026-01-17T15:00:00Z"
        assert "quiet since 2026-01-17T15:00:00Z: over soon" in place("alarms").out.decode()
        assert "quiet since 2026-01-17T15:00:00Z: over soon" in place("status").out.decode()
        alarms.round(lambda _stands: [full], rules)
        assert standing(journal)[0].quiet_since is None
        clock.advance(30)
        alarms.round(lambda _stands: [], rules)
        clock.advance(rules.clear_after_s)
        Alarms(journal, clock).round(lambda _stands: [], rules)  # of another process, which was told nothing
        assert standing(journal) == ()
        assert journal.events.recent(2)[0]["kind"] == "alarm.cleared"
    assert place("alarms").err == "no alarm stands\n"


def test_a_scan_from_cron_judges_alarms(place: Place) -> None:
    (place.folder / "outbox/bad").mkdir()
    (place.folder / "outbox/bad/out").symlink_to("/etc/passwd")
    place.drop("outbox/good", a=b"1", _SUCCESS=b"")
    assert place("scan", "--once").code == 3
    found = place("alarms", "--json", "--error-on-any")
    assert (found.code, found.json()["kind"], found.json()["subject"]) == (1, "run-rejected", "outbox")
    assert "no daemon runs" in place("alarms").err
    (place.folder / "outbox/bad/out").unlink()
    (place.folder / "outbox/bad/_SUCCESS").touch()
    assert place("scan", "--once").code == 0
    assert place("alarms", "--error-on-any").code == 0


def test_beside_a_daemon_a_scan_judges_nothing(place: Place) -> None:
    (place.folder / "outbox/bad").mkdir()
    (place.folder / "outbox/bad/out").symlink_to("/etc/passwd")
    with hold(place.folder / ".sealrun"):
        assert place("scan", "--once").code == 3
        assert place("alarms").out == b""


def test_a_scan_that_reaches_no_registry_says_so_in_an_alarm(place: Place) -> None:
    place.publish(place.drop("r", a=b"1"))
    _edit(place, '\n[alarms]\nunreachable_after = "0s"\n')
    place.drop("outbox/one", a=b"2", _SUCCESS=b"")
    (place.folder / "registry").rename(place.folder / "gone")
    assert place("scan", "--once").code == 3
    kinds = [json.loads(line)["kind"] for line in place("alarms", "--json").out.splitlines()]
    assert kinds in (["registry-refused"], ["registry-unreachable"])
    (place.folder / "gone").rename(place.folder / "registry")
    assert place("scan", "--once").code == 0
    assert place("alarms", "--json").json()["quiet_since"] is not None


@pytest.mark.parametrize("kind", KINDS)
def test_the_runbook_has_a_section_for_each_kind_of_alarm(place: Place, kind: str) -> None:
    said = place("runbook", kind).out.decode()
    assert said.startswith(f"### {kind}\n")
    assert said.count("\n### ") == 0
    assert "*Over:*" in said


def test_the_runbook_is_printed_whole_and_names_its_sections(place: Place) -> None:
    assert place("runbook").out.decode().startswith("# Runbook\n")
    assert place("runbook", "--json").json()["text"].startswith("# Runbook\n")
    answer = place("runbook", "nope")
    assert answer.code == 1
    assert "low-space" in answer.err


def test_specs_of_settings_that_a_daemon_took_hold_no_secret(tmp_path: Path) -> None:
    spec = RegistrySpec(name="main", url="s3://user:secret@bucket/prefix?key=secret")
    watch = WatchSpec(name="w", path="/w", experiment="e", registries=("main",))
    with closing(open_journal(tmp_path, FakeClock(), SystemEntropy())) as journal:
        take_settings(journal, FakeClock(), Source(), {"main": spec}, [watch])
        assert "secret" not in json.dumps(journal.facts.fact("settings"))
