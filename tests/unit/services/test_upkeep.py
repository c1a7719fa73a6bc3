"""What an opened registry copies while a folder is hashed, and what it publishes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.builders.folders import a_folder
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.store import ModelStore

from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.address import AttemptId, Digest, object_key
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.publication import AttemptTicket, Stored
from sealrun.domain.runs.run import Completion
from sealrun.ports import Store
from sealrun.services.access.reading import Reader
from sealrun.services.delivery.parts import AtHand
from sealrun.services.delivery.staging import Room, StagedSealings
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.watching.sealing import SealRequest

REGISTRY = "0" * 32
FILES = {f"d{n % 3}/{n:02}": f"{n}\n" * n for n in range(30)} | {"big": "x" * 3000, "named": "n"}
REQUEST = SealRequest(
    experiment="train",
    completion=Completion(method="command", evidence="test", confidence="declared"),
    names={"named": "shown.txt"},
)
CLOCK, ENTROPY = FakeClock(), FakeEntropy()


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


def opened(store: Store, folder: Path, hints: FakeHints | None = None, *, least: int = 10) -> OpenedRegistry:
    packing = Packing(PackOptions(below=1000, size=1 << 20, least=least), lambda: SpoolStage(str(folder)))
    return OpenedRegistry(store, REGISTRY, hints or FakeHints(), CLOCK, ENTROPY, "me", packing=packing)


@pytest.fixture(params=["directory", "elsewhere"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return PosixStore(tmp_path / "store", make=True)
    return ModelStore(lambda: CLOCK.now().timestamp(), links=False)


def ticket(number: int = 1) -> AttemptTicket:
    attempt = AttemptId(f"20260117T143052Z-{number:016x}")
    return AttemptTicket(attempt=attempt, nonce=f"{number:032}", created_at="2026-01-17T14:30:52Z", owner="me")


def at_hand(staged: StagedSealings) -> AtHand:
    found = staged.at_hand(1)
    assert found is not None
    return found


def test_a_run_is_read_once_and_published_from_what_waits(store: Store, tmp_path: Path) -> None:
    run = a_folder(tmp_path / "run", FILES)
    registry = opened(store, tmp_path)
    staged = StagedSealings(lambda: registry)
    sealing = staged.seal(LocalFolder(str(run), hashes=NoHashes()), REQUEST)
    staged.keep(1, sealing)
    (pack,) = at_hand(staged).packs
    assert {member.digest for member in pack.members} == {digest(FILES[path]) for path in FILES if path.startswith("d")}
    for path in FILES:
        if path.startswith("d"):
            (run / path).unlink()  # what was copied on the way is not looked for in the folder again
    done = registry.publish(sealing.run, ticket(), sealing.source, at_hand(staged).packs)
    assert (done.uploaded_objects, done.reused_objects) == (32, 0)
    staged.release(1)
    assert staged.at_hand(1) is None
    reader = Reader(store, CLOCK, ENTROPY)
    view = reader.load(reader.resolve(done.ref))
    assert {view.objects[digest(body)].offset is None for path, body in FILES.items() if path.startswith("d")} == {
        False
    }
    assert view.objects[digest("n")].offset is None
    for path, body in FILES.items():
        assert b"".join(reader.chunks(view, view.entry(path))) == body.encode()


def test_what_the_registry_knows_is_not_packed_again(store: Store, tmp_path: Path) -> None:
    known = {digest(FILES[f"d{n % 3}/{n:02}"]): len(FILES[f"d{n % 3}/{n:02}"]) for n in range(20)}
    hints = FakeHints()
    attempt = AttemptId("20260117T143052Z-00000000000000ff")
    hints.learn(REGISTRY, {one: Stored(object_key(one, attempt), size) for one, size in known.items()}, attempt)
    registry = opened(store, tmp_path, hints)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    tree = folder.scan()
    copying = registry.plan_copying(tree, {"named"})
    assert copying is not None
    assert copying.stage is not None
    (pack,) = folder.hash(tree, copying).packs
    assert {member.digest for member in pack.members} == {digest(FILES[f"d{n % 3}/{n:02}"]) for n in range(20, 30)}
    copying.stage.close()


def test_too_few_small_files_are_not_packed(store: Store, tmp_path: Path) -> None:
    registry = opened(store, tmp_path, least=31)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    copying = registry.plan_copying(folder.scan(), {"named"})
    assert (copying is None) == (store.stage() is None)
    if copying is not None:
        assert copying.stage is not None
        assert list(copying.packs) == []
        copying.stage.close()
    sealing = StagedSealings(lambda: registry).seal(folder, REQUEST)
    done = registry.publish(sealing.run, ticket(), sealing.source)
    view = Reader(store, CLOCK, ENTROPY).load(Reader(store, CLOCK, ENTROPY).resolve(done.ref))
    assert {stored.offset for stored in view.objects.values()} == {None}


def test_without_a_stage_the_folder_is_read_and_packed_alike(store: Store, tmp_path: Path) -> None:
    registry = opened(store, tmp_path)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    staged = StagedSealings(lambda: registry)
    sealing = staged.seal(folder, REQUEST)
    staged.keep(1, sealing)
    (waiting,) = at_hand(staged).packs
    done = registry.publish(sealing.run, ticket(), folder.source)
    view = Reader(store, CLOCK, ENTROPY).load(Reader(store, CLOCK, ENTROPY).resolve(done.ref))
    keys = {stored.key for stored in view.objects.values() if stored.offset is not None}
    # The same bytes: a publisher that crashed and reads the folder again finds the packs that it has stored.
    assert [key.split(".")[0].replace("/", "")[-64:] for key in keys] == [waiting.source.digest]
    staged.release(1)


def test_a_plain_registry_packs_nothing(store: Store, tmp_path: Path) -> None:
    registry = OpenedRegistry(store, REGISTRY, FakeHints(), CLOCK, ENTROPY, "me")
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    sealing = StagedSealings(lambda: registry).seal(folder, REQUEST)
    done = registry.publish(sealing.run, ticket(), sealing.source)
    assert done.uploaded_objects == len(FILES)
    assert not any(found.key.startswith("store/packs/") for found in store.list("store/"))


def test_of_very_many_small_files_that_are_not_packed_few_wait_and_the_others_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealrun.adapters.run_folders.staging._MANY_ALONE", 5)
    registry = OpenedRegistry(PosixStore(tmp_path / "store", make=True), REGISTRY, FakeHints(), CLOCK, ENTROPY, "me")
    files = {**FILES, "large": "l" * (1 << 20)}
    run = a_folder(tmp_path / "run", files)
    folder = LocalFolder(str(run), hashes=NoHashes(), workers=1)
    copying = registry.plan_copying(folder.scan(), ())
    assert copying is not None
    assert copying.stage is not None
    staged = folder.hash(folder.scan(), copying).staged
    assert len(staged) == 5
    assert digest(files["large"]) in staged  # which comes first
    copying.stage.close()
    sealing = StagedSealings(lambda: registry).seal(folder, REQUEST)
    done = registry.publish(sealing.run, ticket(), sealing.source)
    assert done.uploaded_objects == len(files)
    reader = Reader(PosixStore(tmp_path / "store"), CLOCK, ENTROPY)
    view = reader.load(reader.resolve(done.ref))
    for path, body in files.items():
        assert b"".join(reader.chunks(view, view.entry(path))) == body.encode()


def test_while_many_runs_wait_nothing_more_is_staged(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealrun.services.delivery.staging.MOST_KEPT", 2)
    registry = opened(store, tmp_path)
    staged = StagedSealings(lambda: registry)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    staged.keep(1, staged.seal(folder, REQUEST))
    second = staged.seal(folder, REQUEST)
    staged.keep(2, second)
    third = staged.seal(folder, REQUEST)
    staged.keep(3, third)
    assert (len(second.packs), len(third.packs)) == (1, 0)
    assert staged.at_hand(3) is None
    staged.release(1)
    assert not staged.full
    assert staged.seal(folder, REQUEST).packs
    staged.sweep()
    with third.source(third.manifest.entries[0]).open() as file:
        assert file.read() == b"x" * 3000
    staged.release(2)


@pytest.mark.parametrize(("most", "fits"), [(1, 1), (len(FILES), 1), (len(FILES) + 1, 2), (2 * len(FILES) + 1, 3)])
def test_all_watches_together_keep_as_many_files_as_fit_and_those_of_the_last_run(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, most: int, fits: int
) -> None:
    monkeypatch.setattr("sealrun.services.delivery.staging.MOST_FILES", most)
    registry, room = opened(store, tmp_path), Room()
    watches = [StagedSealings(lambda: registry, room=room) for _ in range(3)]
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    for watch in watches:
        watch.keep(1, watch.seal(folder, REQUEST))
    assert [watch.at_hand(1) is not None for watch in watches] == [number < fits for number in range(3)]
    assert watches[0].full == watches[2].full == (fits * len(FILES) >= most)
    assert [watch.release(1) for watch in watches] == [len(FILES) * (number < fits) for number in range(3)]
    assert watches[0].release(1) == 0
    assert not room.is_full


def test_of_a_run_of_many_files_no_more_are_counted_than_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealrun.services.delivery.staging.MOST_FILES", 30_000)
    room = Room()
    assert [room.enter(files) for files in (1_000_000, 10_000, 1)] == [True, True, False]
    room.leave(1_000_000)
    assert room.enter(1_000_000)


def test_what_is_kept_again_takes_the_room_of_one(store: Store, tmp_path: Path) -> None:
    registry, room = opened(store, tmp_path), Room()
    staged = StagedSealings(lambda: registry, room=room)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    for _ in range(3):
        staged.keep(1, staged.seal(folder, REQUEST))
    assert staged.release_all_but(lambda _kept: ()) == len(FILES)
    assert (room._runs, room._files) == (0, 0)


def test_what_is_sealed_while_others_look_at_the_queue_stays_at_hand(store: Store, tmp_path: Path) -> None:
    registry = opened(store, tmp_path)
    staged = StagedSealings(lambda: registry)
    folder = LocalFolder(str(a_folder(tmp_path / "run", FILES)), hashes=NoHashes())
    for sealed in (1, 2):
        staged.keep(sealed, staged.seal(folder, REQUEST))

    def queued(kept: Collection[int]) -> set[int]:
        assert {*kept} == {1, 2}
        staged.keep(3, staged.seal(folder, REQUEST))  # by another thread, once the queue was read
        return {2}

    staged.release_all_but(queued)
    assert [staged.at_hand(sealed) is not None for sealed in (1, 2, 3)] == [False, True, True]
    assert registry.publish(at_hand_of(staged, 3).run, ticket(), at_hand_of(staged, 3).sources).new
    staged.release_all_but(lambda _kept: ())
    assert [staged.at_hand(sealed) for sealed in (2, 3)] == [None, None]


def at_hand_of(staged: StagedSealings, sealed: int) -> AtHand:
    found = staged.at_hand(sealed)
    assert found is not None
    return found
