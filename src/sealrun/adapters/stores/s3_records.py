"""Long records on their way to S3: one request each, whose bytes wait in a file without a name and not in memory."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import BinaryIO

from sealrun.adapters.stores.s3_bodies import FileBody
from sealrun.adapters.stores.unnamed import cannot_wait
from sealrun.domain.pieces import Body, Pieces

_MUCH = 8 << 20


@contextmanager
def ready_to_send(body: Body) -> Iterator[tuple[bytes | BinaryIO, str]]:
    """Give a record as it is sent, and its sha256. What is long is gone when the block ends."""
    if isinstance(body, bytes):
        yield body, hashlib.sha256(body).hexdigest()
        return
    with ExitStack() as stack:
        try:
            sent, digest = _joined(body, stack)
        except OSError as error:
            what = "a long record cannot wait there for its upload"
            raise cannot_wait(tempfile.gettempdir(), what, error) from error
        yield sent, digest


def _joined(body: Pieces, stack: ExitStack) -> tuple[bytes | BinaryIO, str]:
    hasher = hashlib.sha256()
    near, file = io.BytesIO(), None
    for piece in body:
        hasher.update(piece)
        if file is None and near.tell() + len(piece) > _MUCH:
            file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            file.write(near.getbuffer())
            near = io.BytesIO()
        (near if file is None else file).write(piece)
    if file is None:
        return near.getvalue(), hasher.hexdigest()
    file.flush()
    sent = FileBody(os.dup(file.fileno()), file.tell())
    return stack.enter_context(closing(sent)), hasher.hexdigest()
