"""What can be shown of a file: pictures told by their first bytes, tables and text from the beginning of the file.

Everything in here is foreign: names, bytes and what they claim to be. Nothing is believed of a picture but its first
bytes, and SVG and HTML are text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import FileKind, TablePreview, TextPreview

TABLE_BYTES = 1 << 20
TEXT_BYTES = 1 << 16
MOST_ROWS = 200
MOST_COLUMNS = 100
MOST_TEXT = 500
"""Characters of one cell."""

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
_TEXTS = (
    *(
        ".txt",
        ".md",
        ".rst",
        ".log",
        ".json",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
        ".conf",
        ".out",
        ".err",
        ".dat",
    ),
    *(".py", ".r", ".jl", ".sh", ".sql", ".js", ".css", ".html", ".htm", ".xml", ".svg", ".tex", ".sha256"),
)
_TEXT_NAMES = {"log", "readme", "license", "makefile", "dockerfile", "_success"}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def kind_of(path: str, *, parquet: bool = False) -> FileKind:
    """Tell by a file's name what a preview of it would be."""
    name = path.rpartition("/")[2].lower()
    if name.endswith(_PICTURES):
        return "picture"
    if name.endswith((*_SEPARATORS, *_LINES)) or (parquet and name.endswith(PARQUET)):
        return "table"
    return "text" if name.endswith(_TEXTS) or name in _TEXT_NAMES else "other"


def picture_type(body: bytes) -> str | None:
    """Return the media type of a picture that a browser may be given, by its first bytes; None for anything else."""
    for magic, media_type in _MAGIC:
        if body.startswith(magic):
            return media_type
    return "image/webp" if body[:4] == b"RIFF" and body[8:12] == b"WEBP" else None


def text_of(body: bytes, *, truncated: bool) -> TextPreview:
    """Show the beginning of a text. `UsageError` for what is none: it holds a NUL byte."""
    if b"\0" in body:
        msg = "not a text: it holds NUL bytes"
        raise UsageError(msg)
    shown = body[:TEXT_BYTES]
    return TextPreview(text=shown.decode("utf-8", "replace"), truncated=truncated or len(shown) < len(body))


def table_of(path: str, body: bytes, *, truncated: bool) -> TablePreview:
    """Show the first rows of a table; `body` is the file, or with `truncated` its beginning.

    `UsageError` for a file that is no table by its name, or cannot be read as one.
    """
    name = path.lower()
    separator = next((mark for suffix, mark in _SEPARATORS.items() if name.endswith(suffix)), None)
    if separator is None and not name.endswith(_LINES):
        msg = f"{path!r} is no table that can be shown (CSV, TSV, JSON Lines, Parquet)"
        raise UsageError(msg)
    text = body.decode("utf-8-sig", "replace")
    if truncated:
        text = text.rpartition("\n")[0]  # the last line may be half of one
    try:
        columns, rows, more = _of_lines(text) if separator is None else _separated(text, separator)
    except (ValueError, RecursionError, csv.Error) as error:
        msg = f"{path!r} cannot be read as a table ({error})"
        raise UsageError(msg) from error
    return shown_table(columns, rows, more=more, truncated=truncated)


def shown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, more: int | None, truncated: bool
) -> TablePreview:
    """Cut a table to what is shown. `more` rows are there besides, as far as was looked."""
    width = min(MOST_COLUMNS, max([len(columns), *map(len, rows)], default=0))
    names = [*columns, *(f"column {number}" for number in range(len(columns) + 1, width + 1))]
    cut = bool(more) or width < max([len(columns), *map(len, rows)], default=0)
    return TablePreview(
        columns=[_cell(name) for name in names[:width]],
        rows=[[_cell(row[at]) if at < len(row) else "" for at in range(width)] for row in rows],
        rows_total=None if truncated or more is None else len(rows) + more,
        truncated=truncated or cut,
    )


def _separated(text: str, separator: str) -> tuple[list[str], list[list[str]], int]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    columns = next(lines, [])
    rows = list(islice(lines, MOST_ROWS))
    return columns, rows, sum(1 for _ in lines)


def _of_lines(text: str) -> tuple[list[str], list[list[str]], int]:
    """Every line is a JSON value; the names of objects make columns, in the order in which they are met."""
    found = list(islice(_values(text), MOST_ROWS))
    names = dict.fromkeys(name for value in found for name in value)
    columns = list(islice(names, MOST_COLUMNS + 1))  # one more shows that some are left out
    rows = [[_said(value[name]) if name in value else "" for name in columns] for value in found]
    return columns, rows, sum(1 for line in text.split("\n") if line.strip()) - len(found)


def _values(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if line.strip():
            value = json.loads(line)
            yield value if isinstance(value, dict) else {"value": value}


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    """A cell as JSON and HTML can hold it, and not longer than anybody reads."""
    kept = text[:MOST_TEXT].encode("utf-8", "replace").decode()
    return kept if len(text) <= MOST_TEXT else f"{kept}…"
