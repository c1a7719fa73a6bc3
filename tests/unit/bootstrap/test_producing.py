"""Publishing from one process: a registry that is gone keeps no run from being sealed, nor from the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealrun.adapters.stores.posix import PosixStore
from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.domain.errors import ConfigurationError, NoRegistryError, NoSpaceError, UsageError


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").write_bytes(b"x" * 100_000)
    with Parts(
        tmp_path / "state",
        {
            "first": RegistrySpec(name="first", url=str(tmp_path / "first")),
            "second": RegistrySpec(name="second", url=str(tmp_path / "second")),
            "archive": RegistrySpec(name="archive", url=str(tmp_path / "archive"), read_only=True),
        },
        (),
    ) as made:
        yield made


def test_a_registry_that_vanished_holds_up_nobody_else(tmp_path: Path, parts: Parts) -> None:
    parts.producer.publish(str(tmp_path / "run"), "e", registries=["first"])
    parts.producer.close()
    shutil.rmtree(tmp_path / "first")
    (tmp_path / "first").mkdir()
    (tmp_path / "run" / "b").write_text("more")
    report = parts.producer.publish(str(tmp_path / "run"), "e")
    gone, there = report.deliveries
    assert (gone.registry, gone.published, type(gone.error)) == ("first", None, NoRegistryError)
    assert (there.registry, there.error) == ("second", None)
    assert list((tmp_path / "first").iterdir()) == []
    assert parts.consumer("second").show(report.ref).envelope.files == 2


def test_a_full_registry_holds_up_nobody_else(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_store: PosixStore) -> None:
        msg = "no space left on the disk of the registry"
        raise NoSpaceError(msg)

    monkeypatch.setattr(PosixStore, "stage", full)
    report = parts.producer.publish(str(tmp_path / "run"), "e")
    assert [done.error for done in report.deliveries] == [None, None]
    assert parts.consumer("second").verify(report.ref).damages == ()


def test_nothing_is_published_to_a_read_only_registry_nor_pointed_at_there(tmp_path: Path, parts: Parts) -> None:
    with pytest.raises(UsageError, match="read-only"):
        parts.producer.publish(str(tmp_path / "run"), "e", registries=["second", "archive"])
    with pytest.raises(ConfigurationError, match="read-only"):
        parts.mover("archive")
    report = parts.producer.publish(str(tmp_path / "run"), "e")
    assert {done.registry for done in report.deliveries} == {"first", "second"}
    assert not (tmp_path / "archive").exists()


def test_a_registry_that_is_named_twice_is_published_to_once(tmp_path: Path, parts: Parts) -> None:
    report = parts.producer.publish(str(tmp_path / "run"), "e", registries=["second", "second"])
    assert [done.registry for done in report.deliveries] == ["second"]


def test_the_same_folder_twice_is_one_run(tmp_path: Path, parts: Parts) -> None:
    first = parts.producer.publish(str(tmp_path / "run"), "e")
    second = parts.producer.publish(str(tmp_path / "run"), "e")
    assert first.ref == second.ref
    assert len(parts.consumer("first").runs("e")) == 1
    news = [[done.published.new for done in report.deliveries if done.published] for report in (first, second)]
    assert news == [[True, True], [False, False]]


def test_a_run_that_was_retired_comes_back_when_a_person_publishes_it_again(tmp_path: Path, parts: Parts) -> None:
    first = parts.producer.publish(str(tmp_path / "run"), "e", registries=["first"])
    (tmp_path / "run" / "b").write_text("newer")
    os.utime(tmp_path / "run" / "b", (4e9, 4e9))  # so that `latest` leaves the first run
    parts.producer.publish(str(tmp_path / "run"), "e", registries=["first"])
    (tmp_path / "run" / "b").unlink()
    keeper = parts.keeper("first")
    keeper.retire(keeper.plan_runs([first.ref], "by mistake"))
    assert len(parts.consumer("first").runs("e")) == 1
    (back,) = parts.producer.publish(str(tmp_path / "run"), "e", registries=["first"]).deliveries
    assert back.published is not None
    assert (back.published.ref, back.published.new, back.published.uploaded_bytes) == (first.ref, True, 0)
    assert len(parts.consumer("first").runs("e")) == 2


def test_a_registry_that_is_named_alone_is_the_only_one_that_is_tried(tmp_path: Path, parts: Parts) -> None:
    parts.journal.deliveries.accept(parts.producer.seal(str(tmp_path / "run"), "e", run_id="r").run, ["first"])
    report = parts.producer.publish(str(tmp_path / "run"), "e", registries=["second"], run_id="r")
    assert [done.registry for done in report.deliveries] == ["second"]
    assert [delivery.registry for delivery in parts.journal.deliveries.all(state="queued")] == ["first"]
