"""A sealed run's records: read, checked against ROOT_SHA256 and decoded, without holding more than is asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping

import msgspec

from sealrun.domain.address import Digest, Key, refs_key, run_key
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError
from sealrun.domain.pieces import Body, pieces_of
from sealrun.domain.records import sha256
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Refs, Stored
from sealrun.domain.runs.manifest import ARTIFACTS, MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry, Manifest, Sums, sum_line
from sealrun.domain.runs.run import Envelope
from sealrun.ports import Store
from sealrun.services.storage.bodies import read_body
from sealrun.services.threads.fanning import fan_out

_REFS = "refs"
_ROOT = b"# ROOT_SHA256 "
_ROOT_LINE = len(_ROOT) + 65
_DIGEST = re.compile(rb"[0-9a-f]{64}")
_RECORD_LINE = re.compile(rb"^([0-9a-f]{64}) [ *](run\.json|manifest\.json)$", re.MULTILINE)


class RunFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a sealed run and where their bytes are. The records that say so were checked against ROOT_SHA256.

    `path` is the one file that the reference named, if it named one.
    """

    target: Target
    envelope: Envelope
    manifest: Manifest
    objects: Mapping[Digest, Stored]
    path: str | None = None

    @property
    def ref(self) -> str:
        """The run's own reference."""
        return f"{self.target.experiment}/{self.target.run_id}"

    def entry(self, path: str) -> Entry:
        """Return the entry at `path`, or raise `NotFoundError`."""
        entry = self.manifest.find(path)
        if entry is None:
            raise no_such_file(self.ref, path)
        return entry


class RunView(RunFiles, frozen=True, kw_only=True):
    """The same with the records as they are stored: of a run with very many files, as much memory again."""

    run_json: bytes
    manifest_json: Body
    sums_file: Body

    def without_records(self) -> RunFiles:
        """Return the same without what the records were read from."""
        return RunFiles(**{name: getattr(self, name) for name in RunFiles.__struct_fields__})

    @property
    def sums(self) -> Sums:
        """MANIFEST.sha256, decoded anew each time."""
        return Sums.decode(bytes(self.sums_file), SUMS_FILE)


class OneFile(msgspec.Struct, frozen=True):
    """One file of a sealed run: its digest, which ROOT_SHA256 covers, and where its bytes are."""

    ref: str
    path: str
    sha256: Digest
    stored: Stored


def load_one(store: Store, target: Target, path: str) -> OneFile:
    """Read of the records what one file's bytes take: MANIFEST.sha256 and refs. Its executable bit stays unknown.

    `NotFoundError`: the run holds no such file. `IntegrityError` as for `load_files`.
    """
    records = _Records(store, target, None, (SUMS_FILE, _REFS))
    ref = f"{target.experiment}/{target.run_id}"
    found: list[Digest] = []
    records.go_through(lambda lines: found.extend(_digests_of(lines, ARTIFACTS + path)))
    if not found:
        raise no_such_file(ref, path)
    digest = found[0]
    stored = Refs.read(records.take(_REFS), records.keys[_REFS]).objects.get(digest)
    if stored is None:
        raise nowhere(ref, path, target)
    return OneFile(ref, path, digest, stored)


def no_such_file(ref: str, path: str) -> NotFoundError:
    """Return the error for a path that a run does not hold."""
    return NotFoundError(f"{ref} holds no file {path!r}; list its files with: sealrun show {ref}")


def nowhere(ref: str, path: str, target: Target) -> IntegrityError:
    """Return the error for a file that the attempt's refs leave out."""
    return IntegrityError(f"{ref}:{path}: {refs_key(target.attempt)} does not say where its bytes are")


def load_files(store: Store, target: Target, kept: MutableMapping[str, Body] | None = None) -> RunFiles:
    """Read and check the records of a run; `IntegrityError` if they contradict its ROOT_SHA256 or each other.

    Each is let go once it is decoded, or put into `kept` by its name.
    """
    records = _Records(store, target, kept)
    listed = records.listed()
    envelope = Envelope.decode(bytes(records.checked(RUN_FILE, listed)), records.keys[RUN_FILE])
    manifest = Manifest.read(records.checked(MANIFEST_FILE, listed), records.keys[MANIFEST_FILE])
    objects = Refs.read(records.take(_REFS), records.keys[_REFS]).objects
    return RunFiles(target=target, envelope=envelope, manifest=manifest, objects=objects, path=target.path)


def load_view(store: Store, target: Target) -> RunView:
    """Do the same and keep everything."""
    kept: dict[str, Body] = {}
    files = load_files(store, target, kept)
    known = {name: getattr(files, name) for name in RunFiles.__struct_fields__}
    return RunView(
        **known, run_json=bytes(kept[RUN_FILE]), manifest_json=kept[MANIFEST_FILE], sums_file=kept[SUMS_FILE]
    )


