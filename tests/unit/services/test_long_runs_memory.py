"""What commands that look at a whole run hold of each of its files, counted by the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.builders.memory import per_file, take_few_for_many
from tests.builders.runs import a_run
from tests.builders.worlds import EVERYTHING_PACKED, REGISTRY_ID, World
from tests.fakes.clock import FakeClock, FakeEntropy

from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.shelving import FileShelf
from sealrun.domain.address import AttemptId, Key, retired_key
from sealrun.domain.curation.comparing import compare
from sealrun.domain.pieces import Pieces
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import Retired
from sealrun.domain.runs.entries import Entry
from sealrun.domain.runs.manifest import Manifest
from sealrun.domain.shelves import use_shelves
from sealrun.services.access.reading import Reader
from sealrun.services.index.moving import PointerMover
from sealrun.services.keeping.undoing import Undoer
from sealrun.services.storage.certainty import Certainty


@pytest.fixture(autouse=True)
def few_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep on shelves what would be kept as objects where there is little."""
    take_few_for_many(monkeypatch)
    monkeypatch.setattr("sealrun.services.publication.reusing.FEW", 100)
    monkeypatch.setattr("sealrun.services.keeping.undoing.FEW", 100)
    monkeypatch.setattr("sealrun.services.storage.bodies.LONG", 1000)
    use_shelves(lambda: FileShelf(str(tmp_path)))
    yield
    use_shelves(None)


def a_manifest(count: int, changed: int = -1) -> Manifest:
    return Manifest.build(
        Entry(f"d{number // 1000:04}/{number:07}", number % 300, sha256(b"%d" % (-1 if number == changed else number)))
        for number in range(count)
    )


def test_two_runs_that_hardly_differ_are_compared_without_holding_their_files() -> None:
    def act(count: int) -> Callable[[], object]:
        one, other = a_manifest(count), a_manifest(count, changed=count // 2)
        envelope = a_run({"x": b"1"})[0].envelope()
        before, after = envelope, msgspec.structs.replace(envelope, manifest_sha256=sha256(b"other"))

        def comparing() -> None:
            found = compare((before, one), (after, other))
            assert [change.change for change in found.files] == ["changed"]
            assert found.unchanged == count - 1

        return comparing

    assert per_file(act) < 20


@pytest.mark.parametrize("what", ["plan", "undo", "move"])
def test_a_run_is_brought_back_and_pointed_to_without_holding_its_files(tmp_path: Path, what: str) -> None:
    def act(count: int) -> Callable[[], object]:
        store = PosixStore(tmp_path / f"store{count}", make=True)
        world = World(packs=EVERYTHING_PACKED)
        run, sources = a_run({f"f{number}": b"%d" % number for number in range(count)})
        done = world.machine("m").publish(run, sources, store)
        clock, entropy = FakeClock(), FakeEntropy(3)
        if what == "move":
            target = Reader(store, clock, entropy).resolve(done.ref)

            def move() -> None:
                mover = PointerMover(store, clock, entropy, "m", "me")
                assert mover.execute(mover.plan_set("train", f"p{entropy.hex(4)}", target, "")) is not None

            return move

        def gone(attempt: AttemptId) -> None:
            record = Retired(attempt=attempt, retired_at="2026-02-01T00:00:00Z", by="me", why="too old")
            store.create(retired_key(attempt), record.encode())

        gone(AttemptId(done.attempt))

        def plan() -> None:
            undoer = Undoer(store, REGISTRY_ID, None, clock, entropy, "m")
            found = undoer.plan("train", done.run_id)
            assert not found.missing
            assert sum(1 for _ in found.there) == count
            if what == "undo":  # its records are there already, as after a race that was lost
                gone(AttemptId(undoer.execute(found).attempt))

        return plan

    assert per_file(act) < (400 if what == "undo" else 150)


def test_of_a_long_record_that_stands_already_nothing_is_held(tmp_path: Path) -> None:
    store, key, body = PosixStore(tmp_path / "store", make=True), Key("attempts/x/refs.json"), b"0123456789" * 1000
    store.create(key, body)
    certainty = Certainty(store, FakeClock(), FakeEntropy(3))
    ours, others = Pieces(lambda: [body]), Pieces(lambda: [body, b"more"])
    stands = certainty.create(key, ours)
    assert isinstance(stands, Pieces)
    assert stands == ours
    assert certainty.create(key, others) == body
    assert certainty.create(key, body) == body
