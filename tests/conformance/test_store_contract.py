"""Every promise of `ports.Store` and `ports.Remover`, kept by every store in `factories.FACTORIES`."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest
from tests.builders.sources import Bytes, Gone, Pattern, sha256
from tests.conformance.factories import CHANGED_NAMES, SINGLE_WRITER

from sealrun.adapters.stores import open_remover
from sealrun.domain.address import Digest, Key, intent_key, object_key, parse_attempt
from sealrun.domain.errors import NotFoundError, RunChangedError, SealrunError, UsageError
from sealrun.domain.pieces import Pieces
from sealrun.ports import Creation, Source, Store

ATTEMPT = parse_attempt("20260117T143052Z-0123456789abcdef")
ODD_NAMES = [
    " leading and trailing ",
    "new\nline",
    "back\\slash",
    "percent%20sign",
    "plus+sign",
    "question?mark",
    "hash#sign",
    "star*[set]{brace}",
    "double::colon",
    "quote'\"quote",
    "semi;colon&ampersand=equals",
    "tilde~",
    "..dots",
    "caf\u00e9 composed",
    "cafe\u0301 decomposed",
    "\U0001f9ea beyond the basic plane",
    "n" * 255,
    "\u00e9" * 127,
]


def key(name: str) -> Key:
    return Key(f"experiments/e/runs/r/artifacts/{name}")


def probe_key(name: str) -> Key:
    return Key(f"probe/conformance/{name}")


def keys(store: Store, prefix: str, limit: int | None = None) -> list[str]:
    return [str(found.key) for found in store.list(prefix, limit=limit)]


def together(threads: int, act: Callable[[int], object]) -> list[object]:
    ready = threading.Barrier(threads)

    def one(number: int) -> object:
        ready.wait()
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


# ---------------------------------------------------------------- creating


def test_of_many_creators_of_one_key_exactly_one_wins_and_its_bytes_stand(store: Store, store_kind: str) -> None:
    assert store.capabilities.write_once is (store_kind not in SINGLE_WRITER)
    if not store.capabilities.write_once:
        return
    for round_ in range(4):
        target = key(f"race-{round_}")
        bodies = [f"body {number}".encode() * 50 for number in range(16)]
        answers = together(16, lambda number, target=target, bodies=bodies: store.create(target, bodies[number]))  # type: ignore[misc] # defaults bind the loop's values
        assert answers.count(Creation.CREATED) == 1
        assert answers.count(Creation.EXISTS) == 15
        assert store.read(target) == bodies[answers.index(Creation.CREATED)]


def test_creating_again_says_exists_and_keeps_the_first_bytes(store: Store) -> None:
    assert store.create(key("once"), b"first") is Creation.CREATED
    assert store.create(key("once"), b"second") is Creation.EXISTS
    assert store.create(key("once"), b"first") is Creation.EXISTS
    assert store.read(key("once")) == b"first"


def test_an_empty_body_is_created_once_too(store: Store) -> None:
    assert store.create(key("empty"), b"") is Creation.CREATED
    assert store.create(key("empty"), b"not empty") is Creation.EXISTS
    assert store.read(key("empty")) == b""
    found = store.stat(key("empty"))
    assert found is not None
    assert found.size == 0


def test_what_was_created_is_listed_and_described_at_once(store: Store) -> None:
    for number in range(5):
        store.create(key(f"new/{number}"), b"x" * number)
        assert keys(store, "experiments/")[-1] == key(f"new/{number}")
        found = store.stat(key(f"new/{number}"))
        assert found is not None
        assert (found.key, found.size) == (key(f"new/{number}"), number)


def test_an_md5_that_is_told_is_that_of_the_bytes_and_listings_tell_it_too(store: Store) -> None:
    bodies = {key(f"told/{number}"): b"told %d" % number * (1 + 9999 * number) for number in range(3)}
    for at, body in bodies.items():
        store.create(at, body)
        described = store.stat(at)
        assert described is not None
        assert described.md5 in {None, hashlib.md5(body, usedforsecurity=False).hexdigest()}
    listed = [found for found in store.list("experiments/") if found.key in bodies]
    assert [found.md5 for found in listed] == [
        described.md5 for found in listed if (described := store.stat(found.key)) is not None
    ]


# ---------------------------------------------------------------- many at once


def test_many_small_sources_are_stored_and_each_is_reported(store: Store) -> None:
    sources = {object_key(source.digest, ATTEMPT): source for source in (Bytes(b"%d" % n) for n in range(200))}
    stored: list[tuple[Key, int]] = []
    store.put_many(iter(sources.items()), on_stored=lambda key, size: stored.append((key, size)))
    assert sorted(stored) == sorted((key, source.size) for key, source in sources.items())
    assert keys(store, "") == sorted(sources)
    for target, source in list(sources.items())[::20]:
        assert store.read(target) == source.body


def test_a_source_of_many_chunks_is_stored_whole(store: Store) -> None:
    source = Pattern(b"0123456789abcde" * 4096, 300)
    store.put_many([(key("large"), source)])
    found = store.stat(key("large"))
    assert found is not None
    assert found.size == source.size
    with store.open(key("large")) as file:
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type] # a BinaryIO reads as it needs
    assert digest.hexdigest() == source.digest


@pytest.mark.parametrize("source", [Bytes(b"lie", sha256(b"truth")), Pattern(b"x" * 65536, 200, lying=True)])
def test_bytes_that_differ_from_their_digest_are_refused_and_leave_nothing(store: Store, source: Source) -> None:
    with pytest.raises(RunChangedError):
        store.put_many([(key("lie"), source)])
    assert store.stat(key("lie")) is None
    assert keys(store, "") == []


def test_a_failing_source_stops_the_call_and_nothing_is_partly_stored(store: Store) -> None:
    good = {key(f"good-{n}"): Bytes(b"good %d" % n) for n in range(40)}

    def items() -> Iterator[tuple[Key, Source]]:
        yield from list(good.items())[:20]
        yield key("gone"), Gone()
        yield from list(good.items())[20:]

    with pytest.raises(RunChangedError):
        store.put_many(items())
    for found in store.list(""):
        assert store.read(found.key) == good[found.key].body
    store.put_many(good.items())  # repeating is harmless
    assert keys(store, "") == sorted(good)


def test_an_error_of_the_caller_comes_through_as_it_is(store: Store) -> None:
    def items() -> Iterator[tuple[Key, Source]]:
        yield key("one"), Bytes(b"one")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put_many(items())


def test_storing_nothing_is_fine(store: Store) -> None:
    store.put_many([])
    assert keys(store, "") == []


def test_storing_the_same_again_is_harmless(store: Store) -> None:
    for _ in range(2):
        store.put_many([(key("same"), Bytes(b"same"))])
    assert store.read(key("same")) == b"same"


def test_an_empty_source_is_stored(store: Store) -> None:
    store.put_many([(key("nothing"), Bytes(b""))])
    assert store.read(key("nothing")) == b""


def test_staged_bytes_get_a_name_only_when_they_are_stored(store: Store) -> None:
    stage = store.stage()
    if stage is None:
        assert not store.capabilities.links  # a directory always has a stage
        return
    incoming = stage.receive()
    incoming.write(b"bytes ")
    incoming.write(memoryview(b"on the way"))
    source = incoming.keep(sha256(b"bytes on the way"))
    dropped = stage.receive()
    dropped.write(b"unwanted")
    dropped.drop()
    dropped.drop()
    assert keys(store, "") == []
    assert list(store.list_folders("")) == []
    with source.open() as file:
        assert file.read() == b"bytes on the way"
    for target in ("staged", "staged", "twin"):  # twice under one key, and under another one
        store.put_many([(key(target), source)])
    stage.close()
    stage.close()
    assert keys(store, "") == [key("staged"), key("twin")]
    assert {store.read(key("staged")), store.read(key("twin"))} == {b"bytes on the way"}


def test_closing_a_stage_discards_what_was_not_taken(store: Store) -> None:
    stage = store.stage()
    if stage is None:
        assert not store.capabilities.links  # a directory always has a stage
        return
    incoming = stage.receive()
    incoming.write(b"late")
    source = incoming.keep(sha256(b"late"))
    stage.close()
    with pytest.raises(RunChangedError):
        store.put_many([(key("late"), source)])
    assert keys(store, "") == []


# ---------------------------------------------------------------- overwriting


@pytest.mark.parametrize("write", ["put", "replace"])
def test_overwriting_shows_the_new_bytes_at_once(store: Store, write: str) -> None:
    for body in (b"a long first version", b"second", b""):
        getattr(store, write)(key("projection"), body)
        assert store.read(key("projection")) == body
        found = store.stat(key("projection"))
        assert found is not None
        assert found.size == len(body)


def test_a_long_projection_is_written_in_pieces_over_what_was_there(store: Store) -> None:
    store.replace(key("long"), b"short")
    store.replace(key("long"), Pieces(lambda: (bytes([number]) * (256 << 10) for number in range(40))))
    found = store.read(key("long"))
    assert found == b"".join(bytes([number]) * (256 << 10) for number in range(40))


def test_a_copy_has_the_bytes_and_replaces_what_was_there(store: Store) -> None:
    store.create(key("one"), b"one")
    store.create(key("two"), b"two")
    store.copy(key("one"), key("deep/er/copy"))
    store.copy(key("one"), key("deep/er/copy"))
    assert store.read(key("deep/er/copy")) == b"one"
    store.copy(key("two"), key("deep/er/copy"))
    assert store.read(key("deep/er/copy")) == b"two"
    assert store.read(key("one")) == b"one"


def test_overwriting_a_copy_does_not_touch_its_source(store: Store) -> None:
    store.create(key("source"), b"source")
    store.copy(key("source"), key("copy"))
    store.replace(key("copy"), b"changed")
    assert store.read(key("source")) == b"source"
    assert store.read(key("copy")) == b"changed"


def test_copying_what_is_not_there_says_so_and_makes_nothing(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.copy(key("missing"), key("deep/target"))
    assert keys(store, "") == []


def test_readers_never_see_a_part(store: Store) -> None:
    bodies = [bytes([letter]) * 300_000 for letter in b"abcdefgh"]
    store.replace(key("changing"), bodies[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def look() -> None:
        while not done.is_set():
            seen.add(store.read(key("changing")))

    reader = threading.Thread(target=look)
    reader.start()
    for body in bodies * 3:
        store.replace(key("changing"), body)
    done.set()
    reader.join()
    assert seen <= set(bodies)


def test_whoever_sees_a_new_key_sees_all_of_it(store: Store) -> None:
    body = b"z" * 300_000
    done = threading.Event()
    seen: set[bytes | None] = set()

    def look() -> None:
        while not done.is_set():
            for number in range(8):
                try:
                    seen.add(store.read(key(f"appearing-{number}")))
                except NotFoundError:
                    seen.add(None)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(8):
        store.create(key(f"appearing-{number}"), body)
    done.set()
    reader.join()
    assert seen <= {None, body}


# ---------------------------------------------------------------- reading


def test_ranges_are_those_of_a_slice(store: Store) -> None:
    body = bytes(range(256)) * 40
    store.create(key("ranges"), body)
    for offset, length in [(0, None), (0, 0), (0, 10), (5, 10), (10_000, None), (10_000, 10_000), (20_000, 5)]:
        expected = body[offset:] if length is None else body[offset : offset + length]
        assert store.read(key("ranges"), offset, length) == expected
    with store.open(key("ranges")) as file:
        assert file.read() == body


def test_an_open_file_seeks(store: Store) -> None:
    body = bytes(range(256)) * 40
    store.create(key("seek"), body)
    with store.open(key("seek")) as file, store.open(key("seek")) as other:
        assert file.read(3) == body[:3]
        assert other.read(1) == body[:1]
        file.seek(-10, io.SEEK_END)
        assert file.read() == body[-10:]
        file.seek(5)
        assert file.tell() == 5
        file.seek(5, io.SEEK_CUR)
        assert file.read(4) == body[10:14]
        assert file.seekable()
        assert file.readable()


@pytest.mark.parametrize("missing", ["missing", "mis/sing", "there/below", "folder"])
def test_what_is_missing_is_none_to_stat_and_not_found_to_readers(store: Store, missing: str) -> None:
    store.create(key("there"), b"a file, not a folder")
    store.create(key("folder/inside"), b"a folder, not a file")
    assert store.stat(key(missing)) is None
    for act in (store.read, store.open):
        with pytest.raises(NotFoundError):
            act(key(missing))
    with pytest.raises(NotFoundError):
        store.read(key(missing), 1, 1)


def test_two_writes_one_after_the_other_are_not_older_than_each_other(store: Store) -> None:
    store.create(key("earlier"), b"1")
    store.create(key("later"), b"2")
    earlier, later = store.stat(key("earlier")), store.stat(key("later"))
    assert earlier is not None
    assert later is not None
    assert earlier.modified <= later.modified
    assert [found.modified for found in store.list("")] == [earlier.modified, later.modified]


# ---------------------------------------------------------------- listing


def test_keys_are_listed_in_the_order_of_their_utf8_bytes(store: Store) -> None:
    names = ["a.b", "a/b", "a/b.c", "a/b0", "a0", "a!", "A", "b", "\u00e9", "\uffee", "\U0001f9ea", "a b/c", "a-b/c"]
    for name in names:
        store.create(key(name), name.encode())
    expected = sorted((key(name) for name in names), key=lambda one: one.encode())
    assert keys(store, "") == expected
    assert keys(store, key("")) == expected


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store: Store) -> None:
    for name in ("a/1", "ab/2", "a.b", "b/a/3"):
        store.create(key(name), b"x")
    assert keys(store, key("a/")) == [key("a/1")]
    assert keys(store, key("b/")) == [key("b/a/3")]
    assert keys(store, key("nothing/here/")) == []
    with pytest.raises(UsageError):
        list(store.list(key("a")))


def test_a_limit_stops_early(store: Store) -> None:
    for number in range(6):
        store.create(key(f"{number % 2}/{number}"), b"x")
    everything = keys(store, "")
    for limit in (0, 1, 4, 6, 100):
        assert keys(store, "", limit) == everything[:limit]


def test_more_keys_than_a_page_holds_are_stored_lazily_and_listed_completely(store: Store) -> None:
    expected = sorted(key(f"{number:04d}") for number in range(1100))
    taken = opened = furthest_ahead = 0
    counting = threading.Lock()

    class Counted(Bytes):
        def open(self) -> BinaryIO:
            nonlocal opened, furthest_ahead
            with counting:
                opened += 1
                furthest_ahead = max(furthest_ahead, taken - opened)
            return super().open()

    def items() -> Iterator[tuple[Key, Source]]:
        nonlocal taken
        for target in expected:
            taken += 1
            yield target, Counted(b"x")

    store.put_many(items())
    assert opened == taken == 1100
    assert furthest_ahead < 1000
    assert keys(store, "") == expected
    assert keys(store, "", 1050) == expected[:1050]


def test_folders_are_those_with_a_key_below(store: Store) -> None:
    for name in ("b/1", "b/2", "a/deep/er/3", "ab/4", "file"):
        store.create(key(name), b"x")
    store.create(probe_key("x/gone"), b"x")
    store.discard(probe_key("x/gone"))
    assert list(store.list_folders(key(""))) == ["a", "ab", "b"]
    assert list(store.list_folders(key("a/"))) == ["deep"]
    assert list(store.list_folders(key("nothing/"))) == []
    assert list(store.list_folders("")) == ["experiments"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_kept_as_they_are(store: Store, store_kind: str, name: str) -> None:
    if (store_kind, name) in CHANGED_NAMES:
        return
    created, stored, copied = key(f"{name}/created"), key(f"{name}/{name}"), key(f"copies/{name}")
    if len(copied.encode()) + len(name.encode()) > 900:  # buckets end at 1,024 bytes
        raise AssertionError
    assert store.create(created, b"created") is Creation.CREATED
    store.put_many([(stored, Bytes(name.encode()))])
    store.copy(stored, copied)
    assert keys(store, "") == sorted((created, stored, copied), key=lambda one: one.encode())
    assert store.read(copied) == name.encode()
    assert store.read(stored, 1) == name.encode()[1:]
    assert list(store.list_folders(key(""))) == sorted(["copies", name])
    assert open_remover(store).delete([created, stored, copied]) == {}
    assert keys(store, "") == []


def test_composed_and_decomposed_letters_are_different_keys(store: Store) -> None:
    store.create(key("caf\u00e9"), b"composed")
    assert store.create(key("cafe\u0301"), b"decomposed") is Creation.CREATED
    assert store.read(key("caf\u00e9")) == b"composed"


@pytest.mark.parametrize("bad", ["../outside", "a/../../outside", "/absolute", "a//b", "a/./b", "", "a/", "nul\0"])
def test_a_key_that_leaves_the_root_is_refused(store: Store, bad: str) -> None:
    for act in (
        lambda: store.create(Key(bad), b"x"),
        lambda: store.put(Key(bad), b"x"),
        lambda: store.put_many([(Key(bad), Bytes(b"x"))]),
        lambda: store.read(Key(bad)),
    ):
        with pytest.raises(SealrunError):
            act()
    assert keys(store, "") == []


# ---------------------------------------------------------------- deleting


def test_a_publisher_may_discard_only_what_is_deletable(store: Store) -> None:
    store.create(intent_key(ATTEMPT), b"intent")
    store.discard(intent_key(ATTEMPT))
    store.discard(intent_key(ATTEMPT))
    assert store.stat(intent_key(ATTEMPT)) is None
    target = object_key(Digest("0" * 64), ATTEMPT)
    store.put(target, b"bytes that matter")
    for undeletable in (target, Key("registry.json"), key("file"), Key(f"attempts/{ATTEMPT}/outcome.json")):
        with pytest.raises(UsageError):
            store.discard(undeletable)
    assert store.read(target) == b"bytes that matter"


def test_a_discarded_key_can_be_created_again(store: Store) -> None:
    for body in (b"one", b"two"):
        assert store.create(probe_key("again"), body) is Creation.CREATED
        assert store.read(probe_key("again")) == body
        store.discard(probe_key("again"))
        assert store.stat(probe_key("again")) is None
        assert keys(store, "") == []


def test_a_remover_deletes_and_counts_absent_keys_as_gone(store: Store) -> None:
    for name in ("a", "b/c", "b/d"):
        store.create(key(name), b"x")
    remover = open_remover(store)
    assert remover.delete([key("a"), key("b/c"), key("never/was")]) == {}
    assert remover.delete([key("a")]) == {}
    assert remover.delete([]) == {}
    assert keys(store, "") == [key("b/d")]
    assert store.create(key("b/c"), b"again") is Creation.CREATED


def test_what_cannot_be_deleted_is_named_with_its_reason_and_the_rest_goes(store: Store) -> None:
    store.create(key("goes"), b"x")
    refused = Key("../outside")
    try:
        failures = open_remover(store).delete([refused, key("goes")])
    except UsageError:  # a key that cannot exist may also be refused before anything is deleted
        assert store.stat(key("goes")) is not None
        return
    assert set(failures) <= {refused}
    assert store.stat(key("goes")) is None


# ---------------------------------------------------------------- the rest


def test_its_address_shows_no_secret_and_closing_twice_is_harmless(store: Store) -> None:
    assert "://" in store.url
    assert "@" not in store.url
    assert store.capabilities.parallel > 0
    store.close()
    store.close()
