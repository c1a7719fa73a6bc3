"""Printing: aligned text for people, JSON for programs, progress on a terminal only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.reports import PublishReport

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_KIBI = 1024
_REFRESH_S = 0.2
_TOGETHER = 500
_BETWEEN = "\x1f"
"""In no cell: it would be escaped."""


def print_json(value: object) -> None:
    """Print one JSON value on one line; what is a `long_json.Many` in it, as it is made."""
    from sealrun.domain.long_json import line_pieces  # noqa: PLC0415 - --help needs nothing of it

    for piece in line_pieces(value):
        click.echo(piece.decode("ascii"), nl=False)


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> int:
    """Print rows as JSON Lines with every field, one at a time, or as a table of `columns`; return how many."""
    if as_json:
        count = 0
        for row in rows:
            print_json(row)
            count += 1
        return count
    return _print_table(rows, columns)


def _print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> int:
    """Print a table. How wide its columns are tells the last row: until then, of very many, most wait on a shelf."""
    from sealrun.domain.grouping import in_groups  # noqa: PLC0415 - --help needs nothing of it
    from sealrun.domain.shelves import Pile  # noqa: PLC0415 - as above

    waiting, widths, count = Pile(), [len(column) for column in columns], 0
    for group in in_groups(rows, _TOGETHER):
        table = [[_plain(row.get(column)) for column in columns] for row in group]
        widths = [max(width, *map(len, cells)) for width, cells in zip(widths, zip(*table, strict=True), strict=True)]
        waiting.add("\n".join(map(_BETWEEN.join, table)).encode())
        count += len(table)
    if count:
        _print_line(columns, widths)
    for piece in waiting:
        for line in piece.decode().split("\n"):
            _print_line(line.split(_BETWEEN), widths)
    return count


def _print_line(cells: Sequence[str], widths: Sequence[int]) -> None:
    click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def human_size(size: float) -> str:
    """Write bytes as people read them."""
    for unit in _UNITS:
        if size < _KIBI or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIBI
    raise AssertionError


def printable(text: str) -> str:
    """Return `text` with everything that could confuse a terminal escaped: names come from outside."""
    return text if text.isprintable() else ascii(text)[1:-1]


def printable_lines(text: str) -> str:
    """Return `text` likewise, its lines kept; all but the first are indented, so none passes for another message."""
    first, *more = (printable(line) for line in text.split("\n"))
    return "\n".join([first, *(line if line.startswith(" ") else f"   {line}" for line in more)])


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show bytes done on a terminal's stderr; anywhere else, nothing. The callable may be called from any thread."""
    if quiet or not sys.stderr.isatty():
        yield lambda _size: None
        return
    lock, done, shown = threading.Lock(), [0], [0.0]

    def advance(size: int) -> None:
        with lock:
            done[0] += size
            if time.monotonic() - shown[0] > _REFRESH_S:
                shown[0] = time.monotonic()
                click.echo(f"\r{label}: {human_size(done[0])}\x1b[K", err=True, nl=False)

    try:
        yield advance
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def waiting(label: str, *, quiet: bool) -> Iterator[None]:
    """Show on a terminal's stderr what is waited for, and for how long; anywhere else, nothing."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    began, over = time.monotonic(), threading.Event()

    def show() -> None:
        click.echo(f"\r{label} …\x1b[K", err=True, nl=False)
        while not over.wait(1.0):
            click.echo(f"\r{label} … {time.monotonic() - began:.0f} s\x1b[K", err=True, nl=False)

    showing = threading.Thread(target=show, name="sealrun-waiting", daemon=True)
    showing.start()
    try:
        yield
    finally:
        over.set()
        showing.join()
        click.echo("\r\x1b[K", err=True, nl=False)


def _plain(value: object) -> str:
    return "" if value is None else printable(str(value))


def published_json(run: PublishReport) -> dict[str, Any]:
    """What became of a run, for programs."""
    return {
        "ref": run.ref,
        "experiment": run.experiment,
        "run_id": run.run_id,
        "root_sha256": run.root_sha256,
        "files": run.files,
        "size": run.size,
        "registries": {
            done.registry: {"error": str(done.error)} if done.published is None else msgspec.to_builtins(done.published)
            for done in run.deliveries
        },
    }
