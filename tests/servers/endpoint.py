"""What a client has to know of an S3 server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"


@dataclass(frozen=True)
class Endpoint:
    """An address and one identity there."""

    endpoint_url: str
    access_key: str
    secret_key: str

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for s3fs, and so for a store."""
        return {
            "key": self.access_key,
            "secret": self.secret_key,
            "endpoint_url": self.endpoint_url,
            "client_kwargs": {"region_name": REGION},
        }

    def create_bucket(self, name: str | None = None) -> str:
        """Create a bucket, with a fresh name if none is given, and return its name."""
        name = name or f"bucket-{uuid4().hex}"
        with self.client() as client:
            client.create_bucket(Bucket=name)
            # SeaweedFS makes volumes at a bucket's first write; many first writes at once wait seconds for each other.
            client.put_object(Bucket=name, Key="first", Body=b"")
            client.delete_object(Bucket=name, Key="first")
        return name

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Give a boto client: a second opinion on what a store has done."""
        import boto3  # type: ignore[import-untyped] # ships no types  # noqa: PLC0415 - loads slowly

        client = boto3.client("s3", **_boto(self))
        try:
            yield client
        finally:
            client.close()


def _boto(endpoint: Endpoint) -> Mapping[str, str]:
    return {
        "endpoint_url": endpoint.endpoint_url,
        "aws_access_key_id": endpoint.access_key,
        "aws_secret_access_key": endpoint.secret_key,
        "region_name": REGION,
    }
