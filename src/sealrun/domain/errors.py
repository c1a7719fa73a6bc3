"""Every error sealrun raises on purpose: one class for each different response.

::

    SealrunError
    ├─ ConfigurationError        fix the settings
    ├─ UsageError                fix the call: a reference or a name that cannot be right
    ├─ RunChangedError           settle again
    ├─ RunRejectedError          quarantine the folder, tell why (unreadable, escaping link, bad name)
    ├─ IntegrityError            never retry, never delete
    │  ├─ DigestMismatchError    the bytes are not the ones that were sealed
    │  └─ UnsupportedFormatError a newer sealrun wrote this, or nobody did
    ├─ ConflictError             somebody decided first: obey the record
    ├─ HeldError                 another process holds the state folder
    ├─ BuildFailedError          whoever built what was waited for failed: look there, then ask again
    ├─ RequirementError          mend the run, or choose another: a pointer asks for more than it passes
    ├─ CollectionRefusedError    nothing is deleted until an operator has looked
    └─ StorageError
       ├─ UnavailableError       retry with backoff
       ├─ OutcomeUnknownError    re-issue until certain
       ├─ NotFoundError          what was asked for is not there
       │  ├─ NoRegistryError     there is a store, but no registry in it
       │  └─ RetiredError        somebody took the run out: undo brings it back
       ├─ AccessDeniedError      permanent until settings change
       ├─ NoSpaceError           permanent until somebody makes room
       └─ UnsafeStoreError       the store cannot keep the promises asked of it

A class is named after what the caller has to do differently, never after where it was raised. Messages name the
file or key, the reason and what to do, and never hold a secret.
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "BuildFailedError",
    "CollectionRefusedError",
    "ConfigurationError",
    "ConflictError",
    "DigestMismatchError",
    "HeldError",
    "IntegrityError",
    "NoRegistryError",
    "NoSpaceError",
    "NotFoundError",
    "OutcomeUnknownError",
    "RequirementError",
    "RetiredError",
    "RunChangedError",
    "RunRejectedError",
    "SealrunError",
    "StorageError",
    "UnavailableError",
    "UnsafeStoreError",
    "UnsupportedFormatError",
    "UsageError",
]


class SealrunError(Exception):
    """Root of everything sealrun raises on purpose."""


class ConfigurationError(SealrunError):
    """The settings are wrong; nothing was done. The message names the file and the setting."""


class UsageError(SealrunError):
    """A reference, name or path given by the caller cannot be right."""


class RunChangedError(SealrunError):
    """A run's files changed while they were read: it was not complete. Settle again."""


class RunRejectedError(SealrunError):
    """A folder that cannot be sealed as it is. Nothing was published, nothing was touched."""


class IntegrityError(SealrunError):
    """What is stored contradicts itself. Never retried, never a reason to delete."""


class DigestMismatchError(IntegrityError):
    """Bytes do not have the digest that was sealed."""


class UnsupportedFormatError(IntegrityError):
    """A record that this version cannot read: damaged, foreign or of a newer major format."""


class ConflictError(SealrunError):
    """Somebody else decided first, durably. Obey the record."""


class HeldError(SealrunError):
    """Another live process holds what only one may hold."""


class BuildFailedError(SealrunError):
    """Somebody else was building what was asked for, and failed. Asking again tries it again."""


class RequirementError(SealrunError):
    """A run does not pass what a pointer requires of it. The pointer was not moved."""


class CollectionRefusedError(SealrunError):
    """A collection would delete more than the settings allow, or its view of the registry is not complete."""


class StorageError(SealrunError):
    """A store did not do what it was asked."""


class UnavailableError(StorageError):
    """The store cannot be reached or is overloaded; nothing is known to have been written. Retry later."""


class OutcomeUnknownError(StorageError):
    """A conditional write may or may not have happened. Re-issue the same write until certain."""


class NotFoundError(StorageError):
    """The key, run, pointer or name does not exist."""


class NoRegistryError(NotFoundError):
    """The place exists but holds no registry, or not the one it held before."""


class RetiredError(NotFoundError):
    """The run was retired, and its bytes are still there: ``sealrun undo`` brings it back."""


class AccessDeniedError(StorageError):
    """Credentials are missing, wrong or not sufficient. Permanent until the settings change."""


class NoSpaceError(StorageError):
    """The store is full, over quota or read-only."""


class UnsafeStoreError(StorageError):
    """The store cannot keep a promise that was asked of it, by the evidence of the probe."""
