"""sealrun's errors as users of file systems expect them: each is an `OSError`, and still the error that it was.

Only what a listing does not hold is a `FileNotFoundError`: zarr, for one, takes that for a chunk of zeros. A run that
went away while it was read, bytes that are gone and a registry that is not there are other errors.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sealrun.domain import errors


class NotThereError(errors.NotFoundError, FileNotFoundError):
    """No such run, pointer, name or file."""


class NotAReferenceError(errors.UsageError, FileNotFoundError):
    """The path cannot name anything."""


class NoRegistryThereError(errors.NoRegistryError, OSError):
    """The place holds no registry."""


class AccessRefusedError(errors.AccessDeniedError, PermissionError):
    """Credentials are missing, wrong or not sufficient."""


class OutOfReachError(errors.UnavailableError, ConnectionError):
    """The store cannot be reached or is overloaded; try again later."""


class DamagedFileError(errors.DigestMismatchError, OSError):
    """Bytes do not have the digest that was sealed."""


class DamagedRunError(errors.IntegrityError, OSError):
    """What is stored contradicts itself."""


class WentAwayError(errors.ConflictError, OSError):
    """The run was retired, and collected, while it was read."""


class StoreFailedError(errors.StorageError, OSError):
    """The store did not do what it was asked."""


_KINDS: tuple[tuple[type[errors.SealrunError], type[OSError], int], ...] = (
    (errors.NoRegistryError, NoRegistryThereError, errno.ENODEV),
    (errors.NotFoundError, NotThereError, errno.ENOENT),
    (errors.UsageError, NotAReferenceError, errno.ENOENT),
    (errors.AccessDeniedError, AccessRefusedError, errno.EACCES),
    (errors.UnavailableError, OutOfReachError, errno.ECONNABORTED),
    (errors.DigestMismatchError, DamagedFileError, errno.EIO),
    (errors.IntegrityError, DamagedRunError, errno.EIO),
    (errors.ConflictError, WentAwayError, errno.ESTALE),
    (errors.StorageError, StoreFailedError, errno.EIO),
)


def as_os_error(error: errors.SealrunError, path: str) -> Exception:
    """Return the error of `path` that says the same as `error`; one of the settings is returned as it is."""
    if isinstance(error, OSError):
        return error
    for kind, raised, number in _KINDS:
        if isinstance(error, kind):
            return raised(number, str(error), path)
    return error


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise every error of the block as one of `path`."""
    try:
        yield
    except errors.SealrunError as error:
        raised = as_os_error(error, path)
        if raised is error:
            raise
        raise raised from error


def read_only(path: str) -> OSError:
    """Return the error of whoever tries to write."""
    reason = "sealed runs never change; publish a folder with: sealrun publish FOLDER --experiment NAME"
    return OSError(errno.EROFS, f"sealrun:// is read-only: {reason}", path)
