"""The runs of one registry as pages read them: few views are held, and no byte of a file is given out unverified.

But the beginnings of files of more than a megabyte: a preview of those is of bytes as they are stored.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from sealrun.domain.address import AttemptId, RunId, parse_name
from sealrun.domain.errors import NotFoundError, UsageError
from sealrun.domain.reference import RunReference
from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.reading import Reader, RunFiles

WHOLE = 1 << 20
"""Files of up to so many bytes are verified before the first byte is given out."""
_KEPT_RUNS = 8
_KEPT_FILES = 200_000


class Beginning(msgspec.Struct, frozen=True):
    """The first bytes of a file, whether there are more, and whether they were compared with the seal."""

    body: bytes
    more: bool
    verified: bool


class RunReading:
    """Opens runs and their files. Any thread."""

    def __init__(self, reader: Reader) -> None:
        """Hold nothing yet."""
        self._reader = reader
        self._views: OrderedDict[AttemptId, RunFiles] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, experiment: str, run_id: str) -> RunFiles:
        """Return the run as it stands now; `NotFoundError` says what is there instead.

        The records were checked against ROOT_SHA256 when they were read; since then a run does not change.
        """
        parse_name(experiment, "experiment")
        reference = RunReference(experiment, RunId(parse_name(run_id, "run id")))
        target = self._reader.resolve_reference(reference)
        with self._lock:
            found = self._views.get(target.attempt)
            if found is not None:
                self._views.move_to_end(target.attempt)
                return found
        loaded = self._reader.load_files(target)
        with self._lock:
            self._views[target.attempt] = loaded
            while len(self._views) > 1 and (len(self._views) > _KEPT_RUNS or self._files_held() > _KEPT_FILES):
                self._views.popitem(last=False)
        return loaded

    def body(self, experiment: str, run_id: str, path: str) -> tuple[Entry, io.BufferedIOBase]:
        """Open a file. What is small is verified now; of the rest the last piece comes only if all of it matches."""
        view, entry = self._entry(experiment, run_id, path)
        chunks = self._chunks(view, entry)
        if entry.size <= WHOLE:
            return entry, io.BytesIO(b"".join(chunks))
        return entry, _HeldBack(chunks)

    def whole(self, experiment: str, run_id: str, path: str, most: int) -> bytes:
        """Return a file's bytes, verified; `UsageError` if there are more than `most`."""
        view, entry = self._entry(experiment, run_id, path)
        if entry.size > most:
            msg = f"{view.ref}:{path} has {entry.size} bytes; only files of up to {most} are shown"
            raise UsageError(msg)
        return b"".join(self._chunks(view, entry))

    def beginning(self, experiment: str, run_id: str, path: str, most: int) -> Beginning:
        """Return the first bytes of a file, at most `most`. Verified if it is small."""
        view, entry = self._entry(experiment, run_id, path)
        if entry.size <= WHOLE:
            body = b"".join(self._chunks(view, entry))
            return Beginning(body[:most], more=len(body) > most, verified=True)
        try:
            opened = self._reader.open(view, entry)
        except NotFoundError:
            opened = self._reader.open(self._again(view), entry)
        with opened:
            return Beginning(opened.read(most), more=entry.size > most, verified=False)

    def _entry(self, experiment: str, run_id: str, path: str) -> tuple[RunFiles, Entry]:
        view = self.view(experiment, run_id)
        return view, view.entry(path)

    def _chunks(self, view: RunFiles, entry: Entry) -> Iterator[bytes]:
        """Bytes of an entry; where they were moved since the run was opened, it is opened once more."""
        chunks = self._reader.chunks(view, entry)
        try:
            first = next(chunks, b"")
        except NotFoundError:
            chunks = self._reader.chunks(self._again(view), entry)
            first = next(chunks, b"")
        yield first
        yield from chunks

    def _again(self, view: RunFiles) -> RunFiles:
        with self._lock:
            self._views.pop(view.target.attempt, None)
        return self.view(view.target.experiment, view.target.run_id)

    def _files_held(self) -> int:
        return sum(len(view.manifest.entries) for view in self._views.values())


class _HeldBack(io.BufferedIOBase):
    """Pieces of a file, of which the last is given out only when the next was asked for, and there was none."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ready = b""
        self._next: bytes | None = next(chunks, b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return some bytes, up to a piece; nothing at the end. `DigestMismatchError` instead of the last piece."""
        wanted = None if size is None or size < 0 else size
        while not self._ready and self._next is not None:
            self._ready, self._next = self._next, next(self._chunks, None)
        if wanted is None:
            self._ready = b"".join((self._ready, *self._rest()))
        piece = self._ready if wanted is None else self._ready[:wanted]
        self._ready = self._ready[len(piece) :]
        return piece

    def _rest(self) -> Iterator[bytes]:
        while self._next is not None:
            piece, self._next = self._next, next(self._chunks, None)
            yield piece

    def close(self) -> None:
        """Let go of what is being read."""
        if hasattr(self._chunks, "close"):
            self._chunks.close()
        super().close()
