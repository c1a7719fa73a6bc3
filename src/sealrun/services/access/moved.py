"""A run that is read while its bytes are moved, as by a repair or a repacking, or while it is collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from sealrun.domain.errors import ConflictError, NotFoundError
from sealrun.domain.reference import RunReference
from sealrun.domain.registry.pointing import Target
from sealrun.services.access.reading import Reader

T = TypeVar("T")


def read_where_it_stands(reader: Reader, target: Target, read: Callable[[Target], T]) -> T:
    """Return ``read(target)``; once more if something was not found, and the run stands elsewhere by then.

    `ConflictError`: it stands nowhere any more. `NotFoundError`, as it was raised: it stands where it did.
    """
    try:
        return read(target)
    except NotFoundError as error:
        try:
            now = reader.resolve_reference(RunReference(target.experiment, target.run_id))
        except NotFoundError as gone:
            msg = f"{target.experiment}/{target.run_id}: went away while it was read: {gone}"
            raise ConflictError(msg) from error
        if now.attempt == target.attempt:
            raise
    return read(msgspec.structs.replace(now, path=target.path))
