"""Who may do what in a registry: which keys each role writes and deletes. Everybody reads and lists all of it.

Patterns are keys in which ``*`` stands for any text, ``/`` included, as in the policies of S3. A role has no more
than it needs for its work, and no less; ``tests/e2e/test_roles.py`` tries both on a server that enforces it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from sealrun.domain import address
from sealrun.domain.address import AttemptId
from sealrun.domain.curation.building import BUILDS
from sealrun.domain.curation.signing import signatures_prefix
from sealrun.domain.schemas.user import SCHEMAS

ANY = "*"
_ATTEMPT = AttemptId(ANY)


class Right(StrEnum):
    """What may be allowed on a key."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    DELETE = "delete"
    UNFINISHED = "see unfinished uploads"


class Role(NamedTuple):
    """A role: what it is for, which keys it writes and deletes, and whether it clears away unfinished uploads."""

    name: str
    job: str
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    unfinished: bool = False

    def permits(self, right: Right, key: str) -> bool:
        """Tell whether the role has `right` on `key`. The key of a listing does not matter."""
        if right is Right.UNFINISHED:
            return self.unfinished
        if right in {Right.READ, Right.LIST}:
            return True
        return any(fits(pattern, key) for pattern in (self.writes if right is Right.WRITE else self.deletes))


WRITE_ONCE = (
    address.REGISTRY,
    address.outcome_key(_ATTEMPT),
    address.refs_key(_ATTEMPT),
    address.retired_key(_ATTEMPT),
    f"{address.runs_prefix(ANY)}{ANY}/run.json",
    f"{address.runs_prefix(ANY)}{ANY}/manifest.json",
    f"{address.runs_prefix(ANY)}{ANY}/MANIFEST.sha256",
    f"{address.seals_prefix(ANY, ANY)}{ANY}",
    f"{address.pointer_log(ANY, ANY)}{ANY}",
    f"{address.base_log(ANY)}{ANY}",
    f"{address.pins_prefix(ANY)}{ANY}",
    f"{signatures_prefix(ANY, ANY)}{ANY}",
    f"{address.name_log(ANY)}{ANY}",
    f"{BUILDS}{ANY}/log/{ANY}",
    f"{SCHEMAS}{ANY}",
    f"{address.QUARANTINE}{ANY}",
    f"{address.BATCHES}{ANY}",
)
"""Keys that every role creates on the condition that nothing stands there, and that are never written again."""

_PUBLISHED = (
    f"{address.OBJECTS}{ANY}",
    f"{address.PACKS}{ANY}",
    address.intent_key(_ATTEMPT),
    address.outcome_key(_ATTEMPT),
    address.refs_key(_ATTEMPT),
    address.run_key(ANY, ANY, "run.json"),
    address.run_key(ANY, ANY, "manifest.json"),
    address.run_key(ANY, ANY, "MANIFEST.sha256"),
    f"{address.seals_prefix(ANY, ANY)}{ANY}",
    f"{address.pointers_prefix(ANY)}{ANY}",
    f"{address.pending_prefix(ANY)}{ANY}",
    f"{address.base_log(ANY)}{ANY}",
    address.experiment_manifest_key(ANY),
    f"{signatures_prefix(ANY, ANY)}{ANY}",
    f"{address.NAMES}{ANY}",
    f"{address.LATEST}{ANY}",
    f"{BUILDS}{ANY}",
    f"{SCHEMAS}{ANY}",
    f"{address.PROBES}{ANY}",
)
_DISCARDED = (address.intent_key(_ATTEMPT), f"{address.pending_prefix(ANY)}{ANY}", f"{address.PROBES}{ANY}")
"""What a publisher deletes: see `address.is_discardable`."""

READER = Role("reader", "lists, reads, restores and verifies runs; follows pointers")
PUBLISHER = Role(
    "publisher",
    "publishes runs, moves pointers, signs; what a daemon needs whose collector is off",
    _PUBLISHED,
    _DISCARDED,
)
COLLECTOR = Role(
    "collector",
    "what a publisher does, and retires runs and deletes what no run needs; what a daemon needs that collects",
    (*_PUBLISHED, address.retired_key(_ATTEMPT), f"{address.BATCHES}{ANY}"),
    (
        *_DISCARDED,
        f"{address.OBJECTS}{ANY}",
        f"{address.PACKS}{ANY}",
        address.refs_key(_ATTEMPT),
        f"{address.base_log(ANY)}{ANY}",
        f"{address.BATCHES}{ANY}",
    ),
    unfinished=True,
)
ADMINISTRATOR = Role(
    "administrator",
    "what a collector does, and makes the registry, pins and unpins runs, and repairs damage",
    (ANY,),
    (ANY,),
    unfinished=True,
)
ROLES: Mapping[str, Role] = {role.name: role for role in (READER, PUBLISHER, COLLECTOR, ADMINISTRATOR)}
"""By name; each may do what the one before it may."""


def least_role(right: Right, key: str) -> Role:
    """Return the first role that has `right` on `key`."""
    return next(role for role in ROLES.values() if role.permits(right, key))


def fits(pattern: str, key: str) -> bool:
    """Tell whether `key` is one that `pattern` stands for."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(ANY))), key, re.DOTALL) is not None
