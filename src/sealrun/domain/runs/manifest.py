"""What a run consists of: its entries, the tree digest, MANIFEST.sha256 and ROOT_SHA256.

Three digests, each for one question:

- *tree digest*: do two folders hold the same files? It is what
  ``find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`` prints.
- *digest of manifest.json*: and the same links, empty folders and executable bits?
- *ROOT_SHA256*: is this run folder, records included, the one that was sealed?
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import ClassVar, Self

import msgspec

from sealrun.domain.address import Digest, parse_digest
from sealrun.domain.errors import IntegrityError, RunRejectedError, UnsupportedFormatError, UsageError
from sealrun.domain.paths import are_plain, path_problem
from sealrun.domain.pieces import Body, Pieces
from sealrun.domain.records import FORMAT, UNREADABLE, JsonObject, Record, canonical_json_without_floats, sha256
from sealrun.domain.runs.contents import FEW, Contents
from sealrun.domain.runs.entries import (
    Entries,
    Entry,
    add_parents,
    ascend,
    check_digests,
    columns_of,
    in_columns,
    sizes_of,
)
from sealrun.domain.runs.entry_records import Apart, cut, written
from sealrun.domain.runs.links import links_problem

__all__ = ["Entry", "Link", "Manifest", "Sums", "parse_sum_line", "sum_line", "tree_digest"]

MANIFEST_FILE = "manifest.json"
RUN_FILE = "run.json"
SUMS_FILE = "MANIFEST.sha256"
ARTIFACTS = "artifacts/"
_ROOT_PREFIX = "# ROOT_SHA256 "
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
_UNESCAPES = {"\\": "\\", "n": "\n", "r": "\r"}
_ESCAPED = re.compile(r"\\([\\nr])")
_TO_ESCAPE = re.compile(r"[\\\n\r]")


class Link(msgspec.Struct, frozen=True, order=True, gc=False):
    """A symbolic link that stays inside the run: where it is and, relative to its folder, what it says."""

    path: str
    target: str


class Manifest(Record, frozen=True, kw_only=True):
    """The content of a run. Everything is sorted by path; `directories` are the empty ones.

    Entries are kept in columns (`runs.entries`), and the record is made and read some at a time: there may be many.
    """

    KIND: ClassVar[str] = "manifest"
    entries: Sequence[Entry]
    directories: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    tree_digest: Digest
    size: int

    @classmethod
    def build(cls, entries: Iterable[Entry], directories: Iterable[str] = (), links: Iterable[Link] = ()) -> Self:
        """Sort, check and digest the content of a run; raise `RunRejectedError` for what no run may hold."""
        ordered = entries if isinstance(entries, Entries) and ascend(entries) else in_columns(sorted(entries))
        content = cls(
            entries=ordered,
            directories=tuple(sorted(directories)),
            links=tuple(sorted(links)),
            tree_digest=Digest(""),
            size=sum(map(sum, sizes_of(ordered))),
        )
        problem = content.problem()
        if problem:
            raise RunRejectedError(problem)
        return msgspec.structs.replace(content, tree_digest=tree_digest(ordered))

    def problem(self) -> str | None:
        """Say what makes this content impossible or unsafe to restore, or return None."""
        others = [*(link.path for link in self.links), *self.directories]
        if self._repeats(set(others), len(others)):
            return "two entries have the same path"
        folders: set[str] = set()
        problem = None
        for paths in self._leaves():
            add_parents(folders, paths)
            problem = problem or (None if are_plain(paths) else next(filter(None, map(path_problem, paths)), None))
        both = [path for paths in self._leaves() for path in folders.intersection(paths)] if folders else []
        if both:
            return f"a path is both a leaf and a folder: {min(both)!r}"
        return problem or links_problem({link.path: link.target for link in self.links})

    def _repeats(self, others: set[str], count: int) -> bool:
        """Tell whether a path is there twice; `others` are those of the `count` leaves that are no files."""
        if not ascend(self.entries):
            taken = {entry.path for entry in self.entries} | others
            return len(taken) != len(self.entries) + count
        if len(others) != count:
            return True
        return bool(others) and any(not others.isdisjoint(names) for names, _ in columns_of(self.entries))

    def _leaves(self) -> Iterator[list[str]]:
        """Every path, some at a time."""
        for names, _ in columns_of(self.entries):
            yield names
        yield [link.path for link in self.links]
        yield list(self.directories)

    def encode(self) -> bytes:
        """Return the bytes of ``manifest.json``: a function of the content alone."""
        return bytes(Pieces(self.pieces))

    def body(self) -> Body:
        """Return the same bytes, made when they are needed if there are many."""
        return Pieces(self.pieces) if len(self.entries) > FEW else self.encode()

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of ``manifest.json``, those of some entries at a time."""
        return written(canonical_json_without_floats({**self.to_json(), "entries": ()}), self.entries)

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
        entries = in_columns(self.entries)
        if not isinstance(entries, Entries):
            check_digests(entries, where)
        if not ascend(entries) or tree_digest(entries) != self.tree_digest:
            msg = f"{where}: the tree digest does not match the entries"
            raise IntegrityError(msg)
        if sum(map(sum, sizes_of(entries))) != self.size or min(map(min, sizes_of(entries)), default=0) < 0:
            msg = f"{where}: the size does not match the entries"
            raise IntegrityError(msg)
        return msgspec.structs.replace(self, entries=entries)

    @classmethod
    def read(cls, body: Body, where: str) -> Self:
        """Do the same as `decode`; of a long record, some entries are in memory at a time."""
        found = None if isinstance(body, bytes) else cls._apart(body)
        return cls.decode(bytes(body), where) if found is None else found.checked(where)

    @classmethod
    def _at_once(cls, body: bytes) -> Self | None:
        """Build from bytes without unknown fields; see the base. As it is written, some entries at a time."""
        return cls._apart(cut(body)) or super()._at_once(body)

    @classmethod
    def _apart(cls, pieces: Iterable[bytes]) -> Self | None:
        """Do so; None if it is not as it is written: then it is looked at as a whole."""
        apart = Apart(pieces)
        try:
            entries = in_columns(apart.entries())
            frame = super()._at_once(apart.frame())
        except UNREADABLE:
            return None
        return None if frame is None or frame.entries else msgspec.structs.replace(frame, entries=entries)

    def digests(self) -> Contents:
        """Every distinct content of the run with its size in bytes."""
        return Contents(self.entries)

    def find(self, path: str) -> Entry | None:
        """Return the entry at `path`, or None."""
        if isinstance(self.entries, Entries):
            return self.entries.find(path)
        return next((entry for entry in self.entries if entry.path == path), None)


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
    for lines in _sum_lines(columns_of(entries), "./"):
        hasher.update(lines)
    return Digest(hasher.hexdigest())


