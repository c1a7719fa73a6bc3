"""Reading what is to be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import IO

from sealrun.domain.address import Key
from sealrun.domain.errors import RunChangedError
from sealrun.ports import Source

_CHUNK = 4 << 20


def copy_checked(key: Key, source: Source, copy: IO[bytes]) -> None:
    """Copy the bytes for `key` into a local file, or raise `RunChangedError` if they are not those of their digest."""
    digest = hashlib.sha256()
    with source.open() as stream:
        while chunk := _read(stream.read, key):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != source.digest:
        raise RunChangedError(f"{key}: the bytes read are not the ones that were hashed; settle again")
    copy.flush()


def _read(read: Callable[[int], bytes], key: Key) -> bytes:
    try:
        return read(_CHUNK)
    except OSError as error:
        raise RunChangedError(f"{key}: its source cannot be read ({error.strerror}); settle again") from error
