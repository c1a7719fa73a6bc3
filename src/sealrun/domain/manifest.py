"""What a run consists of: its entries, the tree digest, MANIFEST.sha256 and ROOT_SHA256.

Three digests, each for one question:

- *tree digest*: do two folders hold the same files? It is what
  ``find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`` prints.
- *digest of manifest.json*: and the same links, empty folders and executable bits?
- *ROOT_SHA256*: is this run folder, records included, the one that was sealed?
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import ClassVar, Self

import msgspec

from sealrun.domain.address import Digest, parse_digest
from sealrun.domain.errors import IntegrityError, RunRejectedError, UnsupportedFormatError, UsageError
from sealrun.domain.links import links_problem
from sealrun.domain.records import FORMAT, JsonObject, Record, canonical_json_without_floats, sha256

MANIFEST_FILE = "manifest.json"
RUN_FILE = "run.json"
SUMS_FILE = "MANIFEST.sha256"
ARTIFACTS = "artifacts/"
_ROOT_PREFIX = "# ROOT_SHA256 "
_MAX_COMPONENT_BYTES = 255
_LINES_AT_ONCE = 4096
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
_UNESCAPES = {"\\": "\\", "n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\([\\nr])")
_TO_ESCAPE = re.compile(r"[\\\n\r]")
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._ =,+-]{0,254}(?:/(?!\Z)|\Z))+\Z")
"""Paths as nearly all are: one look instead of several, since a run may have a million."""


class Entry(msgspec.Struct, frozen=True, order=True, omit_defaults=True, gc=False):
    """One file of a run: its path (relative, ``/``), size in bytes, content, and that it is executable if it is."""

    path: str
    size: int
    sha256: Digest
    executable: bool = False


class Link(msgspec.Struct, frozen=True, order=True, gc=False):
    """A symbolic link that stays inside the run: where it is and, relative to its folder, what it says."""

    path: str
    target: str


def path_problem(path: str) -> str | None:
    """Say why `path` cannot be a path inside a run, or return None. Rejects everything that could lead outside."""
    if _PLAIN.match(path):
        return None
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if "\0" in path:
        return "the name holds a NUL character"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return f"the path has an empty, '.' or '..' component: {path!r}"
        if len(part.encode()) > _MAX_COMPONENT_BYTES:
            return f"a name is longer than {_MAX_COMPONENT_BYTES} bytes: {part[:40]!r}…"
    return None


class Manifest(Record, frozen=True, kw_only=True):
    """The content of a run. Everything is sorted by path; `directories` are the empty ones."""

    KIND: ClassVar[str] = "manifest"
    entries: tuple[Entry, ...]
    directories: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    tree_digest: Digest
    size: int

    @classmethod
    def build(cls, entries: Iterable[Entry], directories: Iterable[str] = (), links: Iterable[Link] = ()) -> Self:
        """Sort, check and digest the content of a run; raise `RunRejectedError` for what no run may hold."""
        ordered = tuple(sorted(entries))
        content = cls(
            entries=ordered,
            directories=tuple(sorted(directories)),
            links=tuple(sorted(links)),
            tree_digest=Digest(""),
            size=sum(entry.size for entry in ordered),
        )
        problem = content.problem()
        if problem:
            raise RunRejectedError(problem)
        return msgspec.structs.replace(content, tree_digest=tree_digest(ordered))

    def problem(self) -> str | None:
        """Say what makes this content impossible or unsafe to restore, or return None."""
        leaves = [entry.path for entry in self.entries] + [link.path for link in self.links] + list(self.directories)
        taken = set(leaves)
        if len(taken) != len(leaves):
            return "two entries have the same path"
        folders: set[str] = set()
        for path in leaves:
            parent = path.rpartition("/")[0]
            while parent and parent not in folders:
                folders.add(parent)
                parent = parent.rpartition("/")[0]
        both = taken & folders
        if both:
            return f"a path is both a leaf and a folder: {min(both)!r}"
        problems = (path_problem(path) for path in leaves)
        return next((found for found in problems if found), None) or links_problem(
            {link.path: link.target for link in self.links}
        )

    def encode(self) -> bytes:
        """Return the bytes of ``manifest.json``: a function of the content alone."""
        return canonical_json_without_floats(self.to_json())

    def to_json(self) -> JsonObject:
        """Return the record as it is written, with its entries and links as they are: they may be a million."""
        return {
            **self.extra,
            "format": FORMAT,
            "kind": self.KIND,
            "entries": self.entries,
            "directories": self.directories,
            "links": self.links,
            "tree_digest": self.tree_digest,
            "size": self.size,
        }

    def checked(self, where: str) -> Self:
        """Refuse content that is unsafe or contradicts its own digests."""
        problem = self.problem()
        if problem:
            msg = f"{where}: {problem}"
            raise IntegrityError(msg)
        for entry in self.entries:
            try:
                parse_digest(entry.sha256)
            except UsageError as error:
                msg = f"{where}: {entry.path!r}: {error}"
                raise UnsupportedFormatError(msg) from error
        if tuple(sorted(self.entries)) != self.entries or tree_digest(self.entries) != self.tree_digest:
            msg = f"{where}: the tree digest does not match the entries"
            raise IntegrityError(msg)
        sizes = [entry.size for entry in self.entries]
        if sum(sizes) != self.size or min(sizes, default=0) < 0:
            msg = f"{where}: the size does not match the entries"
            raise IntegrityError(msg)
        return self

    def digests(self) -> dict[Digest, int]:
        """Every distinct content of the run with its size in bytes."""
        return {entry.sha256: entry.size for entry in self.entries}


def sum_line(digest: str, path: str) -> str:
    r"""One line as ``sha256sum`` prints it: names with a backslash, newline or return are escaped and marked by ``\``.

    Source of the rule: GNU coreutils manual, "md5sum invocation"; checked against coreutils 9.1.
    """
    if _TO_ESCAPE.search(path) is None:
        return f"{digest}  {path}\n"
    return f"\\{digest}  {path.translate(_ESCAPES)}\n"


def tree_digest(entries: Iterable[Entry]) -> Digest:
    """Content identity of a sorted set of entries. Times, links, empty folders and modes do not enter it."""
    hasher = hashlib.sha256()
    for chunk in _sum_lines((entry.sha256, f"./{entry.path}") for entry in entries):
        hasher.update(chunk)
    return Digest(hasher.hexdigest())


def _sum_lines(sums: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """Lines as ``sha256sum`` prints them, some thousands at once: all of them may be more than fits."""
    rest = iter(sums)
    while chunk := "".join([sum_line(digest, path) for digest, path in islice(rest, _LINES_AT_ONCE)]):
        yield chunk.encode()


class Sums(msgspec.Struct, frozen=True):
    """MANIFEST.sha256: one digest per file of a run folder, and the ROOT_SHA256 of those lines. `body` is the file."""

    body: bytes
    root: Digest

    @property
    def lines(self) -> Mapping[str, Digest]:
        """Digests by the path inside the run folder, read out of the file."""
        return _parse_lines(self.body.rpartition(_ROOT_PREFIX.encode())[0])

    @classmethod
    def build(cls, run_json: bytes, manifest_json: bytes, manifest: Manifest) -> Self:
        """Compute the sums of a run folder from its two records and its entries."""
        entries = ((entry.sha256, ARTIFACTS + entry.path) for entry in manifest.entries)
        # Entries are sorted, and both records come after them.
        records = (sha256(manifest_json), MANIFEST_FILE), (sha256(run_json), RUN_FILE)
        body, hasher = io.BytesIO(), hashlib.sha256()
        for lines in _sum_lines(chain(entries, records)):
            body.write(lines)
            hasher.update(lines)
        root = Digest(hasher.hexdigest())
        body.write(f"{_ROOT_PREFIX}{root}\n".encode())
        return cls(body.getvalue(), root)

    def encode(self) -> bytes:
        """Return the file; ``sha256sum -c`` takes it as it is, since the last line is a comment to it."""
        return self.body

    @classmethod
    def decode(cls, body: bytes, where: str) -> Self:
        """Read the file and check that ROOT_SHA256 is that of its lines, or raise `IntegrityError`."""
        head, mark, tail = body.rpartition(_ROOT_PREFIX.encode())
        if not mark or (head and not head.endswith(b"\n")):
            msg = f"{where}: has no ROOT_SHA256 line"
            raise IntegrityError(msg)
        root = sha256(head)
        if tail != f"{root}\n".encode():
            msg = f"{where}: ROOT_SHA256 does not match the lines above it"
            raise IntegrityError(msg)
        try:
            _parse_lines(head)
        except (ValueError, UsageError) as error:
            msg = f"{where}: {error}"
            raise UnsupportedFormatError(msg) from error
        return cls(body, root)


def _parse_lines(text: bytes) -> dict[str, Digest]:
    return dict(parse_sum_line(line) for line in text.decode().split("\n")[:-1])


def parse_sum_line(line: str) -> tuple[str, Digest]:
    """Read one line of ``sha256sum``, text (two spaces) or binary (space, star): path and digest, or `ValueError`."""
    escaped = line.startswith("\\")
    digest, gap, name = line[escaped:].partition(" ")
    if not gap or name[:1] not in {" ", "*"} or not name[1:]:
        msg = f"not a line of sha256sum: {line!r}"
        raise ValueError(msg)
    name = name[1:]
    if escaped:
        name = _ESCAPED.sub(lambda match: _UNESCAPES.get(match[1], match[0]), name)
    return name, parse_digest(digest)
