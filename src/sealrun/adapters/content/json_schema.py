"""JSON Schema by the library jsonschema, which is an extra: nothing else needs it.

References lead nowhere but into the schema itself: nothing is fetched, from nowhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sealrun.domain.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAX_TEXT = 300
_MOST_TOLD = 10


class JsonSchemaLanguage:
    """`ports.SchemaLanguage`. `ConfigurationError` from every method if the library is not installed."""

    def refuse_broken(self, schema: object, where: str) -> None:
        """Raise `UsageError` if `schema` is no JSON Schema that is complete in itself: of 2020-12, or what it says."""
        try:
            check = self.checker(schema)
        except UsageError as error:
            msg = f"{where}: {error}"
            raise UsageError(msg) from error
        outside = sorted(ref for ref in _refs(schema) if not ref.startswith("#"))
        if outside:
            msg = f"{where}: refers to {outside[0]!r}; a schema is complete in itself: copy that into its $defs"
            raise UsageError(msg)
        check(None)  # a reference that leads nowhere shows now, where its place is reached at once

    def checker(self, schema: object) -> Callable[[object], list[str]]:
        """Return what says of a value why it does not conform; see the port. `UsageError` for what is no schema."""
        validator = _validator(schema)
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - an extra, which is there

        def problems(value: object) -> list[str]:
            try:
                found = islice(validator.iter_errors(value), _MOST_TOLD)
                return [f"{error.json_path}: {error.message[:_MAX_TEXT]}" for error in found]
            except Unresolvable as error:
                msg = f"the schema refers to {error.ref!r}, which is not in it"
                raise UsageError(msg) from error
            except RecursionError as error:
                msg = "the schema refers to itself without end, or the value is nested too deeply"
                raise UsageError(msg) from error
            except re.error as error:
                msg = f"the schema has a pattern that is none: {error}"
                raise UsageError(msg) from error

        return problems


def _validator(schema: object) -> Validator:
    try:
        from jsonschema.exceptions import SchemaError  # noqa: PLC0415 - an extra, loaded where it is used
        from jsonschema.validators import validator_for  # noqa: PLC0415 - as above
        from referencing import Registry  # noqa: PLC0415 - comes with it
    except ImportError as error:
        msg = "schemas are checked by the library jsonschema: pip install 'sealrun[schemas]'"
        raise ConfigurationError(msg) from error
    if not isinstance(schema, dict | bool):
        raise UsageError("is no schema: a schema is a JSON object")
    dialect = schema.get("$schema", _DIALECT) if isinstance(schema, dict) else _DIALECT
    kind = validator_for({"$schema": dialect}, default=None) if isinstance(dialect, str) else None
    if kind is None:
        msg = f"is written in {dialect!r}, which is not known; write it in {_DIALECT}"
        raise UsageError(msg)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        msg = f"is no JSON Schema: {error.json_path}: {error.message[:_MAX_TEXT]}"
        raise UsageError(msg) from error
    found: Validator = kind(schema, registry=Registry())
    return found


def read_schema_file(file: Path) -> dict[str, Any] | bool:
    """Decode the schema in `file`. `UsageError` if it is no JSON, or neither an object nor true nor false."""
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{file}: cannot be read as JSON: {error}"
        raise UsageError(msg) from error
    if not isinstance(value, dict | bool):
        msg = f"{file}: is no schema: a schema is a JSON object"
        raise UsageError(msg)
    return cast("dict[str, Any] | bool", value)


def _refs(schema: object) -> set[str]:
    """Every reference in a schema, wherever it stands."""
    found: set[str] = set()
    ahead = [schema]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            found |= {value[key] for key in ("$ref", "$dynamicRef") if isinstance(value.get(key), str)}
            ahead += value.values()
        elif isinstance(value, list):
            ahead += value
    return found
