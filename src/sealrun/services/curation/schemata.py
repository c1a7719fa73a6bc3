"""Schemas of users in one registry: add a version, list them, read one."""

from __future__ import annotations

from sealrun.domain.errors import ConflictError, NotFoundError
from sealrun.domain.moments import rfc3339
from sealrun.domain.records import JsonObject, canonical_json, sha256
from sealrun.domain.schemas.user import SCHEMAS, UserSchema, schema_key, schemas_prefix
from sealrun.domain.types import parse_schema_id
from sealrun.ports import Clock, Entropy, SchemaLanguage, Store
from sealrun.services.storage.certainty import Certainty


class Schemata:
    """The schemas of one registry. Reading works on a read-only store."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Work on `store`."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._certainty = Certainty(store, clock, entropy)

    def add(self, name: str, version: str, schema: JsonObject | bool, language: SchemaLanguage, by: str) -> UserSchema:  # noqa: FBT001 - a schema may be one word
        """Keep a version for ever; return the record that stands. Durable on return, harmless to repeat.

        `UsageError` if it is no schema. `ConflictError` if that version is another schema: a version never changes.
        """
        key = schema_key(name, version)
        language.refuse_broken(schema, f"{name}/{version}")
        proposed = UserSchema(
            name=name,
            version=version,
            schema=schema,
            schema_sha256=sha256(canonical_json(schema)),
            added_at=rfc3339(self._clock.now()),
            by=by,
            nonce=self._entropy.hex(32),
        )
        there = self._certainty.read(key)  # who adds it again writes nothing
        body = self._certainty.create(key, proposed.encode()) if there is None else there
        standing = UserSchema.decode(body, key)
        if standing.schema_sha256 != proposed.schema_sha256:
            msg = (
                f"schema {standing.id} was added at {standing.added_at} by {standing.by}, and is another one: "
                "a version is never changed; add this one under a new version"
            )
            raise ConflictError(msg)
        return standing

    def all(self, name: str | None = None) -> list[UserSchema]:
        """Every version of every schema, or of one, by name and version."""
        prefix = SCHEMAS if name is None else schemas_prefix(name)
        keys = [found.key for found in self._store.list(prefix) if found.key.endswith(".json")]
        found = [UserSchema.decode(self._store.read(key), key) for key in keys]
        return sorted(found, key=lambda schema: (schema.name, schema.version))

    def read(self, schema_id: str) -> UserSchema:
        """Return ``NAME/VERSION``; `NotFoundError` says which versions there are."""
        name, version = parse_schema_id(schema_id)
        key = schema_key(name, version)
        body = self._certainty.read(key)
        if body is None:
            known = ", ".join(schema.version for schema in self.all(name)) or "none"
            where = self._store.url
            msg = f"no schema {schema_id} in {where} (versions of {name}: {known}); add it with: sealrun schema add"
            raise NotFoundError(msg)
        schema = UserSchema.decode(body, key)
        if schema.id != schema_id:
            msg = f"{key}: holds schema {schema.id}"
            raise NotFoundError(msg)
        return schema
