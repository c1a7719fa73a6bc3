"""Names of artifacts by their content."""

from __future__ import annotations

from typing import NamedTuple

from sealrun.domain.address import Digest, is_name, parse_digest
from sealrun.domain.errors import UsageError


class Urn(NamedTuple):
    """Name of an artifact by its content: ``urn:sealrun:<type>:sha256:<tree digest>``."""

    type: str
    digest: Digest

    def __str__(self) -> str:
        """Return the written form."""
        return f"urn:sealrun:{self.type}:sha256:{self.digest}"


def parse_urn(text: str) -> Urn:
    """Read a URN, or raise `UsageError`."""
    parts = text.split(":")
    match parts:
        case ["urn", "sealrun", kind, "sha256", digest] if is_name(kind):
            return Urn(kind, parse_digest(digest))
    msg = f"not an artifact URN (urn:sealrun:TYPE:sha256:HEX): {text!r}"
    raise UsageError(msg)
