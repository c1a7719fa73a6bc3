"""Multipart uploads that nobody completed: invisible, and billed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sealrun.adapters.stores.s3_connection import Connection
from sealrun.adapters.stores.s3_errors import Refusal, is_missing
from sealrun.domain.address import Key
from sealrun.domain.errors import UnavailableError
from sealrun.ports import Unfinished


def unfinished_uploads(connection: Connection) -> Iterator[Unfinished]:
    """Yield every multipart upload below the registry's prefix, all pages; live ones are among them."""
    prefix = connection.place.prefix
    marker: dict[str, Any] = {}
    while True:
        page = connection.call(
            "list_multipart_uploads", "unfinished uploads cannot be listed", Prefix=connection.place.below(""), **marker
        )
        assert not isinstance(page, Refusal)  # noqa: S101 - no refusal is expected
        for upload in page.get("Uploads", ()):
            if upload["Key"].startswith(prefix):
                key = Key(upload["Key"].removeprefix(prefix))
                yield Unfinished(key=key, token=upload["UploadId"], started=upload["Initiated"].timestamp())
        if not page.get("IsTruncated"):
            return
        following = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
        if not following["KeyMarker"] or following == marker:
            msg = f"{connection.place.url}: the server says that there are more uploads, but not where; try again"
            raise UnavailableError(msg)
        marker = {name: value for name, value in following.items() if value}


def abort_upload(connection: Connection, upload: Unfinished) -> None:
    """Abort one upload. Harmless when it is gone."""
    name = connection.place.name(upload.key)
    connection.call(
        "abort_multipart_upload",
        f"{upload.key}: the unfinished upload cannot be aborted",
        expected=is_missing,
        Key=name,
        UploadId=upload.token,
    )