def _sum_lines(columns: Iterable[tuple[Sequence[str], Sequence[str]]], prefix: str) -> Iterator[bytes]:
    """Lines as ``sha256sum`` prints them, of paths and digests, some at once: all of them may be more than fits."""
    for paths, digests in columns:
        if _TO_ESCAPE.search("".join(paths)) is None:
            lines = "".join([f"{digest}  {prefix}{path}\n" for path, digest in zip(paths, digests, strict=True)])
        else:
            lines = "".join([sum_line(digest, prefix + path) for path, digest in zip(paths, digests, strict=True)])
        yield lines.encode()


class Sums(msgspec.Struct, frozen=True):
    """MANIFEST.sha256: one digest per file of a run folder, and the ROOT_SHA256 of those lines. `body` is the file."""

    body: Body
    root: Digest

    @property
    def lines(self) -> Mapping[str, Digest]:
        """Digests by the path inside the run folder, read out of the file."""
        return _parse_lines(bytes(self.body).rpartition(_ROOT_PREFIX.encode())[0])

    @classmethod
    def build(cls, run_json: bytes, manifest_json: Body, manifest: Manifest) -> Self:
        """Compute the sums of a run folder from its two records and its entries."""
        # Entries are sorted, and both records come after them.
        records = (MANIFEST_FILE, RUN_FILE), (sha256(manifest_json), sha256(run_json))

        def lines() -> Iterator[bytes]:
            return chain(_sum_lines(columns_of(manifest.entries), ARTIFACTS), _sum_lines([records], ""))

        if len(manifest.entries) <= FEW:
            head = b"".join(lines())
            root = sha256(head)
            return cls(head + _root_line(root), root)
        root = sha256(Pieces(lines))
        return cls(Pieces(lambda: chain(lines(), [_root_line(root)])), root)

    def encode(self) -> bytes:
        """Return the file; ``sha256sum -c`` takes it as it is, since the last line is a comment to it."""
        return bytes(self.body)

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


def _root_line(root: Digest) -> bytes:
    return f"{_ROOT_PREFIX}{root}\n".encode()


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
