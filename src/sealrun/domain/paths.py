"""What a path inside a run may be: nothing that could lead outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_COMPONENT_BYTES = 255
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._ =,+-]{0,254}(?:/(?!\Z)|\Z))+\Z")
"""Paths as nearly all are: one look instead of several, since a run may have a million."""


def path_problem(path: str) -> str | None:
    """Say why `path` cannot be a path inside a run, or return None. Rejects everything that could lead outside."""
    if _PLAIN.match(path):
        return None
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if "\0" in path:
        return "the name holds a NUL character"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return f"the path has an empty, '.' or '..' component: {path!r}"
        if len(part.encode()) > _MAX_COMPONENT_BYTES:
            return f"a name is longer than {_MAX_COMPONENT_BYTES} bytes: {part[:40]!r}…"
    return None


def are_plain(paths: Iterable[str]) -> bool:
    """Tell whether nothing is wrong with any of `paths`, at one look; some that are fit are not plain, too.

    Components that are plain stay so where paths are joined, and an empty path shows as an empty component.
    """
    return _PLAIN.match("/".join(paths)) is not None
