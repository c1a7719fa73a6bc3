"""What other collectors stumble over on real S3 servers: leftover uploads, and deletes that are denied."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
import pytest
from tests.builders.runs import a_run
from tests.conformance.factories import bucket_store
from tests.fakes.clock import FakeClock
from tests.fakes.hints import FakeHints
from tests.servers.endpoint import Endpoint
from tests.servers.shared import shared_moto, shared_seaweedfs

from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover, open_store
from sealrun.domain.address import OBJECTS, AttemptId, object_key, retired_key
from sealrun.domain.errors import AccessDeniedError
from sealrun.domain.records import sha256
from sealrun.domain.registry.publication import AttemptTicket, Retired
from sealrun.ports import Store
from sealrun.services.collection.collecting import CollectionPolicy, CollectionReport, Collector
from sealrun.services.publication.publishing import Publisher

_CLOCK, _ENTROPY = SystemClock(), SystemEntropy()
_A_DAY_S = 24 * 3600.0
_AT_ONCE = CollectionPolicy(grace_s=0.0, max_delete_ratio=1.0)


@pytest.fixture(params=["moto", "seaweedfs"])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return shared_moto() if request.param == "moto" else shared_seaweedfs().admin


@pytest.fixture
def store(endpoint: Endpoint) -> Iterator[Store]:
    with bucket_store(endpoint) as opened:
        yield opened
        opened.close()


def _publish(store: Store, files: dict[str, bytes], name: str, finished_at: str) -> AttemptId:
    run, sources = a_run(files, name=name, finished_at=finished_at)
    attempt = AttemptId(f"20260117T150000Z-{_ENTROPY.hex(16)}")
    ticket = AttemptTicket(attempt=attempt, nonce=_ENTROPY.hex(32), created_at="2026-01-17T15:00:00Z", owner="m1")
    Publisher(store, "0" * 32, FakeHints(), _CLOCK, _ENTROPY, "m1").publish(run, ticket, sources)
    return attempt


def _retire(store: Store, attempt: AttemptId) -> None:
    record = Retired(attempt=attempt, retired_at="2026-01-18T00:00:00Z", by="m1", why="test")
    store.create(retired_key(attempt), record.encode())


def _begin_upload(endpoint: Endpoint, store: Store, body: bytes) -> None:
    """Send one part of a multipart upload, and never the end."""
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    key = f"{prefix}/{object_key(sha256(body), AttemptId(f'20260117T150000Z-{uuid4().hex[:16]}'))}"
    with endpoint.client() as client:
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)


def _collect(store: Store, clock: FakeClock) -> CollectionReport:
    policy = CollectionPolicy(grace_s=_A_DAY_S)
    collector = Collector(store, open_remover(store), clock, _ENTROPY, "m1", policy)
    # The clock is ahead of the server's, so that what is there is old.
    return collector.execute(msgspec.structs.replace(collector.plan(write=False), by_store_clock=True))


def _at(started: float, grace_share: float) -> FakeClock:
    """A clock that stands so many grace times after `started`."""
    return FakeClock(datetime.fromtimestamp(started + grace_share * _A_DAY_S, UTC))


def test_a_leftover_upload_is_left_alone_during_the_grace_time_and_aborted_afterwards(
    endpoint: Endpoint, store: Store
) -> None:
    _publish(store, {"a": b"1"}, "only", "2026-01-15T10:00:00Z")
    _begin_upload(endpoint, store, b"left behind")
    (left,) = open_remover(store).unfinished()

    assert _collect(store, _at(left.started, 0.9)).tidied.uploads == 0
    assert list(open_remover(store).unfinished()) == [left]
    report = _collect(store, _at(left.started, 1.1))

    assert (report.tidied.uploads, report.tidied.failures) == (1, ())
    assert not list(open_remover(store).unfinished())
    assert sum(1 for _ in store.list(OBJECTS)) == 1


def test_an_upload_that_is_alive_survives_the_collection_that_aborts_an_old_one() -> None:
    """On SeaweedFS only: moto says of every upload that it began on one day in 2010."""
    server = shared_seaweedfs().admin
    with bucket_store(server) as store:
        _publish(store, {"a": b"1"}, "only", "2026-01-15T10:00:00Z")
        _begin_upload(server, store, b"left behind")
        time.sleep(2.1)  # the server tells times in whole seconds
        _begin_upload(server, store, b"alive")
        old, alive = sorted(open_remover(store).unfinished(), key=lambda upload: upload.started)

        report = _collect(store, _at(old.started, 1.0))

        assert report.tidied.uploads == 1
        assert list(open_remover(store).unfinished()) == [alive]
        store.close()


def test_a_collector_without_the_right_to_delete_takes_nothing_and_one_with_it_finishes_the_batch() -> None:
    server = shared_seaweedfs()
    with bucket_store(server.admin) as store:
        old = _publish(store, {"b": b"old"}, "old", "2026-01-15T10:00:00Z")
        _publish(store, {"c": b"new"}, "new", "2026-01-16T10:00:00Z")
        _retire(store, old)
        powerless = open_store(store.url, server.reader.storage_options)
        collector = Collector(store, open_remover(powerless), _CLOCK, _ENTROPY, "m1", _AT_ONCE)

        try:
            report = collector.execute(collector.plan())
        except AccessDeniedError:
            said = True
        else:
            said = len(report.failures) == 1 and report.objects == 0

        assert said, "nobody said that the deletes were denied"
        assert sum(1 for _ in store.list(OBJECTS)) == 2
        able = Collector(store, open_remover(store), _CLOCK, _ENTROPY, "m2", _AT_ONCE)
        report = able.execute(able.plan())
        assert (report.objects, dict(report.failures)) == (1, {})
        powerless.close()
        store.close()
