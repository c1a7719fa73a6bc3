"""Users of a SeaweedFS, each with a policy that the server enforces, action by action and key by key."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError
from tests.servers.endpoint import REGION, Endpoint
from tests.servers.process import PATIENCE_S


def add_user(admin: Endpoint, policy: Mapping[str, Any]) -> Endpoint:
    """Make a user who may do what `policy` says, and nothing else; wait until the server knows it."""
    import boto3  # type: ignore[import-untyped] # ships no types  # noqa: PLC0415 - loads slowly

    name = f"user-{uuid4().hex[:12]}"
    iam = boto3.client(
        "iam",
        endpoint_url=admin.endpoint_url,
        aws_access_key_id=admin.access_key,
        aws_secret_access_key=admin.secret_key,
        region_name=REGION,
    )
    try:
        iam.create_user(UserName=name)
        made = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy))
        iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
    finally:
        iam.close()
    user = Endpoint(admin.endpoint_url, key["AccessKeyId"], key["SecretAccessKey"])
    _wait_until_known(user)
    return user


def _wait_until_known(user: Endpoint) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with user.client() as client:
        while True:
            try:
                client.head_bucket(Bucket="nobody-made-this")
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"InvalidAccessKeyId", "401"} or time.monotonic() > deadline:
                    return
            time.sleep(0.05)
