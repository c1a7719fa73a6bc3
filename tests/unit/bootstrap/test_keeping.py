"""Keeping a registry: what a daemon's timers do, which stores are never collected, and that a plan writes nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores.posix import PosixStore
from sealrun.bootstrap import registries
from sealrun.bootstrap.daemon.chores import Chores
from sealrun.bootstrap.daemon.composition import Composition
from sealrun.bootstrap.daemon.tending import Tending
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.domain.errors import ConfigurationError, NotFoundError, UnavailableError, UnsafeStoreError, UsageError
from sealrun.domain.upkeep.retention import Policy
from sealrun.services.oversight.alarming import standing
from sealrun.services.storage.probing import ProbeReport
from sealrun.settings.resolved import GcSettings, KeepingSettings, VerifySettings

CLOCK, ENTROPY = SystemClock(), SystemEntropy()
AT_ONCE = GcSettings(grace_s=0.0, max_delete_ratio=1.0)
LAST = KeepingSettings(retention={"e": Policy(keep_last=1)}, gc=AT_ONCE)
NEVER = KeepingSettings(gc=AT_ONCE)


class Place:
    """A directory registry with a state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = RegistrySpec(name="main", url=str(folder / "registry"))
        self.parts = Parts(folder / "state", {"main": self.spec}, ())
        self.opener = Opener(self.parts.journal, CLOCK, ENTROPY)
        self.tending = Tending(self.parts.journal, self.opener, CLOCK, ENTROPY)
        self.refs: list[str] = []

    def publish(self, count: int = 1, experiment: str = "e") -> Sequence[str]:
        for _ in range(count):
            number = len(self.refs)
            run = self.folder / f"run-{number}"
            (run / ".sealrun").mkdir(parents=True)
            (run / "model.bin").write_bytes(str(number).encode() * 1000)
            finished = f"2026-01-{number + 1:02d}T00:00:00Z"
            (run / ".sealrun" / "done.json").write_text(f'{{"finished_at": "{finished}"}}')
            self.refs.append(self.parts.producer.publish(str(run), experiment).ref)
        return self.refs

    def listed(self, experiment: str = "e") -> list[str]:
        return [f"{row.experiment}/{row.run_id}" for row in self.parts.consumer().runs(experiment)]

    def models(self) -> set[str]:
        """Digests of the objects that are there."""
        objects = self.folder / "registry" / "store" / "objects" / "sha256"
        files = [path.relative_to(objects) for path in objects.rglob("*") if path.is_file()]
        return {"".join(path.parts[:-1]) + path.name.partition(".")[0] for path in files}

    def events(self, kind: str) -> list[str]:
        return [str(event["subject"]) for event in self.parts.journal.events.recent(kind=kind)]

    def everything(self) -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in self.folder.rglob("*")
            if not path.name.startswith("journal")  # what SQLite does to its own files when it opens them
        }


def model(number: int) -> str:
    return hashlib.sha256(str(number).encode() * 1000).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.parts:
        yield made


def test_a_round_retires_by_policy_and_collects_what_was_retired(place: Place) -> None:
    first, second, third = place.publish(3)
    place.tending.keep_round(place.spec, LAST)
    assert place.listed() == [third]
    assert place.models() == {model(2)}
    assert set(place.events("run.retired")) == {first, second}
    assert place.events("gc.collected") == ["main"]
    assert place.parts.consumer().verify(None).damages == ()
    place.tending.keep_round(place.spec, LAST)
    assert len(place.events("gc.collected")) == 1, "nothing to collect is no news"


def test_without_a_policy_a_round_retires_nothing(place: Place) -> None:
    refs = place.publish(2)
    place.tending.keep_round(place.spec, NEVER)
    assert place.listed() == list(refs)
    assert len(place.models()) == 2


def test_within_the_grace_time_what_a_round_retired_can_be_undone(place: Place) -> None:
    first, _ = place.publish(2)
    place.tending.keep_round(place.spec, msgspec.structs.replace(LAST, gc=GcSettings(max_delete_ratio=1.0)))
    assert first not in place.listed()
    keeper = place.parts.keeper()
    keeper.undo(keeper.plan_undo(first))
    assert first in place.listed()
    assert place.parts.consumer().verify(None).damages == ()


def alarms(place: Place) -> list[str]:
    return [alarm.key for alarm in standing(place.parts.journal)]


