"""Where in S3 a store is: which bucket, below which prefix, and how its keys are spelled there."""

from __future__ import annotations

import re
from typing import NamedTuple

from sealrun.domain.address import Key
from sealrun.domain.errors import ConfigurationError, UsageError

_URL = re.compile(r"s3a?://(.*)\Z", re.IGNORECASE | re.DOTALL)
_ACCESS_POINT = re.compile(
    r"(arn:[^:/]*:s3[a-z-]*:[^:/]*:[^:/]*:(?:outpost[:/][^:/]+[:/])?(?:accesspoint|bucket)[:/][^:/]+)(?:/(.*))?\Z",
    re.DOTALL,
)
_MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_REFUSED = frozenset({"", ".", ".."})


class Place(NamedTuple):
    """A bucket and a prefix in it, which is empty or ends in ``/``."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """Spell it as a URL; it holds no secret."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def name(self, key: Key) -> str:
        """Spell `key` as S3 knows it; `UsageError` if S3 could not keep it under exactly that name."""
        name = self.prefix + key
        if "\0" in key or not _REFUSED.isdisjoint(key.split("/")):
            raise UsageError(f"{self.url}: not a key: {key!r}")
        return self._encodable(name)

    def below(self, prefix: str) -> str:
        """Spell a key prefix as S3 knows it; `UsageError` if it is neither empty nor ends in ``/``."""
        if prefix and not prefix.endswith("/"):
            raise UsageError(f"{self.url}: a prefix ends in '/': {prefix!r}")
        return self._encodable(self.prefix + prefix)

    def _encodable(self, name: str) -> str:
        try:
            size = len(name.encode())
        except UnicodeEncodeError as error:
            raise UsageError(f"{self.url}: a key must be valid UTF-8: {name!r}") from error
        if size > _MAX_KEY_BYTES:
            raise UsageError(
                f"{self.url}: S3 keeps keys of at most {_MAX_KEY_BYTES} bytes, this one has {size}: {name!r}"
            )
        return name


def parse_place(url: str) -> Place:
    """Read ``s3://BUCKET/PREFIX`` (the bucket may be the ARN of an access point), or raise `ConfigurationError`."""
    match = _URL.match(url)
    if match is None:
        raise ConfigurationError("a URL of an S3 store reads s3://BUCKET or s3://BUCKET/PREFIX")
    if access_point := _ACCESS_POINT.match(match[1]):
        bucket, prefix = access_point[1], access_point[2] or ""
    else:
        bucket, _, prefix = match[1].partition("/")
    if "@" in bucket:
        # Not repeated in the message: what stands before the @ is a secret.
        raise ConfigurationError("an S3 URL holds no credentials; put them into storage_options or the environment")
    prefix = prefix.strip("/")
    if not bucket or "?" in prefix or (prefix and not _REFUSED.isdisjoint(prefix.split("/"))):
        raise ConfigurationError(f"{url}: not the URL of an S3 store; it reads s3://BUCKET or s3://BUCKET/PREFIX")
    return Place(bucket, f"{prefix}/" if prefix else "")
