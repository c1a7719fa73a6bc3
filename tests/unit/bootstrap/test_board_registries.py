"""Registries that are looked at: opened once, opened anew when the settings change, and not asked again and again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.builders.crowds import a_crowded_registry
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.bootstrap.board import registries as board_registries
from sealrun.bootstrap.board.registries import RegistryLooks
from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.domain.errors import NotFoundError, UnavailableError
from sealrun.domain.oversight.board import RunQuestion
from sealrun.ports import Clock, Entropy
from sealrun.services.access.reading import Reader


class Looking:
    """Looks by a clock that is moved by hand; `opened` counts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.specs = {
            "main": RegistrySpec(name="main", url=str(folder / "main")),
            "cold": RegistrySpec(name="cold", url=str(folder / "cold")),
        }
        a_crowded_registry(folder / "main", 10, 1)
        self.looks = RegistryLooks(self.clock, FakeEntropy(1))

        def opening(spec: RegistrySpec, clock: Clock, entropy: Entropy) -> Reader:
            self.opened.append(spec.name)
            reader = open_reader(spec, clock, entropy)
            inner = reader.store.close

            def close() -> None:
                self.closed.append(spec.url)
                inner()

            monkeypatch.setattr(reader.store, "close", close)
            return reader

        monkeypatch.setattr(board_registries, "open_reader", opening)


@pytest.fixture
def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looking:
    return Looking(tmp_path, monkeypatch)


def test_a_registry_is_opened_once(looking: Looking) -> None:
    looks = {looking.looks.of(looking.specs, "main") for _ in range(5)}
    assert (len(looks), looking.opened) == (1, ["main"])
    with pytest.raises(NotFoundError, match="nobody"):
        looking.looks.of(looking.specs, "nobody")
    looking.looks.close()
    looking.looks.close()
    assert len(looking.closed) == 1


def test_one_that_cannot_be_opened_is_not_tried_again_at_once(looking: Looking) -> None:
    for _ in range(3):
        with pytest.raises(UnavailableError):
            looking.looks.of(looking.specs, "cold")
    assert looking.opened == ["cold"]
    looking.clock.sleep(11.0)
    with pytest.raises(UnavailableError):
        looking.looks.of(looking.specs, "cold")
    assert looking.opened == ["cold", "cold"]


def test_new_settings_open_it_anew_and_whoever_still_reads_has_an_hour(looking: Looking, tmp_path: Path) -> None:
    before = looking.looks.of(looking.specs, "main")
    a_crowded_registry(tmp_path / "other", 3, 1)
    changed = {"main": msgspec.structs.replace(looking.specs["main"], url=str(tmp_path / "other"))}
    after = looking.looks.of(changed, "main")
    assert after.lists.page(RunQuestion(registry="main")).total == 3
    assert before.lists.page(RunQuestion(registry="main")).total == 10
    looking.looks.forget_idle()
    assert looking.closed == []
    looking.clock.sleep(3601.0)
    looking.looks.forget_idle()
    assert looking.closed == [str(tmp_path / "main")]


def test_what_nobody_looks_at_any_more_is_forgotten_but_stays_open(looking: Looking) -> None:
    look = looking.looks.of(looking.specs, "main")
    looking.looks.forget_idle()
    assert looking.looks.of(looking.specs, "main") is look
    looking.clock.sleep(901.0)
    looking.looks.of(looking.specs, "main", in_passing=True)
    looking.looks.forget_idle()
    again = looking.looks.of(looking.specs, "main")
    assert again is not look
    assert again.reader is look.reader
    assert looking.opened == ["main"]
