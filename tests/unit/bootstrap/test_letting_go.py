"""What a daemon keeps of a run ends with its last delivery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders.houses import House

from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.domain.runs.run import Completion
from sealrun.services.delivery.delivering import DeliveryLine
from sealrun.services.watching.sealing import SealRequest

REQUEST = SealRequest(
    experiment="train", completion=Completion(method="marker", evidence="_SUCCESS", confidence="declared")
)
PATIENCE = 100


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def take(house: House, name: str, *registries: str) -> int:
    """Seal a folder of the watch, as its intake does, for these registries."""
    run = house.folder / f"drops/{name}"
    run.mkdir()
    for number in range(3):
        (run / f"{number}").write_text(name)
    staged = house.composition._stages.of("drops")
    sealing = staged.seal(LocalFolder(str(run), hashes=house.journal.hashes), REQUEST)
    number = house.journal.deliveries.accept(sealing.run, registries)
    staged.keep(number, sealing)
    return number


def deliver(line: DeliveryLine) -> None:
    """Let the line deliver what is due, to its pause."""
    for _ in range(PATIENCE):
        line.woken.clear()
        if line.step() > 0 and line._journal.deliveries.next_due(line.registry) is None and not line._hands._pieces:
            line.step()
            return
        line.woken.wait(0.1)


def line_of(house: House, registry: str) -> DeliveryLine:
    (found,) = (line for line in house.parts.lines if line.registry == registry)
    return found


def test_what_was_staged_is_let_go_as_soon_as_no_registry_waits_for_it(house: House) -> None:
    main = line_of(house, "main")
    done, awaited = take(house, "done", "main"), take(house, "awaited", "main", "cold")
    assert house.composition._stages.at_hand(done) is not None
    deliver(main)
    at_hand = house.composition._stages.at_hand
    assert [at_hand(number) is not None for number in (done, awaited)] == [False, True]
    assert {each.state for each in house.journal.deliveries.all(registry="main")} == {"published"}
    main.close()


def test_memory_of_many_files_is_given_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr("sealrun.bootstrap.daemon.composition.return_freed_memory", lambda: given.append(True))
    main = line_of(house, "main")
    take(house, "few", "main")
    deliver(main)
    assert given == []
    monkeypatch.setattr("sealrun.bootstrap.daemon.composition._MANY_FILES", 3)
    take(house, "many", "main")
    deliver(main)
    assert given == [True]
    main.close()
