"""Runs as trees of files that are read by ranges, from many threads: what every interface to them shares."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock

import msgspec

from sealrun.domain.address import AttemptId
from sealrun.domain.errors import ConflictError, DigestMismatchError, IntegrityError, NotFoundError, SealrunError
from sealrun.domain.reference import RunReference
from sealrun.domain.registry.packing import spans
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.tree import RunTree
from sealrun.ports import FileCache
from sealrun.services.access.reading import Reader, RunFiles
from sealrun.services.storage.streaming import stream
from sealrun.services.threads.fanning import fan_out, fan_through

WHOLE = 1 << 20
"""Files of up to so many bytes are read, and so verified, as a whole, whatever part is asked for."""
_PIECE = 8 << 20
_GAP = 64 << 10
_WIDTH = 8
_KEPT_FILES = 500_000
_KEPT_RUNS = 64


class Part(msgspec.Struct, frozen=True):
    """`length` bytes of a file that begin at `offset`; all of them are inside."""

    entry: Entry
    offset: int
    length: int

    @property
    def whole(self) -> bool:
        """Whether it is the whole file."""
        return self.length == self.entry.size


class Browser:
    """Opens the runs of one registry. Safe to use from many threads."""

    def __init__(self, reader: Reader, cache: FileCache | None = None) -> None:
        """Read by `reader`; keep whole files from afar in `cache`."""
        self.reader = reader
        self.cache = None if reader.store.capabilities.links else cache
        self._runs: OrderedDict[AttemptId, OpenRun] = OrderedDict()
        self._lock = Lock()

    def resolve(self, ref: str) -> Target:
        """Ask the registry now what a reference stands for; see `Reader.resolve`."""
        return self.reader.resolve(ref)

    def open(self, target: Target) -> OpenRun:
        """Open a run; the last ones are kept, since no run ever changes.

        `ConflictError`: it was there, and is not any more. `IntegrityError`: its records contradict each other.
        """
        with self._lock:
            found = self._runs.get(target.attempt)
            if found is not None:
                self._runs.move_to_end(target.attempt)
                return found
        opened = OpenRun(self, self._load(target))
        with self._lock:
            self._runs[target.attempt] = opened
            while len(self._runs) > _KEPT_RUNS or (
                len(self._runs) > 1 and sum(len(run.tree) for run in self._runs.values()) > _KEPT_FILES
            ):
                self._runs.popitem(last=False)
        return opened

    def renewed(self, view: RunFiles) -> RunFiles:
        """Load a run again whose bytes were moved; `ConflictError` if it is not there any more.

        A run is sealed again, with the same content, when it is repaired, repacked or brought back.
        """
        again = self._load(self._standing(view.target))
        if again.manifest.tree_digest != view.manifest.tree_digest:
            msg = f"{view.ref}: was replaced by other content while it was read; open it again"
            raise ConflictError(msg)
        return again

    def _load(self, target: Target) -> RunFiles:
        try:
            return self.reader.load_files(msgspec.structs.replace(target, path=None))
        except NotFoundError:
            return self.reader.load_files(self._standing(target))

    def _standing(self, target: Target) -> Target:
        try:
            return self.reader.resolve_reference(RunReference(target.experiment, target.run_id))
        except NotFoundError as error:
            msg = f"{target.experiment}/{target.run_id}: went away while it was read: {error}"
            raise ConflictError(msg) from error


class OpenRun:
    """One run that is read. Whatever pointers do meanwhile, it stays the same run.

    Where reading says that a file's bytes are gone, they are looked for once more where the run has them now.
    `ConflictError` if the run was retired and collected; never `NotFoundError`, which would say that the run holds no
    such file.
    """

    def __init__(self, browser: Browser, view: RunFiles) -> None:
        """Read what `view` shows."""
        self.view = view
        self.tree = RunTree(view.manifest)
        self._browser = browser
        self._reader = browser.reader
        self._store = browser.reader.store

    def read(self, part: Part) -> bytes:
        """Return a part of a file; a whole one is verified, as is every file of at most `WHOLE` bytes."""
        entry = part.entry
        if part.whole or entry.size <= WHOLE:
            return self.whole(entry)[part.offset : part.offset + part.length]
        cached = self._cached(entry, part.offset, part.length)
        return cached if cached is not None else self._fetch(part)

    def whole(self, entry: Entry) -> bytes:
        """Return a file's bytes, verified: `DigestMismatchError` if they are not as sealed."""
        cached = self._cached(entry, 0, entry.size)
        if cached is not None and hashlib.sha256(cached).hexdigest() == entry.sha256:
            return cached
        body = self._fetch(Part(entry, 0, entry.size))
        self._verify(entry, body)
        if self._browser.cache is not None:
            self._browser.cache.keep(entry.sha256, body)
        return body

    def chunks(self, entry: Entry) -> Iterator[bytes | memoryview]:
        """Yield a file's bytes in bounded pieces, each valid until the next is taken.

        At the end `DigestMismatchError` if they were not as sealed.
        """
        if entry.size <= WHOLE:
            yield self.whole(entry)
            return
        hasher = hashlib.sha256()
        stored = self._reader.stored(self.view, entry)
        try:
            chunks = self._chunks_of(stored)
            first = next(chunks, b"")
        except NotFoundError as error:
            stored = self._moved(entry, error)
            chunks = self._chunks_of(stored)
            first = next(chunks, b"")
        hasher.update(first)
        yield first
        for chunk in chunks:
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != entry.sha256:
            raise self._mismatch(entry)

    def read_many(self, parts: Sequence[Part]) -> list[bytes | Exception]:
        """Return parts of files, or the error of each: in few requests, many at a time; otherwise as `read`."""
        plain: list[Part] = []
        found: dict[Part, bytes | Exception] = {}
        for part in dict.fromkeys(_enlarged(part) for part in parts):
            cached = self._cached(part.entry, part.offset, part.length)
            if cached is not None and (not part.whole or hashlib.sha256(cached).hexdigest() == part.entry.sha256):
                found[part] = cached
            else:
                plain.append(part)
        groups = list(self._grouped(plain))
        for answers in fan_out(self._read_group, groups, min(self._store.capabilities.parallel, _WIDTH)):
            found.update(answers)
        return [_cut(found[_enlarged(part)], part) for part in parts]

    def _grouped(self, parts: Iterable[Part]) -> Iterator[list[Part]]:
        """Parts that are read together: neighbours in one object or pack."""
        by_key: dict[str, list[tuple[int, Part]]] = {}
        for part in parts:
            stored = self._reader.stored(self.view, part.entry)
            by_key.setdefault(stored.key, []).append(((stored.offset or 0) + part.offset, part))
        for placed in by_key.values():
            placed.sort(key=lambda item: (item[0], item[1].length))
            ranges = [(offset, part.length) for offset, part in placed]
            for first, last in spans(ranges, gap=_GAP, most=_PIECE):
                yield [part for _, part in placed[first:last]]

    def _read_group(self, group: list[Part]) -> dict[Part, bytes | Exception]:
        if len(group) > 1:
            try:
                return dict(zip(group, self._read_together(group), strict=True))
            except (NotFoundError, IntegrityError):
                pass  # of one of them: each is asked for by itself, and has an answer of its own
            except SealrunError as error:
                return dict.fromkeys(group, error)
        return {part: self._alone(part) for part in group}

    def _read_together(self, group: Sequence[Part]) -> list[bytes]:
        stored = [self._reader.stored(self.view, part.entry) for part in group]
        places = [(place.offset or 0) + part.offset for place, part in zip(stored, group, strict=True)]
        begin = places[0]
        end = max(place + part.length for place, part in zip(places, group, strict=True))
        body = self._store.read(stored[0].key, begin, end - begin)
        pieces = [body[at - begin : at - begin + part.length] for at, part in zip(places, group, strict=True)]
        for part, piece in zip(group, pieces, strict=True):
            self._check(part, piece)
        return pieces

    def _alone(self, part: Part) -> bytes | Exception:
        try:
            return self.read(part)
        except SealrunError as error:
            return error

    def _check(self, part: Part, piece: bytes) -> None:
        if part.whole:
            self._verify(part.entry, piece)
            if self._browser.cache is not None:
                self._browser.cache.keep(part.entry.sha256, piece)
        elif len(piece) != part.length:
            raise self._mismatch(part.entry)

    def _cached(self, entry: Entry, offset: int, length: int) -> bytes | None:
        cache = self._browser.cache
        return None if cache is None else cache.find(entry.sha256, entry.size, offset, length)

    def _fetch(self, part: Part) -> bytes:
        """Bytes from the registry, unverified, but as many as there should be."""
        stored = self._reader.stored(self.view, part.entry)
        try:
            body = self._bytes_of(stored, part)
        except NotFoundError as error:
            body = self._bytes_of(self._moved(part.entry, error), part)
        if len(body) != part.length:
            raise self._mismatch(part.entry)
        return body

    def _bytes_of(self, stored: Stored, part: Part) -> bytes:
        begin = (stored.offset or 0) + part.offset
        if part.length <= 2 * _PIECE or self._store.capabilities.links:
            return self._store.read(stored.key, begin, part.length) if part.length else b""
        starts = range(0, part.length, _PIECE)
        return b"".join(
            fan_through(
                lambda at: self._store.read(stored.key, begin + at, min(_PIECE, part.length - at)),
                starts,
                min(self._store.capabilities.parallel, _WIDTH),
            )
        )

    def _chunks_of(self, stored: Stored) -> Iterator[bytes | memoryview]:
        if stored.offset is None:
            return stream(self._store, stored.key, stored.size)
        return iter((self._store.read(stored.key, stored.offset, stored.size),))

    def _moved(self, entry: Entry, error: NotFoundError) -> Stored:
        """Where a file's bytes are now that they are not where they were."""
        before = self._reader.stored(self.view, entry)
        view = self._browser.renewed(self.view)
        stored = self._reader.stored(view, entry)
        if stored == before:
            how = f"find the extent with: sealrun verify {view.ref}"
            msg = f"{view.ref}:{entry.path}: its bytes are gone ({error}); {how}"
            raise IntegrityError(msg) from error
        self.view = view
        return stored

    def _verify(self, entry: Entry, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != entry.sha256:
            raise self._mismatch(entry)

    def _mismatch(self, entry: Entry) -> DigestMismatchError:
        return mismatch(self.view.ref, entry.path)


def mismatch(ref: str, path: str) -> DigestMismatchError:
    """Say that a file is damaged."""
    return DigestMismatchError(
        f"{ref}:{path}: stored bytes do not match the seal; find the extent with: sealrun verify {ref}"
    )


def _enlarged(part: Part) -> Part:
    """The whole file where it is small: then it can be verified."""
    return Part(part.entry, 0, part.entry.size) if part.entry.size <= WHOLE else part


def _cut(answer: bytes | Exception, part: Part) -> bytes | Exception:
    """What was asked for of what was read."""
    if isinstance(answer, bytes) and len(answer) != part.length:
        return answer[part.offset : part.offset + part.length]
    return answer
