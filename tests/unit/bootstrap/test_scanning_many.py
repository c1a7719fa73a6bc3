"""One look at a watch with more runs than may wait at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.servers.seaweedfs import SeaweedFS

from sealrun.bootstrap.parts import Parts
from sealrun.bootstrap.registries import Opener, RegistrySpec
from sealrun.bootstrap.verbs.producing import Producer
from sealrun.domain.errors import UnavailableError
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.access.reading import Reader

MANY = 150


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    for number in range(MANY):
        run = tmp_path / f"outbox/run{number:03}"
        run.mkdir(parents=True)
        for name in ("a", "b", "_SUCCESS"):
            (run / name).write_text(f"{number} {name}")
    return tmp_path / "outbox"


@pytest.fixture
def open_at_most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files this process had open whenever a run was to be delivered."""
    seen: list[int] = []
    deliver = Producer._deliver_all

    def counting(self: Producer, number: int, *known: Any) -> Any:  # noqa: ANN401 - passed on
        seen.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - counted
        return deliver(self, number, *known)

    monkeypatch.setattr(Producer, "_deliver_all", counting)
    return seen


def watch_of(outbox: Path) -> WatchSpec:
    return WatchSpec(name="w", path=str(outbox), experiment="e", registries=("main",), settle_s=0.0)


def test_what_waits_for_its_delivery_does_not_use_up_the_files_of_the_process(
    tmp_path: Path, outbox: Path, seaweedfs_server: SeaweedFS, open_at_most: list[int]
) -> None:
    spec = RegistrySpec(
        name="main", url=f"s3://{seaweedfs_server.create_bucket()}", storage_options=seaweedfs_server.storage_options
    )
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted
    with Parts(tmp_path / "state", {"main": spec}, [watch_of(outbox)]) as parts:
        report = parts.scan_once()
        assert {run.name for run in report.published} == {path.name for path in outbox.iterdir()}
        assert all(done.published for run in report.published for done in run.deliveries)
        rows = Reader(parts.producer.registry("main").store, FakeClock(), FakeEntropy()).rows("e")
        assert {row.name for row in rows} == {path.name for path in outbox.iterdir()}
    assert max(open_at_most) - before < MANY


def test_a_registry_that_is_away_is_tried_once_and_everything_stays_queued(
    tmp_path: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(_self: Opener, spec: RegistrySpec) -> None:
        tried.append(spec.name)
        raise UnavailableError("gone for lunch")

    monkeypatch.setattr(Opener, "for_publishing", refuse)
    spec = RegistrySpec(name="main", url=str(tmp_path / "registry"))
    with Parts(tmp_path / "state", {"main": spec}, [watch_of(outbox)]) as parts:
        report = parts.scan_once()
        errors = {str(done.error) for run in report.published for done in run.deliveries}
        assert (len(report.published), errors, tried) == (MANY, {"gone for lunch"}, ["main"])
        assert len(parts.journal.deliveries.all(state="queued")) == MANY
        tried.clear()
        assert not any(done.published for run in parts.scan_once().published for done in run.deliveries)
        assert tried == ["main"]  # the next look tries again
