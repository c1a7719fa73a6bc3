"""What S3, botocore and aiohttp raise, in our words.

Messages give the operation, the S3 error code and what to do. The server's own text is left out, as is the client's:
they may hold an access key, a signature or a request. See the "List of error codes" in the S3 API reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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

_POLICIES = "the credentials do not permit this; see the policy of the user and of the bucket"
_NOT_PERMITTED = {"AccessDenied": "", "Forbidden": "", "403": "if the credentials are right (a HEAD tells no reason): "}
_CREDENTIALS = {
    "InvalidAccessKeyId": "the access key is unknown there; check the credentials and the endpoint",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "ExpiredToken": "the session token has expired; renew the credentials",
    "ExpiredTokenException": "the session token has expired; renew the credentials",
    "InvalidToken": "the session token is not valid; renew the credentials",
    "TokenRefreshRequired": "the session token has to be renewed",
    "RequestTimeTooSkewed": "this machine's clock and the server's are too far apart; set the clock",
    "AuthorizationHeaderMalformed": "the region is wrong; set client_kwargs = { region_name = … }",
    "PermanentRedirect": "the bucket is in another region or at another endpoint; set region_name or endpoint_url",
    "IllegalLocationConstraintException": "the bucket is in another region; set client_kwargs = { region_name = … }",
    "RequestExpired": "this machine's clock is wrong; set it",
}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "InsufficientStorage", "QuotaLimitExceeded"}
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
_BUSY = {
    "SlowDown",
    "RequestTimeout",
    "OperationAborted",
    "Throttling",
    "TooManyRequests",
    "ConditionalRequestConflict",
}
_DENIED = {401, 403}
_REFUSED = 400
_GONE = 404
_BUSY_STATUS = {408, 409, 412, 429}
_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_FULL_STATUS = 507


class Refusal(NamedTuple):
    """An answer that says no: S3's error code and the HTTP status (0 if there is none, as inside a 200)."""

    code: str
    status: int

    def __str__(self) -> str:
        """Show both, once."""
        return self.code if self.code == str(self.status) else f"{self.code}, HTTP {self.status or 200}"


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the answer that `error` stands for, or None if it is something else than an answer."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loads slowly

    if not isinstance(error, ClientError):
        return None
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Refusal(str(told.get("Code") or status), int(status))


def foreign() -> tuple[type[BaseException], ...]:
    """Return the classes that using a client may raise; anything else is a mistake of ours and is not hidden."""
    import asyncio  # noqa: PLC0415 - loads slowly

    import aiohttp  # noqa: PLC0415 - as above
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - as above

    return (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError, asyncio.TimeoutError)


def translate(
    error: BaseException, what: str, endpoint: str, *, write_once: bool, fresh: bool, takes: str = _POLICIES
) -> SealrunError:
    """Return what `error` means for `what`, such as ``s3://bucket/key: cannot be read``.

    For a `write_once` request everything that leaves the outcome open is an `OutcomeUnknownError`. `fresh` says that
    the client had no connection which it might have used before the one that failed. `takes` is the advice for
    somebody whose credentials do not permit the request.
    """
    refusal = refusal_of(error)
    if refusal is not None:
        return _refused(refusal, what, takes, write_once=write_once)
    return _failed(error, what, endpoint, write_once=write_once, fresh=fresh)


def _refused(refusal: Refusal, what: str, takes: str, *, write_once: bool) -> SealrunError:
    said = f"{what} ({refusal})"
    if write_once and _is_unclear(refusal):
        return OutcomeUnknownError(f"{said}: {_REPEAT}")
    if refusal.code in _NOT_PERMITTED:
        return AccessDeniedError(f"{said}: {_NOT_PERMITTED[refusal.code]}{takes}")
    if refusal.code in _CREDENTIALS:
        return AccessDeniedError(f"{said}: {_CREDENTIALS[refusal.code]}")
    for applies, kind, advice in _RULES:
        if applies(refusal):
            return kind(f"{said}: {advice}")
    if write_once and refusal.code in {"InvalidArgument", "InvalidRequest"}:
        return UnsafeStoreError(f"{said}: the server refuses conditional writes; use a store that honours them")
    return AccessDeniedError(f"{said}: the server refuses this request; check the settings of this store")


def _is_unclear(refusal: Refusal) -> bool:
    definite = refusal.code in _FULL or refusal.status in {_FULL_STATUS, _NOT_IMPLEMENTED}
    return not definite and (
        refusal.code in _BUSY or refusal.status in _BUSY_STATUS or not 0 < refusal.status < _SERVER_ERROR
    )


