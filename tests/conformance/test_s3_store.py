"""What only an S3 store has to promise, against real servers."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO, Self

import pytest
from tests.builders.sources import Bytes, Pattern
from tests.servers import seaweedfs
from tests.servers.endpoint import Endpoint
from tests.servers.process import free_ports
from tests.servers.proxy import losing_answers
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.stores.s3 import S3Remover, S3Store
from sealrun.adapters.stores.s3_multipart import Limits
from sealrun.domain.address import Key
from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    OutcomeUnknownError,
    RunChangedError,
    UnavailableError,
    UsageError,
)
from sealrun.ports import Creation

MIB = 1 << 20
KEY = Key("probe/key")
SMALL = Limits(
    single=6 * MIB, part=5 * MIB, parts=3, parts_at_once=2, in_flight=12 * MIB, copy=5 * MIB, copy_part=5 * MIB
)


@pytest.fixture
def bucket(seaweedfs_server: SeaweedFS) -> str:
    return seaweedfs_server.create_bucket()


@pytest.fixture
def store(seaweedfs_server: SeaweedFS, bucket: str) -> Iterator[S3Store]:
    with closing(S3Store(f"s3://{bucket}/registry", seaweedfs_server.storage_options, limits=SMALL)) as opened:
        yield opened


def uploads_left(endpoint: Endpoint, bucket: str) -> list[Any]:
    with endpoint.client() as client:
        return list(client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()))


def digest_of(store: S3Store, key: Key) -> str:
    with store.open(key) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # a BinaryIO reads as it needs


class Breaking(Pattern):
    """A source that cannot be read to its end."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(b"0123456789abcdef" * 4096, 16 * 14)
        self._error = error

    def open(self) -> BinaryIO:
        file = super().open()
        error = self._error

        class Half:
            read_so_far = 0

            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, size: int) -> bytes:
                self.read_so_far += size
                if self.read_so_far > 11 * MIB:
                    raise error
                return file.read(size)

        return Half()  # type: ignore[return-value] # as much of a file as a store uses


# ---------------------------------------------------------------- large objects


def test_a_large_source_with_the_usual_sizes_reads_back_as_it_was(seaweedfs_server: SeaweedFS, bucket: str) -> None:
    source = Pattern(hashlib.sha256(b"seed").digest() * 32768, 40)
    with closing(S3Store(f"s3://{bucket}", seaweedfs_server.storage_options)) as store:
        store.put_many([(KEY, source)])
        assert digest_of(store, KEY) == source.digest
        assert store.read(KEY, 16 * MIB - 2, 4) == (b"".join([hashlib.sha256(b"seed").digest()] * 2))[30:34]
    assert uploads_left(seaweedfs_server.admin, bucket) == []


@pytest.mark.parametrize("server", ["seaweedfs", "moto"])
def test_parts_grow_until_few_enough_suffice(server: str, seaweedfs_server: SeaweedFS, moto_server: Endpoint) -> None:
    endpoint = seaweedfs_server.admin if server == "seaweedfs" else moto_server
    source = Pattern(b"0123456789abcdef" * 4096, 16 * 17)  # 17 MiB: three parts of six, since there may be only three
    with closing(S3Store(f"s3://{endpoint.create_bucket()}", endpoint.storage_options, limits=SMALL)) as store:
        store.put_many([(KEY, source), (Key("probe/small"), Bytes(b"small"))])
        assert digest_of(store, KEY) == source.digest
        assert store.read(Key("probe/small")) == b"small"


@pytest.mark.parametrize("server", ["seaweedfs", "moto"])
def test_a_large_copy_goes_in_parts_and_has_the_same_bytes(
    server: str, seaweedfs_server: SeaweedFS, moto_server: Endpoint
) -> None:
    endpoint = seaweedfs_server.admin if server == "seaweedfs" else moto_server
    source = Pattern(b"fedcba9876543210" * 4096, 16 * 14)
    bucket = endpoint.create_bucket()
    with closing(S3Store(f"s3://{bucket}", endpoint.storage_options, limits=SMALL)) as store:
        store.put_many([(KEY, source)])
        store.copy(KEY, Key("latest/a b+%?#é"))
        assert digest_of(store, Key("latest/a b+%?#é")) == source.digest
    assert uploads_left(endpoint, bucket) == []


