"""A mirror shows complete runs only, loses none that it is to keep, and touches nothing that it did not make."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec
import pytest
from tests.builders.worlds import World, published, retire
from tests.fakes.clock import FakeEntropy
from tests.fakes.journal import FakeEvents

from sealrun.adapters.mirroring import incoming as mirror_incoming
from sealrun.adapters.mirroring import mirrors
from sealrun.adapters.mirroring import room as mirror_room
from sealrun.adapters.mirroring.mirrors import ROOM, LocalMirrorPlace
from sealrun.adapters.run_folders import renaming
from sealrun.domain.errors import ConfigurationError, NoSpaceError, UnavailableError
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.mirroring import MirrorPlan, MirrorRow, MirrorSpec, plan_mirror
from sealrun.ports import Events
from sealrun.services.access.mirroring import Mirror, MirrorReport

FILES = {"a.txt": b"alpha", "bin/tool": b"#!/bin/sh\n", "d/ü x.txt": b"odd"}
A_REGISTRY = "r" * 32


class Hall:
    """A registry, a mirror of it, and the memory of which mirror it was."""

    def __init__(self, path: Path) -> None:
        self.world = World()
        self.path = path
        self.events = FakeEvents()
        self.known: str | None = None
        self.owner = "here"
        self.entropy = FakeEntropy(7)
        self.advance: Callable[[int], None] | None = None

    def publish(self, number: int = 1, **facts: object) -> Published:
        """Publish run `number`, which finished on that day of January."""
        facts = {"files": {**FILES, "n": str(number).encode()}, "executable": ["bin/tool"], **facts}
        facts.setdefault("finished_at", f"2026-01-{number:02}T00:00:00Z")
        return published(self.world, machine="m1", run_id=f"r{number}", **facts)[1]  # type: ignore[arg-type] # facts of `a_run`

    def mirror(self, settings: Mapping[str, object] | None = None, registry_id: str = A_REGISTRY) -> Mirror:
        """The mirror in a new process."""
        plain = {"name": "m", "path": str(self.path), "registry": "main", **(settings or {})}
        place = LocalMirrorPlace(str(self.path), self.owner, self.world.clock, self.entropy, self.known)
        spec = msgspec.convert(plain, MirrorSpec)
        events = cast("Events", self.events)
        return Mirror(spec, self.world.reader(), registry_id, place, self.world.clock, events)

    def update(self, **settings: object) -> MirrorReport:
        """One round."""
        mirror = self.mirror(settings)
        self.known = mirror.enter()
        return mirror.execute(mirror.plan(), self.advance)

    def runs(self, experiment: str = "train") -> list[str]:
        folder = self.path / experiment
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def waiting(self) -> list[str]:
        """Runs that had begun to arrive."""
        return sorted(path.name for path in (self.path / ROOM / "incoming").glob("*/*"))


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path / "mirror")


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_run_lies_at_its_natural_path_as_plain_files(hall: Hall) -> None:
    hall.publish(1, links={"bin/again": "tool"}, directories=["void/deep"])
    report = hall.update()
    assert report.copied == ("train/r1",)
    run = hall.path / "train/r1"
    own = tree(run)
    assert {name: own[name] for name in FILES} == FILES
    assert set(own) - set(FILES) == {"n", "bin/again", "run.json", "MANIFEST.sha256"}
    assert os.access(run / "bin/tool", os.X_OK)
    assert (run / "bin/again").readlink() == Path("tool")
    assert (run / "void/deep").is_dir()
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "MANIFEST.sha256"], cwd=run, check=True, capture_output=True
    )
    assert checked.stdout.count(b": OK\n") == 4


@pytest.mark.parametrize("name", ["run.json", "MANIFEST.sha256"])
def test_what_a_run_calls_like_our_records_is_its_own(hall: Hall, name: str) -> None:
    hall.publish(1, files={name: b"mine", "a": b"1"})
    hall.publish(2, files={f"{name}/inner": b"mine"})
    hall.update()
    assert (hall.path / "train/r1" / name).read_bytes() == b"mine"
    assert tree(hall.path / "train/r2")[f"{name}/inner"] == b"mine"


def test_a_second_round_copies_nothing_again(hall: Hall) -> None:
    hall.publish(1)
    hall.update()
    before = (hall.path / "train/r1").stat().st_ino
    report = hall.update()
    assert (report.copied, report.removed, report.bytes_copied) == ((), (), 0)
    assert (hall.path / "train/r1").stat().st_ino == before


def test_only_the_named_experiments_are_mirrored(hall: Hall) -> None:
    hall.publish(1)
    hall.publish(2, experiment="other")
    hall.update(experiments=["other"])
    assert (hall.runs(), hall.runs("other")) == ([], ["r2"])


def test_a_run_is_not_seen_before_it_is_complete(hall: Hall) -> None:
    hall.publish(1)
    seen: list[list[str]] = []
    hall.advance = lambda _size: seen.append(hall.runs())
    hall.update()
    assert len(seen) >= 4
    assert all(names == [] for names in seen)
    assert hall.runs() == ["r1"]


def test_a_damaged_run_is_never_shown_and_does_not_stop_the_others(hall: Hall) -> None:
    for number in (1, 2, 3):
        hall.publish(number)
    store = hall.world.store
    key = next(key for key, body in store.bodies.items() if body == b"2" and key.startswith("store/"))
    store.bodies[key] = b"X"
    report = hall.update()
    assert sorted(report.copied) == ["train/r1", "train/r3"]
    assert report.damaged
    assert [failed.ref for failed in report.failed] == ["train/r2"]
    assert hall.runs() == ["r1", "r3"]
    store.bodies[key] = b"2"
    again = hall.update()
    assert (again.copied, again.bytes_copied) == (("train/r2",), 1), "what was verified is not read again"


class DeathError(BaseException):
    """The process died."""


def mortal(life: list[int], call: Callable[..., object]) -> Callable[..., object]:
    def guarded(*arguments: object, **options: object) -> object:
        life[0] -= 1
        if life[0] < 0:
            raise DeathError
        return call(*arguments, **options)

    return guarded


def dies(hall: Hall, at: int, **settings: object) -> bool:
    """Run a round that dies before the n-th change to the disk; tell whether it did."""
    life = [at]
    with pytest.MonkeyPatch.context() as patch:
        for module in (mirrors, mirror_incoming, mirror_room):
            for name in ("rename_new", "write_durably", "sync_folder"):
                if hasattr(module, name):
                    patch.setattr(module, name, mortal(life, getattr(module, name)))
        patch.setattr(shutil, "rmtree", mortal(life, shutil.rmtree))
        patch.setattr(Path, "unlink", mortal(life, Path.unlink))
        patch.setattr(mirror_incoming.LocalIncoming, "write", mortal(life, mirror_incoming.LocalIncoming.write))
        try:
            hall.update(**settings)
        except DeathError:
            return True
    return False


def test_a_crash_at_any_step_is_healed_by_the_next_round(tmp_path: Path) -> None:
    deaths = 0
    while True:
        hall = Hall(tmp_path / f"mirror-{deaths}")
        hall.publish(1)
        hall.update()
        hall.publish(2)
        if not dies(hall, deaths, keep_last=1):
            break
        deaths += 1
        for name in hall.runs():
            assert {"a.txt", "n", "run.json"} <= set(tree(hall.path / "train" / name)), "complete, or not seen"
        hall.update(keep_last=1)
        assert hall.runs() == ["r2"]
        assert hall.waiting() == []
        assert list((hall.path / ROOM / "leaving").iterdir()) == []
        assert len(list((hall.path / ROOM / "runs").glob("*/*"))) == 1
    assert deaths > 10


def test_an_interrupted_copy_goes_on_where_it_was(hall: Hall) -> None:
    hall.publish(1, files={"a": b"1" * 1000, "b": b"2" * 2000})
    copied: list[int] = []

    def stop(size: int) -> None:
        copied.append(size)
        if sum(copied) >= 3000:
            raise DeathError

    hall.advance = stop
    with pytest.raises(DeathError):
        hall.update()
    assert (hall.runs(), hall.waiting()) == ([], ["r1"])
    hall.advance = None
    assert hall.update().bytes_copied < 3000
    assert hall.runs() == ["r1"]


def test_its_own_retention_keeps_the_newest_that_did_not_fail(hall: Hall) -> None:
    for number in (1, 2, 3):
        hall.publish(number)
    hall.publish(4, status="failed")
    hall.update()
    assert hall.runs() == ["r1", "r2", "r3", "r4"]
    report = hall.update(keep_last=2)
    assert sorted(report.removed) == ["train/r1", "train/r4"]
    assert hall.runs() == ["r2", "r3"]
    assert hall.update(keep_last=2).copied == (), "what was removed does not come back"


def test_runs_stay_that_finished_within_the_time_that_is_kept(hall: Hall) -> None:
    for number in (1, 15, 16):
        hall.publish(number)
    hall.update(keep_within_s=3 * 86400.0)  # it is the 17th
    assert hall.runs() == ["r15", "r16"]
    hall.world.clock.advance(86400.0)
    hall.update(keep_within_s=3 * 86400.0)
    assert hall.runs() == ["r16"]


def test_without_a_retention_of_its_own_a_mirror_loses_nothing(hall: Hall) -> None:
    done = hall.publish(1)
    hall.update()
    retire(hall.world, done.attempt)
    assert hall.update().removed == ()
    assert hall.runs() == ["r1"]


def test_nothing_is_removed_from_an_experiment_in_which_a_copy_failed(hall: Hall) -> None:
    hall.publish(1)
    hall.update()
    hall.publish(2)
    store = hall.world.store
    store.bodies[next(key for key, body in store.bodies.items() if body == b"2" and key.startswith("store/"))] = b"X"
    assert hall.update(keep_last=1).removed == ()
    assert hall.runs() == ["r1"]


def test_a_folder_that_the_mirror_did_not_make_is_never_touched(hall: Hall) -> None:
    foreign = hall.path / "train/r1"
    foreign.mkdir(parents=True)
    (foreign / "mine").write_text("mine")
    (hall.path / "notes").write_text("mine")
    for number in (1, 2):
        hall.publish(number)
    (failed,) = [step for step in hall.mirror().plan().steps if step.step == "leave"]
    assert "did not make" in failed.why
    hall.update()
    assert tree(foreign) == {"mine": b"mine"}
    assert hall.runs() == ["r1", "r2"]
    hall.publish(3)
    assert hall.update(keep_last=1).removed == ("train/r2",)
    assert tree(foreign) == {"mine": b"mine"}
    assert (hall.path / "notes").read_text() == "mine"


def test_a_folder_that_replaced_a_mirrored_one_is_somebody_elses(hall: Hall) -> None:
    for number in (1, 2):
        hall.publish(number)
    hall.update()
    (hall.path / "train/r1").rename(hall.path / "away")
    (hall.path / "train/r1").mkdir()
    (hall.path / "train/r1/mine").write_text("mine")
    assert hall.update(keep_last=1).removed == ()
    assert tree(hall.path / "train/r1") == {"mine": b"mine"}


def test_a_folder_that_appears_at_the_last_moment_is_not_replaced(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.publish(1)
    rename = renaming.rename_new

    def late(source: str, target: str) -> None:
        (hall.path / "train/r1").mkdir(parents=True)
        rename(source, target)

    monkeypatch.setattr("sealrun.adapters.mirroring.mirrors.rename_new", late)
    assert "is there already" in hall.update().failed[0].reason
    assert list((hall.path / "train/r1").iterdir()) == []
    monkeypatch.undo()
    hall.update()
    assert list((hall.path / "train/r1").iterdir()) == [], "it is still not ours"


def test_a_mirrored_run_that_somebody_deleted_comes_back(hall: Hall) -> None:
    hall.publish(1)
    hall.update()
    shutil.rmtree(hall.path / "train/r1")
    assert hall.update().copied == ("train/r1",)


@pytest.fixture(params=["gone", "empty"])
def lost(hall: Hall, request: pytest.FixtureRequest) -> Iterator[Hall]:
    """A mirror whose disk is not there any more."""
    hall.publish(1)
    hall.update()
    shutil.rmtree(hall.path)
    if request.param == "empty":
        hall.path.mkdir()
    yield hall
    assert not hall.path.exists() or list(hall.path.iterdir()) == [], "nothing was filled"


def test_a_disk_that_is_not_there_is_never_filled_again(lost: Hall) -> None:
    with pytest.raises(UnavailableError, match="is its disk not mounted"):
        lost.update()
    with pytest.raises(UnavailableError):
        lost.mirror().plan()


def test_another_disk_or_the_mirror_of_another_registry_is_refused(hall: Hall, tmp_path: Path) -> None:
    hall.publish(1)
    hall.update()
    with pytest.raises(ConfigurationError, match="mirrors registry"):
        hall.mirror(registry_id="s" * 32).plan()
    other = Hall(tmp_path / "other")
    other.entropy = FakeEntropy(8)
    other.publish(1)
    other.update()
    hall.path = other.path
    before = tree(other.path)
    with pytest.raises(ConfigurationError, match="another disk"):
        hall.update()
    assert tree(other.path) == before


def test_a_disk_that_is_replaced_in_the_middle_of_a_round_gets_nothing(hall: Hall) -> None:
    hall.publish(1)
    one_at_a_time = threading.Lock()

    def swap(_size: int) -> None:
        with one_at_a_time:
            if not (hall.path.parent / "old").exists():
                hall.path.rename(hall.path.parent / "old")
                time.sleep(0.01)  # the disk is out, and the other files are still being written
                hall.path.mkdir()

    hall.advance = swap
    assert hall.update().copied == ()
    assert not (hall.path / "train").exists()
    assert not (hall.path.parent / "old" / "train").exists()


def test_a_mirror_is_filled_by_one_state_folder_until_another_takes_over(hall: Hall) -> None:
    hall.publish(1)
    hall.update()
    hall.owner, hall.known = "elsewhere", None
    with pytest.raises(ConfigurationError, match="--take-over"):
        hall.update()
    hall.known = hall.mirror().enter(take_over=True)
    hall.update()


def test_a_place_that_is_no_folder_is_refused(hall: Hall) -> None:
    hall.publish(1)
    hall.path.write_text("a file")
    with pytest.raises(ConfigurationError, match="is not a folder"):
        hall.update()


def test_a_full_disk_ends_the_copying_and_lets_the_retention_make_room(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.publish(1)
    hall.update()
    for number in (2, 3):
        hall.publish(number)

    def full(*_arguments: object, **_options: object) -> None:
        msg = "no space left"
        raise NoSpaceError(msg)

    monkeypatch.setattr(mirror_incoming.LocalIncoming, "write", full)
    report = hall.update(keep_last=2)
    assert [failed.ref for failed in report.failed] == ["train/r3"], "the others are not even tried"
    assert report.removed == ("train/r1",)


def test_a_dry_run_makes_nothing(hall: Hall) -> None:
    hall.publish(1)
    (step,) = hall.mirror().plan().steps
    assert (step.step, step.row.run_id, step.why) == ("copy", "r1", "the mirror keeps every run")
    assert not hall.path.exists()
    assert hall.events.seen == []


def test_a_run_on_its_way_that_is_not_wanted_any_more_is_dropped(hall: Hall) -> None:
    done = hall.publish(1)
    hall.publish(2)
    store = hall.world.store
    key = next(key for key, body in store.bodies.items() if body == b"1" and key.startswith("store/"))
    store.bodies[key] = b"X"
    hall.update()
    assert hall.waiting() == ["r1"]
    hall.update(keep_last=1)
    assert hall.waiting() == []
    assert done.ref == "train/r1"


def a_row(run_id: str, day: int, **facts: object) -> MirrorRow:
    plain = {"experiment": "e", "run_id": run_id, "root_sha256": run_id, "status": "success", "size": 1}
    return msgspec.convert({**plain, "finished_at": f"2026-01-{day:02}T00:00:00Z", **facts}, MirrorRow)


def test_a_name_that_holds_other_content_in_the_mirror_is_left_alone() -> None:
    spec = MirrorSpec(name="m", path="/m", registry="main")
    held = a_row("r", 1)
    now = "2026-02-01T00:00:00Z"
    plan: MirrorPlan = plan_mirror(spec, [a_row("r", 1, root_sha256="other")], {held.key: held}, (), now, None)
    assert [(step.step, step.why) for step in plan.steps] == [
        ("leave", "the mirror holds other content under this name")
    ]
