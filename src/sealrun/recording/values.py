"""What a producer hands over, as JSON holds it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime

from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject

_MAX_DEPTH = 40  # readers of records stop at 50


def plain(value: object, depth: int = 0) -> object:
    """Return `value` as JSON holds it, or raise `UsageError`.

    Paths become text, times ISO 8601, sets sorted lists, scalars and small arrays of array libraries numbers and lists;
    NaN and infinities, which JSON has not, become their names.
    """
    if depth > _MAX_DEPTH:
        msg = f"nested more than {_MAX_DEPTH} levels deep: flatten it, or write it to a file of its own"
        raise UsageError(msg)
    if value is None or isinstance(value, bool | int | str):
        return _scalar(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((plain(item, depth + 1) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    return _foreign(value, depth)


def json_object(value: Mapping[str, object]) -> JsonObject:
    """Return a mapping as a JSON object; see `plain`."""
    return {_key(key): plain(item, 1) for key, item in value.items()}


def _scalar(value: bool | int | str | None) -> object:  # noqa: FBT001 - a value like any other
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return None if value is None else value if isinstance(value, bool) else int(value)


def _foreign(value: object, depth: int) -> object:
    if isinstance(value, os.PathLike):
        return _scalar(os.fsdecode(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    convert = getattr(value, "tolist", None) or getattr(value, "item", None)
    if callable(convert) and type(converted := convert()) is not type(value):  # numpy's longdouble stays one
        return plain(converted, depth + 1)
    msg = f"a record cannot hold a {type(value).__name__}: give text, numbers, lists or dicts of these"
    raise UsageError(msg)


def _key(key: object) -> str:
    text = _scalar(key) if isinstance(key, str) else str(key)
    return str(text)
