"""What one daemon shows of the runs in its registries. Times, sizes and None as in `sealrun.domain.oversight.board`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

FileKind = Literal["picture", "table", "text", "other"]


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a list. `name` is its folder's; `pointers` stand on it now."""

    registry: str
    experiment: str
    run_id: str
    ref: str
    name: str
    status: str
    finished_at: str
    size: int
    files: int
    root_sha256: str
    tags: Sequence[str] = ()
    pointers: Sequence[str] = ()


class RunQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs: of one `experiment` or all, of a `status`, with `search` in the id, name, tag or experiment.

    Newest first; `page` counts from 1.
    """

    registry: str
    experiment: str | None = None
    status: str | None = None
    tag: str | None = None
    search: str | None = None
    page: int = 1
    size: int = 50


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list, and what can be chosen from.

    `problem`: the registry does not answer, and why; the rows are those that it was last seen to have.
    """

    rows: Sequence[RunRow]
    total: int
    page: int
    size: int
    experiments: Sequence[str]
    statuses: Sequence[str]
    problem: str | None = None


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a run. `kind` tells what a preview would be; `types` are its declared artifact types."""

    path: str
    size: int
    sha256: str
    kind: FileKind
    where: str
    types: Sequence[str] = ()


class FilePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a run's files."""

    rows: Sequence[FileRow]
    total: int
    page: int
    size: int


class Opened(NamedTuple):
    """One file of a run. The caller closes `body`.

    Nothing of a file of up to 1 MiB is read that does not match the seal. Of a larger one the last piece comes only if
    all of it matches, else `DigestMismatchError`: whoever passes the bytes on then breaks off.
    """

    name: str
    size: int
    sha256: str
    body: BinaryIO


class TablePreview(msgspec.Struct, frozen=True, kw_only=True):
    """The first rows of a CSV, TSV, JSON Lines or Parquet file, as text. `rows_total` None: not counted.

    Not `verified`: the file is large, and its beginning was not compared with the seal.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    rows_total: int | None
    truncated: bool
    verified: bool = True


class TextPreview(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a file that is text; bytes that are not UTF-8 are shown as U+FFFD. `verified`: as above."""

    text: str
    truncated: bool
    verified: bool = True


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that may be shown inline: its bytes say that it is one of `image/png`, `jpeg`, `gif` or `webp`."""

    media_type: str
    body: bytes


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the run's own checks."""

    name: str
    passed: bool
    detail: str = ""


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbour in the lineage, with `ref` where it is a run that is here. `kind` is such as input or derived."""

    kind: str
    label: str
    ref: str | None = None


class RunPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run's bytes are: in which registry, how many objects lie loose, how many in packs."""

    registry: str
    url: str
    attempt: str | None
    objects: int | None
    packed: int | None
    state: str


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A line to copy into a shell, and what it does."""

    what: str
    line: str


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run but its files.

    `downstream` are those of the runs that were looked through (`searched` of `searchable`), more at every call.
    """

    row: RunRow
    envelope: Mapping[str, Any]
    checks: Sequence[CheckRow]
    upstream: Sequence[Relation]
    downstream: Sequence[Relation]
    places: Sequence[RunPlace]
    commands: Sequence[Command]
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    searched: int
    searchable: int
    called: str | None = None
