"""A sealed run's records: read, checked against ROOT_SHA256 and decoded, without holding more than is asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, MutableMapping

import msgspec

from sealrun.domain.address import Digest, Key, refs_key, run_key
from sealrun.domain.errors import DigestMismatchError, IntegrityError, NotFoundError
from sealrun.domain.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE, Entry, Manifest, Sums
from sealrun.domain.pieces import Body, pieces_of
from sealrun.domain.pointing import Target
from sealrun.domain.publication import Refs, Stored
from sealrun.domain.records import sha256
from sealrun.domain.run import Envelope
from sealrun.ports import Store
from sealrun.services.storage.bodies import read_body
from sealrun.services.threads.fanning import fan_out

_REFS = "refs"
_ROOT = b"# ROOT_SHA256 "
_ROOT_LINE = len(_ROOT) + 65
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
        if entry is not None:
            return entry
        msg = f"{self.ref} holds no file {path!r}; list its files with: sealrun show {self.ref}"
        raise NotFoundError(msg)


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

    def listed(self) -> Mapping[str, Digest]:
        """Read the other records' digests out of MANIFEST.sha256, whose own is the ROOT_SHA256 that was sealed."""
        where, body = self.keys[SUMS_FILE], self.take(SUMS_FILE)
        head = _Head(body)
        if head.tail != _ROOT + f"{head.root}\n".encode():
            msg = f"{where}: has no ROOT_SHA256 line that matches the lines above it"
            raise IntegrityError(msg)
        if head.root != self._target.root_sha256:
            msg = f"{where}: ROOT_SHA256 is {head.root}, but the attempt sealed {self._target.root_sha256}"
            raise IntegrityError(msg)
        return head.records

    def checked(self, name: str, listed: Mapping[str, Digest]) -> Body:
        """Return a record whose digest is the one that is listed."""
        body = self.take(name)
        if listed.get(name) != sha256(body):
            msg = f"{self.keys[name]}: its bytes are not those in {SUMS_FILE}"
            raise DigestMismatchError(msg)
        return body


class _Head:
    """MANIFEST.sha256 gone through once: the digest of all lines but the last, that one, what they say of records."""

    def __init__(self, body: Body) -> None:
        hasher, rest = hashlib.sha256(), b""
        self.records: dict[str, Digest] = {}
        for piece in pieces_of(body):
            rest += piece
            end = rest.rfind(b"\n", 0, max(0, len(rest) - _ROOT_LINE)) + 1  # whole lines, and never the last one
            hasher.update(rest[:end])
            self._note(rest[:end])
            rest = rest[end:]
        above, self.tail = rest[:-_ROOT_LINE], rest[-_ROOT_LINE:]
        hasher.update(above)
        self._note(above)
        self.root = Digest(hasher.hexdigest())

    def _note(self, lines: bytes) -> None:
        self.records.update({found[2].decode(): Digest(found[1].decode()) for found in _RECORD_LINE.finditer(lines)})