_REPEAT = "it may have happened all the same; the same write has to be repeated"
_RULES: tuple[tuple[Callable[[Refusal], bool], type[SealrunError], str], ...] = (
    (
        lambda refusal: refusal.code == "NoSuchBucket",
        ConfigurationError,
        "there is no such bucket; create it, or correct the URL or the endpoint",
    ),
    (
        lambda refusal: refusal.code in _FULL or refusal.status == _FULL_STATUS,
        NoSpaceError,
        "the store is full or over its quota; make room",
    ),
    (
        lambda refusal: refusal.status in _DENIED,
        AccessDeniedError,
        "access is denied; check the credentials and what they permit",
    ),
    (
        lambda refusal: refusal.code in _DAMAGED,
        UnavailableError,
        "the bytes were damaged on the way and not stored; try again",
    ),
    (
        lambda refusal: refusal.status == _NOT_IMPLEMENTED or refusal.code == "NotImplemented",
        UnsafeStoreError,
        "the server does not know this kind of request; use another store",
    ),
    (_is_unclear, UnavailableError, "the server is busy or unwell; try again later"),
    (lambda refusal: refusal.status == _GONE, NotFoundError, "there is no such key"),
    (
        lambda refusal: refusal.code == str(_REFUSED),  # a HEAD tells no reason
        AccessDeniedError,
        "refused without a reason, as with an expired token or a wrong region; check the credentials",
    ),
)
"""What an answer means; the first rule that applies counts."""


def _failed(error: BaseException, what: str, endpoint: str, *, write_once: bool, fresh: bool) -> SealrunError:
    said = f"{what} ({type(error).__name__})"
    for kinds, ours, advice in _local():
        if isinstance(error, kinds):
            return ours(f"{said}: {advice}")
    unreached = _never_connected(error)
    if write_once and not (unreached and fresh):
        # Even "connection refused": the client may have sent the request over an older connection first, lost that,
        # and been refused only when it sent it again.
        return OutcomeUnknownError(f"{said}: {_REPEAT}")
    if unreached:
        return UnavailableError(f"{said}: {endpoint} cannot be reached; check endpoint_url, the network and the server")
    return UnavailableError(f"{said}: the connection to {endpoint} failed; try again later")


def _local() -> tuple[tuple[tuple[type[BaseException], ...], type[SealrunError], str], ...]:
    """List the errors that arise on this side, before anything is sent or after all has been received."""
    from botocore import exceptions as known  # noqa: PLC0415 - loads slowly

    return (
        (
            (known.NoCredentialsError, known.PartialCredentialsError, known.NoAuthTokenError, known.SSOError),
            AccessDeniedError,
            "there are no usable credentials; set them in storage_options or where the AWS tools look for them",
        ),
        (
            (known.CredentialRetrievalError, known.TokenRetrievalError, known.MetadataRetrievalError),
            UnavailableError,
            "the credentials cannot be fetched now; try again later",
        ),
        (
            (known.ParamValidationError, known.InvalidRegionError, known.UnsupportedS3ArnError),
            ConfigurationError,
            "not acceptable for S3; check the bucket's name and the region",
        ),
        (
            (known.FlexibleChecksumError, known.ChecksumError),
            DigestMismatchError,
            "the bytes do not have the checksum that the server keeps of them",
        ),
    )


def _never_connected(error: BaseException) -> bool:
    """Tell whether the connection that failed was never made, so that nothing was sent over it."""
    import aiohttp  # noqa: PLC0415 - loads slowly
    from botocore import exceptions as known  # noqa: PLC0415 - as above

    if isinstance(error, known.ConnectTimeoutError | known.ProxyConnectionError | known.SSLError):
        return True
    inner = getattr(error, "kwargs", {}).get("error")
    return isinstance(error, known.EndpointConnectionError) and isinstance(inner, aiohttp.ClientConnectorError)


def lost_race(refusal: Refusal | None) -> bool:
    """Tell whether a conditional write was refused because its key exists.

    412 is S3's answer, with or without the element that names the condition. A 409 is not: it says that another
    write of the key was under way, which may yet fail.
    """
    return refusal is not None and (refusal.code == "PreconditionFailed" or refusal.status == 412)  # noqa: PLR2004 - HTTP


def is_missing(refusal: Refusal | None) -> bool:
    """Tell whether the answer was that there is no such key; HEAD cannot say whether there is a bucket."""
    return refusal is not None and refusal.status == _GONE and refusal.code != "NoSuchBucket"


def is_damaged(refusal: Refusal) -> bool:
    """Tell whether the bytes were refused because they do not have the checksum they were sent with."""
    return refusal.code in _DAMAGED or (refusal.status == _REFUSED and "checksum" in refusal.code.lower())
