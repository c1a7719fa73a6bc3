"""Uploads are signed with the digest they carry; everything else is signed as botocore does it."""

from __future__ import annotations

import hashlib
import io

import botocore
import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from sealrun.adapters.stores.s3_multipart import base64_sha256
from sealrun.adapters.stores.s3_signing import sign_with_known_digests

BODY = b"0123456789" * 100_000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Watched(io.BytesIO):
    """A body that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


def headers_of_a_put(
    body: io.BytesIO, *, config: Config | None = None, known: bool = True, **more: str
) -> dict[str, str]:
    """Headers of a PutObject that would have been sent."""
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106 - of nobody
        config=config,
    )
    if known:
        sign_with_known_digests(client)
    sent: dict[str, str] = {}

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        texts = {name: item.decode() if isinstance(item, bytes) else item for name, item in request.headers.items()}
        sent.update({name.lower(): text for name, text in texts.items()})
        answered = AWSResponse(request.url, 200, {}, None)
        answered._content = b""
        return answered

    client.meta.events.register("before-send.s3.PutObject", answer)
    client.put_object(Bucket="bucket", Key="key", Body=body, **more)
    return sent


@pytest.mark.parametrize("known", [True, False])
def test_an_upload_is_signed_with_the_digest_of_its_body(known: bool) -> None:  # noqa: FBT001 - a parameter
    headers = headers_of_a_put(io.BytesIO(BODY), known=known, ChecksumSHA256=base64_sha256(DIGEST))
    assert headers["x-amz-content-sha256"] == DIGEST
    assert "x-amz-content-sha256" in headers["authorization"]


def test_a_body_whose_digest_is_known_is_not_read_for_the_signature() -> None:
    body = Watched(BODY)
    headers_of_a_put(body, ChecksumSHA256=base64_sha256(DIGEST))
    assert body.reads == 0


def test_a_body_whose_digest_is_not_known_is_digested() -> None:
    plain = Config(request_checksum_calculation="when_required")
    assert headers_of_a_put(io.BytesIO(BODY), config=plain)["x-amz-content-sha256"] == DIGEST


def test_a_payload_that_the_user_leaves_unsigned_stays_unsigned() -> None:
    unsigned = Config(s3={"payload_signing_enabled": False})
    headers = headers_of_a_put(io.BytesIO(BODY), config=unsigned, ChecksumSHA256=base64_sha256(DIGEST))
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


def test_a_request_that_the_user_leaves_unsigned_stays_unsigned() -> None:
    anonymous = Config(signature_version=botocore.UNSIGNED)
    assert "authorization" not in headers_of_a_put(
        io.BytesIO(BODY), config=anonymous, ChecksumSHA256=base64_sha256(DIGEST)
    )
