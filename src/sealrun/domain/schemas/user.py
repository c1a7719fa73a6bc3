"""Schemas of users: versions that are never changed in place.

A version is a record under a key of its own, created write-once. What was validated against it yesterday can be
validated against the same bytes in ten years; a better schema is another version beside it.
"""

from __future__ import annotations

from typing import ClassVar

from sealrun.domain.address import Digest, Key, parse_name
from sealrun.domain.errors import IntegrityError
from sealrun.domain.records import JsonObject, Record, canonical_json, sha256

SCHEMAS = "catalog/schemas/"


class UserSchema(Record, frozen=True, kw_only=True):
    """One version of a schema. `schema_sha256` is of its canonical JSON; `nonce` tells who created the record."""

    KIND: ClassVar[str] = "schema"
    name: str
    version: str
    schema: JsonObject | bool
    schema_sha256: Digest
    added_at: str
    by: str
    nonce: str
    why: str | None = None

    @property
    def id(self) -> str:
        """``NAME/VERSION``."""
        return f"{self.name}/{self.version}"

    def checked(self, where: str) -> UserSchema:
        """Refuse a schema whose bytes are not those that were added."""
        if sha256(canonical_json(self.schema)) != self.schema_sha256:
            msg = f"{where}: the schema is not the one that was added: its sha256 is not {self.schema_sha256}"
            raise IntegrityError(msg)
        return self


def schemas_prefix(name: str) -> str:
    """Every version of the schema `name` lies below this."""
    return f"{SCHEMAS}{parse_name(name, 'schema name')}/"


def schema_key(name: str, version: str) -> Key:
    """Key of one version; write-once."""
    return Key(f"{schemas_prefix(name)}{parse_name(version, 'schema version')}.json")
