"""Times in S3's answers."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.session
import pytest
from botocore.utils import parse_timestamp

from sealrun.adapters.stores.s3_times import iso_time, read_times_quickly

_WRITTEN = ["2026-11-21T17:32:58.000Z", "2026-11-21T17:32:58Z", "2026-02-28T00:00:00.123Z"]
_OTHERWISE = ["Sat, 21 Nov 2026 17:32:58 GMT", "2026-11-21T17:32:58+01:00", "1795282378", 1795282378, "20Z"]


@pytest.mark.parametrize("text", _WRITTEN)
def test_a_time_in_a_listing_is_what_botocore_reads(text: str) -> None:
    assert iso_time(text) == parse_timestamp(text)


@pytest.mark.parametrize("text", _OTHERWISE)
def test_whatever_is_written_otherwise_is_left_to_botocore(text: object) -> None:
    assert iso_time(text) is None


def test_a_client_reads_times_of_either_kind() -> None:
    session = botocore.session.get_session()
    read_times_quickly(session)
    shape = session.get_service_model("s3").operation_model("HeadObject").output_shape
    parser = session.get_component("response_parser_factory").create_parser("rest-xml")

    def modified(written: str) -> object:
        answer = {"body": b"", "headers": {"Last-Modified": written}, "status_code": 200}
        return parser.parse(answer, shape)["LastModified"]

    wanted = datetime(2026, 11, 21, 17, 32, 58, tzinfo=UTC)
    assert modified("Sat, 21 Nov 2026 17:32:58 GMT") == modified("2026-11-21T17:32:58Z") == wanted
