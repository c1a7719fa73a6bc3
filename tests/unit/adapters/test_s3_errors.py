"""What each answer and each failure of a connection means."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as known

from sealrun.adapters.stores.s3_errors import lost_race, refusal_of, translate
from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    DigestMismatchError,
    NoSpaceError,
    NotFoundError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
    UnsafeStoreError,
)

ENDPOINT = "http://127.0.0.1:9"


def answered(status: int, code: str) -> known.ClientError:
    response = {
        "Error": {"Code": code, "Message": "AKIDSECRET"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return known.ClientError(response, "PutObject")


def meaning(error: BaseException, *, write_once: bool, fresh: bool = True) -> SealrunError:
    return translate(error, "s3://b/p: k cannot be written", ENDPOINT, write_once=write_once, fresh=fresh)


def unreached() -> known.EndpointConnectionError:
    key = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)  # noqa: FBT003 - aiohttp's own
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    return known.EndpointConnectionError(endpoint_url=ENDPOINT, error=refused)


@pytest.mark.parametrize(
    ("status", "code", "plain", "write_once"),
    [
        (404, "NoSuchKey", NotFoundError, NotFoundError),
        (404, "NoSuchBucket", ConfigurationError, ConfigurationError),
        (403, "AccessDenied", AccessDeniedError, AccessDeniedError),
        (403, "InvalidAccessKeyId", AccessDeniedError, AccessDeniedError),
        (403, "SignatureDoesNotMatch", AccessDeniedError, AccessDeniedError),
        (403, "SomethingNew", AccessDeniedError, AccessDeniedError),
        (403, "403", AccessDeniedError, AccessDeniedError),
        (403, "QuotaExceeded", NoSpaceError, NoSpaceError),
        (400, "ExpiredToken", AccessDeniedError, AccessDeniedError),
        (400, "400", AccessDeniedError, AccessDeniedError),
        (400, "BadDigest", UnavailableError, UnavailableError),
        (400, "InvalidArgument", AccessDeniedError, UnsafeStoreError),
        (301, "PermanentRedirect", AccessDeniedError, AccessDeniedError),
        (409, "ConditionalRequestConflict", UnavailableError, OutcomeUnknownError),
        (409, "OperationAborted", UnavailableError, OutcomeUnknownError),
        (429, "TooManyRequests", UnavailableError, OutcomeUnknownError),
        (400, "RequestTimeout", UnavailableError, OutcomeUnknownError),
        (500, "InternalError", UnavailableError, OutcomeUnknownError),
        (503, "SlowDown", UnavailableError, OutcomeUnknownError),
        (507, "InsufficientStorage", NoSpaceError, NoSpaceError),
        (507, "507", NoSpaceError, NoSpaceError),
        (501, "NotImplemented", UnsafeStoreError, UnsafeStoreError),
    ],
)
def test_every_answer_has_one_meaning(
    status: int, code: str, plain: type[SealrunError], write_once: type[SealrunError]
) -> None:
    for expected, conditional in ((plain, False), (write_once, True)):
        error = meaning(answered(status, code), write_once=conditional)
        assert type(error) is expected
        assert code in str(error)
        assert str(error).startswith("s3://b/p: k cannot be written")
        assert "AKIDSECRET" not in str(error)


@pytest.mark.parametrize(
    ("error", "plain", "write_once"),
    [
        (unreached(), UnavailableError, UnavailableError),
        (known.ConnectTimeoutError(endpoint_url=ENDPOINT), UnavailableError, UnavailableError),
        (known.ReadTimeoutError(endpoint_url=ENDPOINT), UnavailableError, OutcomeUnknownError),
        (known.ConnectionClosedError(endpoint_url=ENDPOINT), UnavailableError, OutcomeUnknownError),
        (
            known.EndpointConnectionError(endpoint_url=ENDPOINT, error=aiohttp.ClientOSError(104, "reset")),
            UnavailableError,
            OutcomeUnknownError,
        ),
        (known.HTTPClientError(error=ValueError()), UnavailableError, OutcomeUnknownError),
        (aiohttp.ClientPayloadError(), UnavailableError, OutcomeUnknownError),
        (TimeoutError(), UnavailableError, OutcomeUnknownError),
        (ConnectionResetError(), UnavailableError, OutcomeUnknownError),
        (known.NoCredentialsError(), AccessDeniedError, AccessDeniedError),
        (known.ParamValidationError(report="Bucket"), ConfigurationError, ConfigurationError),
        (known.CredentialRetrievalError(provider="p", error_msg="e"), UnavailableError, UnavailableError),
        (known.FlexibleChecksumError(error_msg="e"), DigestMismatchError, DigestMismatchError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.__name__,
)
def test_every_failure_has_one_meaning(
    error: BaseException, plain: type[SealrunError], write_once: type[SealrunError]
) -> None:
    assert type(meaning(error, write_once=False)) is plain
    assert type(meaning(error, write_once=True)) is write_once


def test_a_refused_connection_says_nothing_of_what_went_over_an_earlier_one() -> None:
    assert type(meaning(unreached(), write_once=True, fresh=False)) is OutcomeUnknownError


def test_only_a_failed_precondition_is_a_lost_race() -> None:
    lost = {(412, "PreconditionFailed"), (412, "412")}
    not_lost = {
        (403, "AccessDenied"),
        (409, "ConditionalRequestConflict"),
        (404, "NoSuchBucket"),
        (500, "InternalError"),
    }
    assert {(error, code) for error, code in lost | not_lost if lost_race(refusal_of(answered(error, code)))} == lost
