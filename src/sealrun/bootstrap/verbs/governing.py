"""Governing a registry: its schemas, its catalogue, and what is validated against them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sealrun.adapters.content.json_schema import JsonSchemaLanguage
from sealrun.adapters.content.published_schemas import published_schema
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.bootstrap.verbs.consuming import whoami
from sealrun.domain.curation.catalogue import Catalogue
from sealrun.domain.curation.validating import Validation
from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.domain.registry.pointing import Target
from sealrun.domain.schemas import PUBLISHED
from sealrun.domain.schemas.user import UserSchema
from sealrun.domain.types import parse_schema_id
from sealrun.ports import Clock, Entropy, RunFolder, Store
from sealrun.services.access.reading import Reader
from sealrun.services.curation.cataloguing import read_catalogue
from sealrun.services.curation.schemata import Schemata
from sealrun.services.curation.validating import RunValidator
from sealrun.services.curation.validating_folders import FolderValidator
from sealrun.services.index.pointers import Pointers

OWN_SCHEMAS = "sealrun."
"""Schemas whose names begin so are those that are published with sealrun: ``sealrun.registry-catalog/1``."""


class Governor:
    """Governs one registry; reads only, unless it was opened for publishing."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Work on the registry in `store`."""
        self._reader = Reader(store, clock, entropy)
        self._pointers = Pointers(store, clock, entropy, "reader")
        self._schemata = Schemata(store, clock, entropy)
        self._language = JsonSchemaLanguage()

    def add_schema(self, schema_id: str, schema: JsonObject | bool, by: str | None = None) -> UserSchema:  # noqa: FBT001 - a schema may be one word
        """Keep a version of a schema for ever; see `Schemata.add`."""
        name, version = parse_schema_id(schema_id)
        if name.startswith(OWN_SCHEMAS):
            msg = f"{schema_id}: names that begin with {OWN_SCHEMAS!r} are those of the schemas published with sealrun"
            raise UsageError(msg)
        return self._schemata.add(name, version, schema, self._language, by or whoami())

    def schemas(self, name: str | None = None) -> list[UserSchema]:
        """Every version of every schema, or of one."""
        return self._schemata.all(name)

    def schema(self, schema_id: str) -> object:
        """Return a schema of the registry, or one that is published with sealrun (``sealrun.run/1``)."""
        name, version = parse_schema_id(schema_id)
        own = name.removeprefix(OWN_SCHEMAS)
        if own != name and own in PUBLISHED and version == "1":
            return published_schema(own)
        return self._schemata.read(schema_id).schema

    def checker(self, schema: object) -> Callable[[object], list[str]]:
        """Return what tells why a value does not conform to `schema`."""
        return self._language.checker(schema)

    def catalogue(self) -> Catalogue:
        """Build the catalogue of what stands now; see `read_catalogue`."""
        return read_catalogue(self._reader, self._pointers, self._schemata)

    def validate(self, ref: str, *, read_bytes: bool = True) -> Validation:
        """Look at what a sealed run promises as a set of registry artifacts; see `RunValidator`."""
        return self.validate_target(self._reader.resolve(ref), read_bytes=read_bytes)

    def validate_target(self, target: Target, *, read_bytes: bool = True) -> Validation:
        """Do so for what a reference was resolved to."""
        return RunValidator(self._reader, self._pointers, self.schema, self.checker).validate(
            target, read_bytes=read_bytes
        )


def validate_folder(path: str, find_schema: Callable[[str], object]) -> Validation:
    """Look at a folder that another tool sealed; see `FolderValidator`."""
    folder = open_alone(path, NoHashes())

    def near(run_root: str) -> RunFolder | None:
        """Find a folder below this one, or below one that this one lies in."""
        for base in (Path(folder.path), *Path(folder.path).parents):
            if (base / run_root).is_dir():
                return open_alone(str(base / run_root), NoHashes())
        return None

    return FolderValidator(folder, find_schema, JsonSchemaLanguage().checker, near).validate()
