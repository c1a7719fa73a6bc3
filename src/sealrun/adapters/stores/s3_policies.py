"""The roles of a registry in the words of S3: policies to be attached, and what a refused request would have taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sealrun.adapters.stores.s3_address import Place
from sealrun.domain.curation.roles import WRITE_ONCE, Right, Role, least_role
from sealrun.domain.records import JsonObject

_WRITE = "s3:PutObject"
_ABORT = "s3:AbortMultipartUpload"
_REQUESTS: dict[str, tuple[str, Right]] = {
    "get_object": ("s3:GetObject", Right.READ),
    "head_object": ("s3:GetObject", Right.READ),
    "list_objects_v2": ("s3:ListBucket", Right.LIST),
    "put_object": (_WRITE, Right.WRITE),
    "copy_object": (_WRITE, Right.WRITE),
    "create_multipart_upload": (_WRITE, Right.WRITE),
    "upload_part": (_WRITE, Right.WRITE),
    "upload_part_copy": (_WRITE, Right.WRITE),
    "complete_multipart_upload": (_WRITE, Right.WRITE),
    "abort_multipart_upload": (_ABORT, Right.WRITE),
    "delete_object": ("s3:DeleteObject", Right.DELETE),
    "delete_objects": ("s3:DeleteObject", Right.DELETE),
    "list_multipart_uploads": ("s3:ListBucketMultipartUploads", Right.UNFINISHED),
}
"""What each request takes, as Amazon's "Required permissions for Amazon S3 API operations" has it."""


def advice(place: Place, operation: str, parameters: Mapping[str, Any]) -> str:
    """Say what a request takes, and which role has it. Of several objects that it names the first counts."""
    action, right = _REQUESTS[operation]
    several = parameters.get("Delete", {}).get("Objects", ())
    name = str(several[0]["Key"] if several else parameters.get("Key", place.prefix))
    role = least_role(right, name.removeprefix(place.prefix))
    return (
        f"the credentials do not permit {action} here, which the role {role.name} has; "
        f"see what that takes: sealrun policy --role {role.name} --url {place.url}"
    )


def policy(place: Place, role: Role, *, write_once: bool = False) -> JsonObject:
    """Return the policy, of the kind that is attached to an identity, for `role` in the registry at `place`.

    With `write_once` it also forbids to write records that are never written again unless the request says so; that
    takes a server which knows the condition ``s3:if-none-match``: another one refuses every such write.
    """
    bucket, objects = _resources(place)
    statements = [
        _allow("Read", ["s3:GetObject"], [f"{objects}*"]),
        *_listing(place, bucket),
    ]
    if role.writes:
        statements.append(_allow("Write", [_WRITE, _ABORT], [f"{objects}{key}" for key in role.writes]))
    if role.deletes:
        statements.append(_allow("Delete", ["s3:DeleteObject"], [f"{objects}{key}" for key in role.deletes]))
    if role.unfinished:
        statements.append(_allow("ListUnfinished", ["s3:ListBucketMultipartUploads"], [bucket]))
    if write_once and role.writes:
        statements.append(
            {
                "Sid": "WriteOnce",
                "Effect": "Deny",
                "Action": [_WRITE],
                "Resource": [f"{objects}{key}" for key in WRITE_ONCE],
                "Condition": {"Null": {"s3:if-none-match": "true"}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: list[str], resources: list[str], condition: Any = None) -> JsonObject:  # noqa: ANN401 - IAM's
    statement: JsonObject = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return statement if condition is None else {**statement, "Condition": condition}


def _listing(place: Place, bucket: str) -> list[JsonObject]:
    """Allow to list what is below the prefix, and to be told that a key is not there.

    S3 says so only to who may list, and takes a request for one key for a listing without a prefix.
    """
    if not place.prefix:
        return [_allow("List", ["s3:ListBucket"], [bucket])]
    below = {"StringLike": {"s3:prefix": [f"{place.prefix}*"]}}
    absent = {"Null": {"s3:prefix": "true"}}
    return [
        _allow("List", ["s3:ListBucket"], [bucket], below),
        _allow("LearnThatNothingIsThere", ["s3:ListBucket"], [bucket], absent),
    ]


def _resources(place: Place) -> tuple[str, str]:
    """ARN of the bucket, and what the ARN of every object of the registry begins with."""
    if place.bucket.startswith("arn:"):  # of an access point
        return place.bucket, f"{place.bucket}/object/{place.prefix}"
    return f"arn:aws:s3:::{place.bucket}", f"arn:aws:s3:::{place.bucket}/{place.prefix}"
