"""Signing an upload with the digest that is known already, so that its bytes are not digested once more.

Signature version 4 covers the SHA-256 of a body; botocore digests each body for it, on the loop that also does all the
sending. Our uploads carry that same digest as their checksum. (Load lazily: imports botocore.)
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import botocore.auth
import botocore.handlers

_NAME = "sealrun-s3v4"
_CHECKSUM = "x-amz-checksum-sha256"
_UPLOADS = ("PutObject", "UploadPart")


class _KnownPayload(botocore.auth.S3SigV4Auth):  # type: ignore[misc] # untyped
    """botocore's signature for S3, which takes the body's digest from the checksum header where there is one."""

    def payload(self, request: Any) -> str:  # noqa: ANN401 - botocore's
        known = request.headers.get(_CHECKSUM)
        if known is None or not self._should_sha256_sign_payload(request):
            return str(super().payload(request))
        return base64.b64decode(known).hex()


def sign_with_known_digests(api: Any) -> None:  # noqa: ANN401 - aiobotocore's
    """Have a client's uploads signed so. Other signatures than version 4, if the user chose one, stay what they are."""
    usual = getattr(botocore.handlers, "set_operation_specific_signer", None)
    if usual is None:  # a later botocore decides elsewhere: it digests once more, and all is well
        return

    def choose(signature_version: object, context: Mapping[str, Any], signing_name: str, **_: object) -> str | None:
        chosen = usual(context=context, signing_name=signing_name) or signature_version
        return _NAME if chosen == "s3v4" else None

    botocore.auth.AUTH_TYPE_MAPS[_NAME] = _KnownPayload
    for operation in _UPLOADS:
        api.meta.events.register_first(f"choose-signer.s3.{operation}", choose)
