"""Exit codes, in one table."""

from __future__ import annotations

from sealrun.domain.errors import (
    AccessDeniedError,
    ConfigurationError,
    HeldError,
    IntegrityError,
    NoRegistryError,
    OutcomeUnknownError,
    RequirementError,
    UnavailableError,
    UsageError,
)

OK = 0
ERROR = 1
USAGE = 2
PARTLY = 3
NOTHING = 4
UNREACHABLE = 5
NO_REGISTRY = 10
HELD = 11
CREDENTIALS = 12
DAMAGE = 20
CONFIGURATION = 78
INTERRUPTED = 130

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (UsageError, USAGE),
    (ConfigurationError, CONFIGURATION),
    (HeldError, HELD),
    (NoRegistryError, NO_REGISTRY),
    (AccessDeniedError, CREDENTIALS),
    (UnavailableError, UNREACHABLE),
    (OutcomeUnknownError, UNREACHABLE),
    (IntegrityError, DAMAGE),
    (RequirementError, DAMAGE),
)


def exit_code(error: Exception) -> int:
    """Return the exit code that an error ends a command with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ERROR)