@pytest.mark.parametrize("error", [RunChangedError("gone midway"), OSError("disk"), KeyboardInterrupt()])
def test_an_upload_that_breaks_midway_leaves_no_object_and_no_parts(
    seaweedfs_server: SeaweedFS, bucket: str, store: S3Store, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        store.put_many([(KEY, Breaking(error))])
    assert store.stat(KEY) is None
    assert uploads_left(seaweedfs_server.admin, bucket) == []


def test_an_upload_whose_bytes_lie_leaves_no_object_and_no_parts(
    seaweedfs_server: SeaweedFS, bucket: str, store: S3Store
) -> None:
    with pytest.raises(RunChangedError):
        store.put_many([(KEY, Pattern(b"x" * 65536, 16 * 14, lying=True))])
    assert store.stat(KEY) is None
    assert uploads_left(seaweedfs_server.admin, bucket) == []


def test_another_items_failure_ends_a_large_upload_too(
    seaweedfs_server: SeaweedFS, bucket: str, store: S3Store
) -> None:
    def items() -> Iterator[tuple[Key, Pattern]]:
        yield KEY, Pattern(b"x" * 65536, 16 * 14)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put_many(items())
    assert uploads_left(seaweedfs_server.admin, bucket) == []


def test_a_handle_does_not_mix_two_versions_of_an_object(store: S3Store) -> None:
    store.replace(KEY, b"a" * 3 * MIB)
    with store.open(KEY) as file:
        assert file.read(10) == b"a" * 10
        store.replace(KEY, b"b" * 3 * MIB)
        with pytest.raises(UnavailableError, match="replaced"):
            file.read()


# ---------------------------------------------------------------- many keys


def test_deletion_goes_in_batches_and_survives_odd_names(store: S3Store) -> None:
    keys = [Key(f"a/{number:04d}") for number in range(1100)]
    keys += [Key(f"a/{name}") for name in ("a b+%?#&<>\"'é", "new\nline", "tab\tand\rreturn", "bell\x07")]
    store.put_many((key, Bytes(b"x")) for key in keys)
    assert len(list(store.list("a/"))) == len(keys)
    assert S3Remover(store).delete([*keys, Key("a/never was")]) == {}
    assert list(store.list("")) == []


# ---------------------------------------------------------------- things that go wrong


def test_a_reader_may_read_and_list_but_not_write(seaweedfs_server: SeaweedFS, bucket: str, store: S3Store) -> None:
    store.create(KEY, b"body")
    options = seaweedfs_server.reader.storage_options
    with closing(S3Store(f"s3://{bucket}/registry", options)) as reader:
        assert reader.read(KEY) == b"body"
        assert [found.key for found in reader.list("")] == [KEY]
        for key in (KEY, Key("probe/new")):
            with pytest.raises(AccessDeniedError):
                reader.create(key, b"x")
        with pytest.raises(AccessDeniedError):
            reader.put_many([(Key("probe/new"), Bytes(b"x"))])
        assert set(S3Remover(reader).delete([KEY])) == {KEY}
    assert store.read(KEY) == b"body"


def test_a_wrong_secret_is_denied_and_never_shown(seaweedfs_server: SeaweedFS, bucket: str) -> None:
    options = {**seaweedfs_server.storage_options, "secret": "wrong-secret-value"}
    with closing(S3Store(f"s3://{bucket}", options)) as store:
        for act in (lambda: store.read(KEY), lambda: store.create(KEY, b"x"), lambda: store.stat(KEY)):
            with pytest.raises(AccessDeniedError) as denied:
                act()
            assert "wrong-secret-value" not in str(denied.value)
            assert f"s3://{bucket}" in str(denied.value)
            assert str(KEY) in str(denied.value)


def test_a_missing_bucket_is_named_with_advice(seaweedfs_server: SeaweedFS) -> None:
    with closing(S3Store("s3://no-such-bucket/p", seaweedfs_server.reader.storage_options)) as store:
        for act in (lambda: store.read(KEY), lambda: list(store.list("")), lambda: list(store.list_folders(""))):
            with pytest.raises(ConfigurationError, match="no such bucket"):
                act()


def test_nobody_at_the_endpoint_is_unavailable_for_reads_and_writes_alike() -> None:
    (port,) = free_ports(1)
    options = Endpoint(f"http://127.0.0.1:{port}", "key", "hidden").storage_options
    with closing(S3Store("s3://bucket/p", options)) as store:
        for act in (lambda: store.create(KEY, b"x"), lambda: store.put(KEY, b"x")):
            with pytest.raises(UnavailableError, match="cannot be reached") as unreached:
                act()
            assert "hidden" not in str(unreached.value)
            assert f"127.0.0.1:{port}" in str(unreached.value)


def test_a_server_that_stops_leaves_the_outcome_of_a_creation_open() -> None:
    with seaweedfs.running() as server:
        bucket = server.create_bucket()
        with closing(S3Store(f"s3://{bucket}", server.storage_options)) as store:
            assert store.create(KEY, b"before") is Creation.CREATED
            server.stop()
            with pytest.raises(OutcomeUnknownError):
                store.create(Key("probe/during"), b"during")
            with pytest.raises(UnavailableError):
                store.stat(KEY)
            with pytest.raises(UnavailableError):
                store.put_many([(Key("probe/bulk"), Bytes(b"x")), (Key("probe/bulk2"), Bytes(b"x"))])
            server.start()
            assert store.create(KEY, b"after") is Creation.EXISTS
            assert store.read(KEY) == b"before"
            assert store.stat(Key("probe/during")) is None


@pytest.mark.parametrize("warm", [True, False])
def test_a_lost_answer_leaves_the_outcome_open_or_shows_our_own_bytes(
    warm: bool,  # noqa: FBT001 - a parameter of the test
    seaweedfs_server: SeaweedFS,
    bucket: str,
) -> None:
    with losing_answers(
        seaweedfs_server.endpoint_url, lambda sent: b"/probe/key" in sent and sent[:4] == b"PUT "
    ) as way:
        options = {**seaweedfs_server.storage_options, "endpoint_url": way.url}
        with closing(S3Store(f"s3://{bucket}", options)) as store:
            if warm:
                assert store.create(Key("probe/other"), b"other") is Creation.CREATED
            way.lose(1)
            try:
                answer = store.create(KEY, b"nonce 1")
            except OutcomeUnknownError:
                answer = store.create(KEY, b"nonce 1")
            assert way.lost == 1
            assert answer is Creation.EXISTS
            assert store.read(KEY) == b"nonce 1"


def test_answers_that_are_lost_for_good_stop_a_creation_with_its_outcome_open(
    seaweedfs_server: SeaweedFS, bucket: str
) -> None:
    with losing_answers(seaweedfs_server.endpoint_url, lambda sent: sent[:4] == b"PUT ") as way:
        options = {**seaweedfs_server.storage_options, "endpoint_url": way.url}
        with closing(S3Store(f"s3://{bucket}", options)) as store:
            way.lose(100)
            with pytest.raises(OutcomeUnknownError, match="repeated"):
                store.create(KEY, b"nonce 1")
            assert way.lost <= 2  # aiohttp's own second try at most: nobody below the port retries more


def test_bulk_uploads_ride_out_a_lost_answer(seaweedfs_server: SeaweedFS, bucket: str) -> None:
    with losing_answers(seaweedfs_server.endpoint_url, lambda sent: sent[:4] == b"PUT ") as way:
        options = {**seaweedfs_server.storage_options, "endpoint_url": way.url}
        with closing(S3Store(f"s3://{bucket}", options)) as store:
            way.lose(1)
            store.put_many([(KEY, Bytes(b"body"))])
            assert way.lost == 1
            assert store.read(KEY) == b"body"


def test_a_lost_answer_to_the_end_of_a_large_upload_is_no_failure(seaweedfs_server: SeaweedFS, bucket: str) -> None:
    def completes(sent: bytes) -> bool:
        return sent[:5] == b"POST " and b"uploadId=" in sent.split(b"\r\n")[0]

    with losing_answers(seaweedfs_server.endpoint_url, completes) as way:
        options = {**seaweedfs_server.storage_options, "endpoint_url": way.url}
        source = Pattern(b"x" * 65536, 16 * 14)
        with closing(S3Store(f"s3://{bucket}", options, limits=SMALL)) as store:
            way.lose(1)
            store.put_many([(KEY, source)])
            assert way.lost == 1
            assert digest_of(store, KEY) == source.digest
    assert uploads_left(seaweedfs_server.admin, bucket) == []


# ---------------------------------------------------------------- the rest


def _read_in_child(store: S3Store, answers: Any) -> None:  # noqa: ANN401 - a queue
    answers.put((os.getpid(), store.read(KEY)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on: this process has threads
def test_a_forked_process_makes_connections_of_its_own(store: S3Store) -> None:
    store.create(KEY, b"body")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_read_in_child, args=(store, answers))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answers.get() == (child.pid, b"body")
    assert store.read(KEY) == b"body"


def test_a_store_for_reading_and_one_that_is_closed_refuse(seaweedfs_server: SeaweedFS, bucket: str) -> None:
    store = S3Store(f"s3://{bucket}", seaweedfs_server.storage_options, read_only=True)
    assert list(store.list("")) == []
    for act in (
        lambda: store.create(KEY, b"x"),
        lambda: store.put(KEY, b"x"),
        lambda: store.put_many([]),
        lambda: store.copy(KEY, Key("probe/two")),
        lambda: store.discard(KEY),
        lambda: S3Remover(store).delete([KEY]),
    ):
        with pytest.raises(UsageError, match="reading only"):
            act()
    store.close()
    with pytest.raises(UsageError, match="closed"):
        store.stat(KEY)
