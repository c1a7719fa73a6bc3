"""What a file costs in memory, counted by the interpreter: of a run with a million, each byte is a MiB."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

import pytest
from tests.builders.memory import per_file, take_few_for_many
from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints
from tests.fakes.journal import FakeHashes

from sealrun.adapters.run_folders.run_folder import LocalFolder
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.shelving import FileShelf
from sealrun.adapters.stores.spooling import SpoolStage
from sealrun.domain.address import AttemptId, Digest, Key, RunId, pack_key
from sealrun.domain.grouping import in_groups
from sealrun.domain.pieces import Pieces
from sealrun.domain.records import canonical_json, sha256
from sealrun.domain.registry.columns import PackColumns, narrow
from sealrun.domain.registry.hinting import HintColumns, gathered, pairs_of
from sealrun.domain.registry.object_places import uploaded
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.registry.places import PackPlaces, Places, all_sizes, in_order, used_keys
from sealrun.domain.registry.publication import AttemptTicket, Hint, Intent, Refs, Stored
from sealrun.domain.runs import contents
from sealrun.domain.runs.entries import Entries, Entry, in_columns
from sealrun.domain.runs.manifest import Manifest, Sums
from sealrun.domain.runs.run import Completion
from sealrun.domain.runs.sorted_digests import SortedDigests
from sealrun.domain.shelves import Pile, new_shelf, use_shelves
from sealrun.domain.upkeep.marking import Uses
from sealrun.services.access.pouring import pour
from sealrun.services.access.reading import Reader
from sealrun.services.mending.looking import Noted
from sealrun.services.publication.packing import Packing
from sealrun.services.publication.upkeep import OpenedRegistry
from sealrun.services.watching.sealing import SealRequest, seal

REGISTRY = "0" * 32
ATTEMPT = AttemptId("20260117T143052Z-0123456789abcdef")
TICKET = AttemptTicket(attempt=ATTEMPT, nonce="0" * 32, created_at="2026-01-17T14:30:52Z", owner="me")
REQUEST = SealRequest(
    experiment="train", completion=Completion(method="command", evidence="test", confidence="declared")
)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep in columns what would be kept as objects where there is little."""
    take_few_for_many(monkeypatch)
    monkeypatch.setattr("sealrun.adapters.run_folders.staging._MANY_ALONE", 100)
    monkeypatch.setattr("sealrun.adapters.stores.posix_bulk._BATCH_FILES", 100)
    monkeypatch.setattr("sealrun.services.publication.reusing._STATS_AT_ONCE", 100)
    monkeypatch.setattr("sealrun.services.mending.looking.FEW", 100)
    monkeypatch.setattr("sealrun.services.mending.looking._TOGETHER", 500)


@pytest.fixture
def shelves(tmp_path: Path) -> Iterator[None]:
    """Have a place for what is too long for memory, as every command has."""
    use_shelves(lambda: FileShelf(str(tmp_path)))
    yield
    use_shelves(None)


def in_pieces(body: bytes) -> Pieces:
    return Pieces(lambda: (body[at : at + 20_000] for at in range(0, len(body), 20_000)))


def objects_of(count: int) -> Mapping[Digest, Stored]:
    return uploaded(ATTEMPT, ((sha256(b"object %d" % number), number % 300) for number in range(count)))


def an_entry(number: int) -> Entry:
    return Entry(f"d{number // 1000:04}/file-{number:07}.txt", number % 300, sha256(f"{number}".encode()))


def a_manifest(count: int) -> Manifest:
    return Manifest.build(map(an_entry, range(count)))


def a_folder_of(path: Path, count: int) -> Path:
    for number in range(count):
        file = path / f"d{number // 1000:04}" / f"file-{number:07}.txt"
        if number % 1000 == 0:
            file.parent.mkdir(parents=True)
        file.write_bytes(b"%d" % number)
    return path