def test_a_round_that_would_delete_too_much_is_refused_with_the_reason_and_does_not_fail(place: Place) -> None:
    place.publish(3)
    rules = msgspec.structs.replace(LAST, gc=msgspec.structs.replace(AT_ONCE, max_delete_ratio=0.5))
    place.tending.keep_round(place.spec, rules)
    assert len(place.models()) == 3
    (refused,) = place.parts.journal.events.recent(kind="gc.refused")
    assert "max_delete_ratio" in refused["reason"]
    assert refused["registry"] == "main"
    assert alarms(place) == ["collector-refused:main"]
    place.tending.keep_round(place.spec, msgspec.structs.replace(LAST, gc=AT_ONCE))
    assert alarms(place) == []


def unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries, "probe", lambda *_, **__: ProbeReport(races=("two writers both won",)))


def test_a_store_that_lost_a_race_is_not_collected_though_a_single_writer_may_publish(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = place.publish(2)
    unsafe(monkeypatch)
    place.opener.forget(place.spec)
    spec = msgspec.structs.replace(place.spec, single_writer=True)
    place.opener.for_publishing(spec).close()
    with pytest.raises(UnsafeStoreError, match=r"collector is off.*two writers both won"):
        place.opener.for_collecting(spec)
    place.tending.keep_round(spec, LAST)
    assert place.listed() == [refs[1]], "a policy holds there, too"
    assert len(place.models()) == 2
    (refused,) = place.parts.journal.events.recent(kind="gc.refused")
    assert "two writers both won" in refused["reason"]


def test_a_store_that_lost_a_race_and_has_many_writers_is_not_touched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = list(place.publish(2))
    unsafe(monkeypatch)
    place.opener.forget(place.spec)
    place.tending.keep_round(place.spec, LAST)
    assert place.listed() == refs
    assert place.events("gc.refused") == ["main"]


def test_a_read_only_registry_is_never_opened_for_collecting(place: Place) -> None:
    place.publish()
    with pytest.raises(ConfigurationError, match="read-only"):
        place.opener.for_collecting(msgspec.structs.replace(place.spec, read_only=True))


def test_a_collector_never_makes_a_registry(place: Place) -> None:
    (place.folder / "registry").mkdir()
    place.tending.keep_round(place.spec, LAST)
    assert list((place.folder / "registry").iterdir()) == []
    assert place.events("gc.refused") == ["main"]


def test_an_outage_is_told_once_and_raised_so_that_the_timer_tries_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.publish(2)

    def down(*_: object, **__: object) -> object:
        msg = "the disk does not answer"
        raise UnavailableError(msg)

    monkeypatch.setattr(PosixStore, "list", down)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            place.tending.keep_round(place.spec, LAST)
    assert place.events("gc.refused") == ["main"]
    assert alarms(place) == []


def test_a_plan_writes_nothing_at_all_and_opens_no_journal(place: Place) -> None:
    first, *_ = place.publish(3)
    place.parts.keeper().retire(place.parts.keeper().plan_runs([first], "too old"))
    before = place.everything()
    with Parts(place.folder / "elsewhere", {"main": place.spec}, (), keeping=LAST) as parts:
        keeper = parts.keeper(dry_run=True, collecting=True)
        (plan,) = keeper.plan_policies("e")
        assert len(plan.retired) == 1
        assert keeper.plan_runs([place.refs[1]], "").retired
        assert not keeper.plan_undo(first).missing
        collection = keeper.plan_collection(keeper.collector())
        (doomed,) = keeper.foretell(collection)
        assert (doomed.ref, [file.paths for file in doomed.files]) == (first, [("model.bin",)])
        assert keeper.explain(model(1))[0].state == "kept"
        assert keeper.pins() == []
    assert place.everything() == before


def test_what_a_collection_would_take_is_told_run_by_run_however_many_there_are(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    *old, newest = place.publish(4)
    keeper = place.parts.keeper()
    keeper.retire(keeper.plan_runs(old, "too old"))
    (place.folder / "registry" / "experiments" / old[0].replace("/", "/runs/") / "manifest.json").unlink()
    collector = place.parts.keeper(dry_run=True).collector(grace_s=0.0)
    for at_once in (1, 2, 100):
        monkeypatch.setattr("sealrun.services.collection.foretelling._AT_ONCE", at_once)
        told = list(keeper.foretell(keeper.plan_collection(collector)))
        assert sorted(str(run.ref) for run in told) == sorted(old)
        assert {(run.objects, run.size) for run in told} == {(1, 1000)}
        paths = {run.ref: [file.paths for file in run.files] for run in told}
        assert paths == {old[0]: [()], old[1]: [("model.bin",)], old[2]: [("model.bin",)]}, "names are for people"
    assert newest in place.listed()


def test_a_file_or_an_unknown_experiment_is_not_taken_for_a_run(place: Place) -> None:
    (ref,) = place.publish()
    keeper = place.parts.keeper()
    with pytest.raises(UsageError, match="as a whole"):
        keeper.plan_runs([f"{ref}:model.bin"], "")
    with pytest.raises(NotFoundError, match="no experiment 'x'"):
        list(keeper.plan_policies("x"))


def test_verifying_goes_round_and_tells_what_is_damaged(place: Place) -> None:
    (ref,) = place.publish()
    rules = VerifySettings(subset=0.5)
    place.tending.verify_round(place.spec, rules)
    place.tending.verify_round(place.spec, rules)
    assert place.events("verify.damage") == []
    (damaged,) = [path for path in (place.folder / "registry" / "store" / "objects").rglob("*") if path.is_file()]
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * 1000)
    place.tending.verify_round(place.spec, rules)
    place.tending.verify_round(place.spec, rules)
    told = place.parts.journal.events.recent(kind="verify.damage")
    assert {(event["subject"], event["path"], event["registry"]) for event in told} == {(ref, "model.bin", "main")}
    assert place.listed() == [ref]


def test_damage_is_an_alarm_until_a_later_round_finds_it_gone_wherever_that_round_looks(place: Place) -> None:
    place.publish()
    (damaged,) = [path for path in (place.folder / "registry" / "store" / "objects").rglob("*") if path.is_file()]
    sound = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * len(sound))
    place.tending.verify_round(place.spec, VerifySettings(subset=1.0))
    assert alarms(place) == ["damage:main"]
    for _ in range(20):
        place.tending.verify_round(place.spec, VerifySettings(subset=0.05))
        assert alarms(place) == ["damage:main"]
    damaged.write_bytes(sound)
    place.tending.verify_round(place.spec, VerifySettings(subset=0.05))
    assert alarms(place) == []
    assert place.events("alarm.raised") == place.events("alarm.cleared") == ["main"]


