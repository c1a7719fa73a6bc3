"""How a folder looks from outside: a digest, so that a change shows, and what its names say of its completeness."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from sealrun.domain.grouping import in_groups
from sealrun.domain.patterns import matches
from sealrun.domain.watches.settling import SettleRules

_RSYNC_TEMPORARY = re.compile(r"(?:.*/)?\.[^/]+\.(?=[^/]*[0-9A-Z])[0-9A-Za-z]{6}\Z", re.DOTALL)
_NAMED = 5
_AT_ONCE = 1024


class FileLine(msgspec.Struct, frozen=True, gc=False):
    """What of one file enters the fingerprint; times in nanoseconds. ctime catches a rewrite that restores mtime."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    executable: bool


def fingerprint(files: Iterable[FileLine], others: Iterable[str] = ()) -> str:
    """Digest of a folder's appearance: its files, in order of their paths, and `others` as text.

    The others are links, empty folders and problems. Files are taken as they come: there may be a million.
    """
    hasher = hashlib.sha256()
    for some in in_groups(files, _AT_ONCE):
        lines = [f"{file.path}\0{file.size}\0{file.mtime_ns}\0{file.ctime_ns}\0{file.executable:d}\0" for file in some]
        hasher.update("".join(lines).encode("utf-8", "surrogateescape"))
    for other in sorted(others):
        hasher.update(f"\0{other}\0".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def forbidden_paths(rules: SettleRules, paths: Iterable[str]) -> tuple[str, ...]:
    """The first few of `paths` whose names say that they are still being written."""
    if not rules.forbid:
        return ()
    found = (path for path in paths if matches(rules.forbid, path) or _RSYNC_TEMPORARY.match(path))
    return tuple(path for path, _ in zip(found, range(_NAMED), strict=False))


def missing_patterns(rules: SettleRules, paths: Iterable[str]) -> tuple[str, ...]:
    """Required patterns that none of `paths` matches."""
    if not rules.require:
        return ()
    known = tuple(paths)
    return tuple(need for need in rules.require if not any(matches((need,), path) for path in known))
