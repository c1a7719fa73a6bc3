"""When to try again, and what an error of a delivery asks for: pure rules, which `services.delivery` carries out."""

from __future__ import annotations

from enum import Enum

from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    NoRegistryError,
    NoSpaceError,
    OutcomeUnknownError,
    RunChangedError,
    RunRejectedError,
    UnavailableError,
    UnsafeStoreError,
    UsageError,
)

BASE_S = 1.0
CAP_S = 300.0
"""Longest delay: a registry that was down for an hour is tried again within this after its return."""
_LEAST_S = 0.1
_MOST_DOUBLINGS = 30


def next_delay(tries: int, entropy_unit: float, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait after `tries` failures in a row (from 1): exponential backoff with full jitter.

    `entropy_unit` is random in [0, 1]: machines that failed together do not come back together.
    """
    ceiling = min(cap_s, base_s * 2.0 ** min(max(tries, 1) - 1, _MOST_DOUBLINGS))
    return max(_LEAST_S, ceiling * entropy_unit)


class Response(Enum):
    """What an error of a delivery asks for."""

    WAIT = "the registry cannot be reached: everything for it waits, with backoff"
    MAKE_ROOM = "the registry is full: an operator has to make room; tried again now and then"
    MEND_ACCESS = "the registry refuses us: an operator has to change something; tried again now and then"
    NEW_ATTEMPT = "the attempt is void: begin another one now"
    SETTLE_AGAIN = "the files are not the ones that were sealed: the folder has to settle again"
    PARK = "trying again cannot help: an operator has to look at it"
    TRY_AGAIN = "unexpected: this delivery waits, with backoff"


_RESPONSES: tuple[tuple[tuple[type[Exception], ...], Response], ...] = (
    ((UnavailableError, OutcomeUnknownError), Response.WAIT),
    ((NoSpaceError,), Response.MAKE_ROOM),
    ((AccessDeniedError, ConfigurationError, UnsafeStoreError, NoRegistryError), Response.MEND_ACCESS),
    ((ConflictError,), Response.NEW_ATTEMPT),
    ((RunChangedError, RunRejectedError), Response.SETTLE_AGAIN),
    ((IntegrityError, UsageError), Response.PARK),
)


def plan_response(error: Exception) -> Response:
    """Decide what to do about an error that ended a delivery."""
    for classes, response in _RESPONSES:
        if isinstance(error, classes):
            return response
    return Response.TRY_AGAIN
