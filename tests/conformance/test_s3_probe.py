"""The opening probe against real servers: it passes those that keep their promises and refuses the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.fakes.clock import FakeEntropy
from tests.servers import rclone
from tests.servers.endpoint import Endpoint
from tests.servers.seaweedfs import SeaweedFS

from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.stores.s3 import S3Store
from sealrun.domain.address import Key
from sealrun.services.storage.probing import ProbeReport, probe


def probed(endpoint: Endpoint) -> ProbeReport:
    with closing(S3Store(f"s3://{endpoint.create_bucket()}/registry", endpoint.storage_options)) as store:
        report = probe(store, clock=SystemClock(), entropy=FakeEntropy())
        if report.safe:
            assert list(store.list("")) == []
        return report


@pytest.fixture
def rclone_server() -> Iterator[Endpoint]:
    with rclone.serving_s3() as endpoint:
        yield endpoint


def test_a_server_that_honours_conditions_and_checksums_is_safe(seaweedfs_server: SeaweedFS) -> None:
    report = probed(seaweedfs_server.admin)
    assert report.problems == ()
    assert report.safe


def test_a_server_that_does_not_verify_checksums_is_safe_since_bytes_are_checked_before(moto_server: Endpoint) -> None:
    report = probed(moto_server)
    assert report.problems == ()
    assert report.safe


def test_a_server_that_accepts_conditions_and_overwrites_is_refused_with_the_reason(rclone_server: Endpoint) -> None:
    report = probed(rclone_server)
    assert not report.safe
    assert any("overw" in problem or "winner" in problem or "won" in problem for problem in report.problems), report


@pytest.mark.parametrize("verifies", [True, False])
def test_it_can_be_tried_whether_a_server_verifies_checksums(
    verifies: bool,  # noqa: FBT001 - a parameter of the test
    seaweedfs_server: SeaweedFS,
    moto_server: Endpoint,
) -> None:
    endpoint = seaweedfs_server.admin if verifies else moto_server
    with closing(S3Store(f"s3://{endpoint.create_bucket()}", endpoint.storage_options)) as store:
        key = Key("probe/checksum")
        assert store.refuses_wrong_checksum(key) is verifies
        assert (store.stat(key) is None) is verifies
