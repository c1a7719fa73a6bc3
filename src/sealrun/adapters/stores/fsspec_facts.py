"""What is known of fsspec's file systems by reading them, and what their exceptions mean."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sealrun.domain.errors import (
    AccessDeniedError,
    NoSpaceError,
    NotFoundError,
    OutcomeUnknownError,
    SealrunError,
    UnavailableError,
    UnsafeStoreError,
)

PRIVATE = ".sealrun"
"""Top folder for files without a final name; no key begins with it and no listing shows it."""
_OBJECT_STORES = {"adlfs", "gcsfs"}
"""Packages whose ``pipe_file(mode="create")`` is conditional on the server (``If-None-Match`` in adlfs,
``ifGenerationMatch=0`` in gcsfs) and whose uploads become visible whole. In fsspec's own ``local``, ``memory`` and
base class it is a look before the write."""
_MODIFIED = ("mtime", "last_modified", "LastModified", "updated", "modified", "created")
_DENIED = {401, 403}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def is_flat(fs: object) -> bool:
    """Tell whether names are keys, without folders, and an upload is visible whole or not at all."""
    return type(fs).__module__.partition(".")[0] in _OBJECT_STORES


def has_exclusive_create(fs: object) -> bool:
    """Tell whether the backend is known to create exclusively; anything unknown is not trusted."""
    return is_flat(fs)


def renames(fs: object) -> bool:
    """Tell whether ``mv`` is the backend's own; the inherited one copies, and expands patterns in names."""
    from fsspec.spec import AbstractFileSystem  # noqa: PLC0415 - loads slowly

    return type(fs).mv is not AbstractFileSystem.mv  # type: ignore[attr-defined] # every fsspec file system has it


def modified_of(fs: Any, info: Mapping[str, Any], url: str) -> float:  # noqa: ANN401 - fsspec has no types
    """Return the POSIX time of a file's last change, from what the backend calls it."""
    value = next((info[name] for name in _MODIFIED if info.get(name) is not None), None)
    if value is None:
        with contextlib.suppress(NotImplementedError):
            value = fs.modified(info["name"])
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, int | float):
        return float(value)
    raise UnsafeStoreError(f"{url}: does not say when {info['name']!r} was changed; use another kind of store")


@contextlib.contextmanager
def translated(what: str, *, ambiguous: bool = False) -> Iterator[None]:
    """Raise whatever a backend raises as one of ours. Its text is left out: it may hold a signed URL or a key."""
    try:
        yield
    except SealrunError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFoundError(f"{what}: there is no such thing") from error
    except Exception as error:  # backends raise what their clients raise, and nothing foreign may escape
        raise _ours(error, what, ambiguous=ambiguous) from error


def _ours(error: Exception, what: str, *, ambiguous: bool) -> SealrunError:
    kind = type(error).__name__
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(error, PermissionError) or status in _DENIED or str(error).startswith("Forbidden"):
        return AccessDeniedError(f"{what}: access denied ({kind}); check the credentials")
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return NoSpaceError(f"{what}: no space or read-only ({kind}); make room")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UnavailableError(f"{what}: the name is too long for this store")
    if ambiguous:
        return OutcomeUnknownError(f"{what}: {kind}; it may have happened all the same")
    return UnavailableError(f"{what}: {kind}; is the service well?")
