"""What the kernel says, in the words of `sealrun.domain.errors`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sealrun.domain.errors import (
    AccessDeniedError,
    NoSpaceError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
    UsageError,
)

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM}
_BAD_NAME = {errno.ENAMETOOLONG, errno.EILSEQ}


def translate(error: OSError, what: str, *, ambiguous: bool = False) -> SealrunError:
    """Return the error to raise for `error`; `what` names the place and what was tried.

    With `ambiguous` a failure that does not prove that nothing was written becomes `OutcomeUnknownError`.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _NO_SPACE:
        advice = "remount it writable" if error.errno == errno.EROFS else "make room, or raise the quota"
        return NoSpaceError(f"{what}: {reason}; {advice}")
    if error.errno in _DENIED:
        return AccessDeniedError(f"{what}: {reason}; give this user the right to do so")
    if error.errno in _BAD_NAME:
        return UsageError(f"{what}: {reason}; this file system cannot hold such a name")
    if ambiguous:
        return OutcomeUnknownError(f"{what}: {reason}; it may have happened all the same")
    return UnavailableError(f"{what}: {reason}; is the disk or the file server well?")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise every `OSError` of the block as one of ours."""
    try:
        yield
    except OSError as error:
        raise translate(error, what) from error