def test_verifying_goes_on_where_it_stopped_after_a_restart(place: Place) -> None:
    place.publish()
    rules = VerifySettings(subset=0.25)
    seen = []
    for _ in range(4):
        fresh = Tending(place.parts.journal, place.opener, CLOCK, ENTROPY)
        fresh.verify_round(place.spec, rules)
        seen.append(place.parts.journal.facts.fact(f"verify:main:{place.spec.url}"))
    assert seen == pytest.approx([0.25, 0.5, 0.75, 0.0])


def test_verifying_a_registry_that_is_gone_is_an_event_and_no_error(place: Place) -> None:
    place.publish()
    shutil.rmtree(place.folder / "registry")
    (place.folder / "registry").mkdir()
    place.tending.verify_round(place.spec, VerifySettings())
    assert place.events("verify.failed") == ["main"]


def timers_of(place: Place, keeping: KeepingSettings) -> set[str]:
    """Names of the timers by a crontab line that a daemon with these settings has."""
    specs = {
        "main": place.spec,
        "archive": RegistrySpec(name="archive", url=str(place.folder / "archive"), read_only=True),
    }
    journal = place.parts.journal
    named = ("gc:main", "gc:archive", "verify:main", "verify:archive")
    for name in named:
        journal.facts.set_fact(f"timer:{name}", None)
    made = Composition(place.folder / "state", journal, CLOCK, ENTROPY).parts(specs, (), (), keeping)
    assert isinstance(made.timers, Chores)
    made.timers.start()
    made.timers.close()
    made.watcher.close()
    return {name for name in named if journal.facts.fact(f"timer:{name}") is not None}


def test_a_daemon_collects_where_it_may_write_and_verifies_where_it_is_asked_to(place: Place) -> None:
    assert timers_of(place, KeepingSettings()) == {"gc:main"}
    assert timers_of(place, KeepingSettings(gc=GcSettings(schedule=None))) == set()
    assert timers_of(place, KeepingSettings(verify=VerifySettings())) == {"gc:main", "verify:main", "verify:archive"}
    assert timers_of(place, KeepingSettings(verify=VerifySettings(schedule=None))) == {"gc:main"}


def test_a_schedule_without_any_day_keeps_a_daemon_from_starting(place: Place) -> None:
    with pytest.raises(ConfigurationError, match=r"\[gc\] schedule '0 0 30 2 \*'"):
        timers_of(place, KeepingSettings(gc=GcSettings(schedule="0 0 30 2 *")))


def test_a_collection_that_could_not_delete_everything_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.publish(2)
    from sealrun.adapters.stores.posix_removal import PosixRemover  # noqa: PLC0415 - loaded by the store alone

    monkeypatch.setattr(PosixRemover, "delete", lambda _self, keys: dict.fromkeys(keys, "access denied"))
    place.tending.keep_round(place.spec, LAST)
    (refused,) = place.parts.journal.events.recent(kind="gc.refused")
    assert "access denied" in refused["reason"]
    assert len(place.models()) == 2