def read_records(store: Store, target: Target) -> Mapping[str, Body]:
    """Return run.json, manifest.json and MANIFEST.sha256 as they are stored, checked against ROOT_SHA256."""
    kept: dict[str, Body] = {}
    records = _Records(store, target, kept, (SUMS_FILE, RUN_FILE, MANIFEST_FILE))
    listed = records.listed()
    for name in (RUN_FILE, MANIFEST_FILE):
        records.checked(name, listed)
    return kept


class _Records:
    """Records by their names: asked for all at once where an answer takes long, each when it is needed where not."""

    def __init__(
        self,
        store: Store,
        target: Target,
        kept: MutableMapping[str, Body] | None,
        names: tuple[str, ...] = (SUMS_FILE, RUN_FILE, MANIFEST_FILE, _REFS),
    ) -> None:
        self.keys: dict[str, Key] = {
            name: refs_key(target.attempt) if name == _REFS else run_key(target.experiment, target.run_id, name)
            for name in names
        }
        self._store = store
        self._target = target
        self._kept = kept
        self._read: dict[str, Body] = {}
        if not store.capabilities.links:
            bodies = fan_out(lambda key: read_body(store, key), self.keys.values(), store.capabilities.parallel)
            self._read = dict(zip(self.keys, bodies, strict=True))

    def take(self, name: str) -> Body:
        """Return a record and forget it."""
        body = self._read.pop(name) if name in self._read else read_body(self._store, self.keys[name])
        if self._kept is not None:
            self._kept[name] = body
        return body

    def go_through(self, note: Callable[[bytes], object]) -> None:
        """Give `note` the lines of MANIFEST.sha256, some at a time; their digest is the ROOT_SHA256 that was sealed.

        If it turns out not to be, that is raised at the end.
        """
        where, body = self.keys[SUMS_FILE], self.take(SUMS_FILE)
        root, end = _root_and_end(body, note)
        if end != _ROOT + f"{root}\n".encode():
            msg = f"{where}: has no ROOT_SHA256 line that matches the lines above it"
            raise IntegrityError(msg)
        if root != self._target.root_sha256:
            msg = f"{where}: ROOT_SHA256 is {root}, but the attempt sealed {self._target.root_sha256}"
            raise IntegrityError(msg)

    def listed(self) -> Mapping[str, Digest]:
        """Read the other records' digests out of it."""
        listed: dict[str, Digest] = {}

        def note(lines: bytes) -> None:
            for name in (RUN_FILE, MANIFEST_FILE):
                digest = next(_digests_of(lines, name), None)
                if digest is not None:
                    listed[name] = digest
                elif name.encode() in lines:  # perhaps written another way, which takes a look at every line
                    listed.update({each[2].decode(): Digest(each[1].decode()) for each in _RECORD_LINE.finditer(lines)})

        self.go_through(note)
        return listed

    def checked(self, name: str, listed: Mapping[str, Digest]) -> Body:
        """Return a record whose digest is the one that is listed."""
        body = self.take(name)
        if listed.get(name) != sha256(body):
            msg = f"{self.keys[name]}: its bytes are not those in {SUMS_FILE}"
            raise DigestMismatchError(msg)
        return body


def _root_and_end(body: Body, note: Callable[[bytes], object]) -> tuple[Digest, bytes]:
    """Go through MANIFEST.sha256 once: return the digest of all lines but the last, which `note` gets, and that one."""
    hasher, rest = hashlib.sha256(), b""
    for piece in pieces_of(body):
        rest += piece
        end = rest.rfind(b"\n", 0, max(0, len(rest) - _ROOT_LINE)) + 1  # whole lines, and never the last one
        hasher.update(rest[:end])
        note(rest[:end])
        rest = rest[end:]
    above, end_line = rest[:-_ROOT_LINE], rest[-_ROOT_LINE:]
    hasher.update(above)
    note(above)
    return Digest(hasher.hexdigest()), end_line


def _digests_of(lines: bytes, path: str) -> Iterator[Digest]:
    """Yield the digest of the file at `path` in a run folder out of some lines of MANIFEST.sha256, if it is there."""
    line = sum_line("", path).encode()
    mark, rest = (b"\\", line[1:]) if line.startswith(b"\\") else (b"", line)
    at = lines.find(rest)
    while at >= 0:  # what is found may be the end of a longer name
        digest = _DIGEST.fullmatch(lines[lines.rfind(b"\n", 0, at) + 1 : at].removeprefix(mark))
        if digest is not None:
            yield Digest(digest[0].decode())
        at = lines.find(rest, at + 1)