def places_of(count: int) -> Places:
    packs = []
    for number in range(count // 500):
        members = {sha256(f"{each}".encode()): (each * 300, each % 300) for each in range(number, count, count // 500)}
        places = PackPlaces.of(pack_key(sha256(b"%d" % number), ATTEMPT), members)
        assert places is not None
        packs.append(places)
    return Places({}, packs)


@pytest.mark.parametrize("packed", [True, False])
def test_a_run_is_published_in_a_few_hundred_bytes_a_file(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001 - a parameter
    def publish(count: int) -> Callable[[], object]:
        run = a_folder_of(tmp_path / f"run{count}", count)

        def act() -> object:
            for old in (tmp_path / "store",):
                if old.exists():
                    old.rename(tmp_path / f"old{len(list(tmp_path.iterdir()))}")
            store = PosixStore(tmp_path / "store", make=True)
            packing = Packing(PackOptions(size=1 << 20), lambda: SpoolStage(str(tmp_path))) if packed else None
            hints = FakeHints()
            hints.learn = lambda *_: None  # type: ignore[method-assign] # the journal keeps them on disk
            registry = OpenedRegistry(store, REGISTRY, hints, FakeClock(), FakeEntropy(), "me", packing=packing)
            folder = LocalFolder(str(run), hashes=FakeHashes(), workers=2, wall_ns=lambda: 0)
            sealing = seal(folder, REQUEST, lambda tree: registry.plan_copying(tree, ()))
            published = registry.publish(sealing.run, TICKET, sealing.source, sealing.packs)
            assert published.uploaded_objects == count
            return published

        return act

    assert per_file(publish) < 400


def test_a_manifest_is_read_in_columns() -> None:
    def read(count: int) -> Callable[[], object]:
        body = a_manifest(count).encode()
        return lambda: Manifest.decode(body, "manifest.json")

    assert per_file(read) < 150


def test_refs_are_read_pack_by_pack() -> None:
    def read(count: int) -> Callable[[], object]:
        body = Refs(attempt=ATTEMPT, objects=places_of(count)).encode()
        return lambda: Refs.decode(body, "refs.json")

    assert per_file(read) < 300


@pytest.mark.usefixtures("shelves")
def test_of_a_long_manifest_nothing_stays_in_memory() -> None:
    def read(count: int) -> Callable[[], object]:
        body = in_pieces(a_manifest(count).encode())
        return lambda: Manifest.read(body, "manifest.json")

    assert per_file(read) < 30


def test_long_refs_are_read_into_columns_and_nothing_else() -> None:
    def read(count: int) -> Callable[[], object]:
        body = in_pieces(Refs(attempt=ATTEMPT, objects=places_of(count)).encode())
        return lambda: Refs.read(body, "refs.json")

    assert per_file(read) < 90


@pytest.mark.usefixtures("shelves")
def test_of_long_refs_nothing_stays_in_memory() -> None:
    def read(count: int) -> Callable[[], object]:
        body = in_pieces(Refs(attempt=ATTEMPT, objects=places_of(count)).encode())
        return lambda: Refs.read(body, "refs.json")

    assert per_file(read) < 20


@pytest.mark.usefixtures("shelves")
def test_of_the_digests_of_a_long_intent_nothing_stays_in_memory() -> None:
    def read(count: int) -> Callable[[], object]:
        digests = a_manifest(count).digests()
        return lambda: SortedDigests.of(digests)

    assert per_file(read) < 40  # where four of them are on the shelf; in earnest that is said of 128


def test_objects_of_their_own_are_kept_in_columns() -> None:
    def read(count: int) -> Callable[[], object]:
        body = in_pieces(Refs(attempt=ATTEMPT, objects=objects_of(count)).encode())
        return lambda: Refs.read(body, "refs.json")

    assert per_file(read) < 100
    assert per_file(lambda count: lambda: objects_of(count)) < 100


@pytest.mark.usefixtures("shelves")
def test_what_is_noted_of_members_of_packs_waits_on_a_shelf() -> None:
    def note(count: int) -> Callable[[], object]:
        places = places_of(count)

        def act() -> object:
            noted = Noted()
            noted.look(places.items())
            return noted.asked()

        return act

    assert per_file(note) < 20  # two columns in memory took 40


@pytest.mark.usefixtures("shelves")
def test_what_was_noted_is_what_was_asked_for_however_it_was_kept() -> None:
    strange = [(sha256(b"object 1"), Stored(Key(f"store/somewhere/{name}"), 7)) for name in ("else", "other")]
    others = uploaded(
        AttemptId("20260117T143052Z-00000000000000ff"), ((sha256(b"object %d" % n), 9) for n in range(200))
    )
    noted, all_of_them = Noted(), [*places_of(1_500).items(), *strange, *objects_of(700).items(), *others.items()]
    for some in in_groups(all_of_them, 64):
        noted.look(some)
    asked = noted.asked()
    assert isinstance(asked, list)
    assert len(asked) == 2 + 5  # some 500 together, the strange ones alone
    found = [pair for places in asked for pair in places.items()]
    assert sorted(found, key=str) == sorted(all_of_them, key=str)
    assert noted.count == len(all_of_them)


def test_of_the_keys_that_an_attempt_uses_nine_bytes_are_kept_each() -> None:
    def use(count: int) -> Callable[[], object]:
        objects = objects_of(count)
        return lambda: Uses(used_keys(objects))

    assert per_file(use) < 20
    assert len(list(Uses(used_keys(objects_of(700))))) == 700
    assert len(list(Uses(used_keys(places_of(1_500))))) == 3  # packs, each once


def test_small_objects_are_not_gathered_before_they_are_restored(tmp_path: Path) -> None:
    def restore(count: int) -> Callable[[], object]:
        store = PosixStore(tmp_path / f"store{count}", make=True)
        registry = OpenedRegistry(store, REGISTRY, FakeHints(), FakeClock(), FakeEntropy(), "me")
        folder = LocalFolder(str(a_folder_of(tmp_path / f"run{count}", count)), hashes=FakeHashes(), wall_ns=lambda: 0)
        sealing = seal(folder, REQUEST)
        done = registry.publish(sealing.run, TICKET, sealing.source)
        reader = Reader(store, FakeClock(), FakeEntropy())
        view = reader.load(reader.resolve(done.ref))

        def act() -> object:
            written, lock = array("I", [0]), Lock()

            def write(entry: Entry, chunks: Iterable[bytes | memoryview]) -> None:
                size = sum(map(len, chunks))
                with lock:
                    written[0] += size == entry.size

            pour(reader, view, view.manifest.entries, write)
            assert written[0] == count
            return None

        return act

    assert per_file(restore) < 40


def test_hints_are_kept_in_columns() -> None:
    def ask(count: int) -> Callable[[], object]:
        places = places_of(count)
        return lambda: gathered((digest, Hint(stored, ATTEMPT)) for digest, stored in places.items())

    assert per_file(ask) < 100


@pytest.mark.parametrize("record", ["manifest.json", "MANIFEST.sha256", "refs.json", "intent.json"])
def test_a_long_record_is_never_there_as_a_whole_when_it_is_written(record: str) -> None:
    def write(count: int) -> Callable[[], object]:
        manifest = a_manifest(count)
        match record:
            case "manifest.json":
                body = manifest.body()
            case "MANIFEST.sha256":
                body = Sums.build(b"{}", manifest.body(), manifest).body
            case "refs.json":
                body = Refs(attempt=ATTEMPT, objects=places_of(count)).body()
            case _:
                body = Intent.to_publish(TICKET, ("e", RunId("r")), manifest.digests()).body()
        assert isinstance(body, Pieces)
        return lambda: [len(piece) for piece in body]

    assert per_file(write) < 40


# ---------------------------------------------------------------- the same values, kept otherwise


def test_long_records_have_the_canonical_bytes() -> None:
    manifest, places = a_manifest(3_000), places_of(3_000)
    refs = Refs(attempt=ATTEMPT, objects=places)
    intent = Intent.to_publish(TICKET, ("e", RunId("r")), manifest.digests())
    assert isinstance(intent.digests, SortedDigests)
    plain_refs = Refs(attempt=ATTEMPT, objects=dict(places))
    entries = [{"path": e.path, "sha256": e.sha256, "size": e.size} for e in manifest.entries]
    said = {**manifest.to_json(), "entries": entries, "directories": [], "links": []}
    assert bytes(manifest.body()) == manifest.encode() == canonical_json(said)
    assert bytes(refs.body()) == refs.encode() == plain_refs.encode()
    assert bytes(intent.body()) == intent.encode() == canonical_json({**intent.to_json(), "digests": [*intent.digests]})
    assert Manifest.decode(manifest.encode(), "x") == manifest
    assert dict(Refs.decode(refs.encode(), "x").objects) == dict(places)
    assert Intent.decode(intent.encode(), "x").encode() == intent.encode()


def test_contents_of_many_are_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry(f"{number:05}", number % 7, sha256(b"%d" % (number % 7))) for number in range(500)]
    entries += [an_entry(number) for number in range(1_000, 3_000)]
    manifest = Manifest.build(entries)
    expected = {entry.sha256: entry.size for entry in entries}
    for limit in (100, 1 << 20):
        monkeypatch.setattr(contents, "FEW", limit)
        found = manifest.digests()
        assert list(found.items()) == list(expected.items())
        assert len(found) == len(expected)
        assert all(found[digest] == size for digest, size in expected.items())
        assert Digest("0" * 64) not in found
        marked = contents.Marked(found)
        marked.add(entries[3].sha256)
        marked.add(entries[10].sha256)  # the same content
        assert (marked.count, entries[3].sha256 in marked, entries[4].sha256 in marked) == (1, True, False)


@pytest.mark.parametrize("away", [False, True])
def test_sorted_digests_are_sorted_and_found(away: bool, request: pytest.FixtureRequest) -> None:  # noqa: FBT001 - a parameter
    if away:
        request.getfixturevalue("shelves")
    some = [sha256(b"%d" % number) for number in range(2_000)]
    kept = SortedDigests.of([*some, *some[:100]])
    assert list(kept) == sorted(some)
    assert all(digest in kept for digest in some)
    assert sha256(b"another") not in kept
    assert (kept[0], kept[-1], len(kept)) == (min(some), max(some), 2_000)
    assert kept == sorted(some)
    assert kept != sorted(some)[:-1]
    assert kept == SortedDigests.of(reversed(some))
    assert kept != SortedDigests.of([*some[1:], sha256(b"another")])


@pytest.mark.usefixtures("shelves")
@pytest.mark.parametrize("sizes", [range(3_000), [7, 1 << 40, 0]])
def test_columns_say_the_same_wherever_they_are(sizes: Sequence[int]) -> None:
    digests = [sha256(b"%d" % number) for number in range(len(sizes))]
    ranges = narrow(list(reversed(sizes))), narrow(sizes)
    near, away = (PackColumns(bytes.fromhex("".join(digests)), *ranges) for _ in range(2))
    shelf = new_shelf()
    assert shelf is not None
    shelf.append(b"something before")
    away.put_away(shelf)
    away.put_away(shelf)
    for columns in (near, away, pickle.loads(pickle.dumps(away))):  # noqa: S301 - our own
        assert columns == near
        assert hash(columns) == hash(near)
        assert len(columns) == len(sizes)
        assert (columns.digests, columns.offsets, columns.sizes) == (near.digests, *ranges)
        assert [columns.digest(row).hex() for row in range(len(sizes))] == digests
        assert [columns.range(row) for row in range(len(sizes))] == [*zip(*ranges, strict=True)]
        assert b"".join(digests for digests, _, _ in columns.blocks()) == near.digests
        assert [size for _, _, some in columns.blocks() for size in some] == list(sizes)
        ordered = columns.in_order()
        assert ordered.digests.hex() == "".join(sorted(digests))
        assert sorted(zip(digests, *ranges, strict=True)) == [
            (ordered.digest(row).hex(), *ordered.range(row)) for row in range(len(sizes))
        ]
        assert columns.among([2, 0]) == PackColumns(
            bytes.fromhex(digests[2] + digests[0]),
            *(array(column.typecode, [column[2], column[0]]) for column in ranges),
        )
        assert columns.among(range(len(sizes))) is columns


def test_places_in_columns_are_found_like_those_in_a_dictionary() -> None:
    alone = {sha256(b"alone"): Stored(pack_key(sha256(b"0"), ATTEMPT), 5)}
    places = Places(alone, places_of(1_000).packs)
    plain = dict(places)
    assert len(plain) == len(places) == 1_001
    assert all(places[digest] == stored for digest, stored in plain.items())
    assert list(in_order(places)) == list(in_order(plain))
    assert [(digest.hex(), Stored(key, size, offset)) for digest, key, size, offset in in_order(places)] == sorted(
        plain.items()
    )
    assert all_sizes(places) == all_sizes(plain) == {stored.size for stored in plain.values()}
    assert places.get(sha256(b"none")) is None


def test_refs_in_columns_are_written_and_read_like_those_in_a_dictionary() -> None:
    strange = {sha256(b"strange"): Stored(Key("some/where"), 3)}
    for objects in (objects_of(2_000), Places(objects_of(2_000), places_of(1_000).packs[1:]), strange, {}):
        refs = Refs(attempt=ATTEMPT, objects=objects)
        plain = Refs(attempt=ATTEMPT, objects=dict(objects)).encode()
        assert bytes(refs.body()) == refs.encode() == plain
        for read in (Refs.decode(plain, "x"), Refs.read(in_pieces(plain), "x"), Refs.read(plain, "x")):
            assert dict(read.objects) == dict(objects)
            assert all(read.objects[digest] == stored for digest, stored in objects.items())


def test_hints_in_columns_are_those_in_a_dictionary() -> None:
    hints = {digest: Hint(stored, ATTEMPT) for digest, stored in places_of(1_000).items()}
    hints |= {sha256(b"%d" % number): Hint(Stored(Key("some/where"), number)) for number in range(2_000, 2_100)}
    kept = gathered(hints.items())
    assert isinstance(kept, HintColumns)
    assert dict(kept) == dict(pairs_of(kept)) == hints


@pytest.mark.usefixtures("shelves")
def test_what_is_on_a_shelf_is_what_was_put_there() -> None:
    there, elsewhere = in_columns(map(an_entry, range(5_000))), [an_entry(number) for number in range(5_000)]
    assert isinstance(there, Entries)
    assert list(there) == elsewhere
    assert there[4_999] == elsewhere[4_999]
    assert there.find(an_entry(3_333).path) == an_entry(3_333)
    assert pickle.loads(pickle.dumps(there)).blocks == there.blocks  # noqa: S301 - our own
    pile = Pile(b"%d," % number * 100_000 for number in range(20))
    assert b"".join(pile) == b"".join(b"%d," % number * 100_000 for number in range(20))


def test_entries_are_found_by_position_and_by_path() -> None:
    entries = in_columns(map(an_entry, range(2_500)))
    assert isinstance(entries, Entries)
    assert entries[0] == an_entry(0)
    assert entries[-1] == an_entry(2_499)
    assert entries[1_030:1_032] == (an_entry(1_030), an_entry(1_031))
    assert entries.find(an_entry(2_000).path) == an_entry(2_000)
    assert entries.find("a") is None
    assert entries.find("d0001") is None
    with pytest.raises(IndexError):
        entries[2_500]
