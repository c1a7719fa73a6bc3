"""Commands that look at several runs: ls and diff."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, print_rows, printable
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.curation.comparing import Comparison, Difference, FileChange, compare
from sealrun.domain.curation.tabulating import (
    ROW_COLUMNS,
    Cells,
    Condition,
    arrange,
    asks_envelopes,
    cells_of,
    columns_of,
    parse_condition,
)
from sealrun.domain.errors import UsageError
from sealrun.domain.long_json import Many

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.consuming import Consumer
    from sealrun.services.access.reading import RunFiles

_MARKS = {"added": "A", "removed": "D", "changed": "M", "mode": "X", "moved": "R"}
_MOST_TEXT = 4 << 20


@click.command()
@click.argument("experiment", required=False)
@registry_option
@click.option("--columns", metavar="NAMES", help="What to show, such as run_id,params,metrics.loss.")
@click.option("--where", metavar="NAME=VALUE", multiple=True, help="Only such runs; also != < <= > >= ~ (contains).")
@click.option("--sort", metavar="NAME", help="Order by a column; -NAME: greatest first (default: oldest first).")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="So many: the first of --sort, or the newest.")
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if there is nothing to list.")
@shared_options
def ls(
    around: Surroundings,
    experiment: str | None,
    registry: str | None,
    columns: str | None,
    where: tuple[str, ...],
    sort: str | None,
    limit: int | None,
    *,
    error_on_nothing: bool,
) -> int:
    """List experiments, or the runs of one EXPERIMENT, oldest first, with what they say of themselves.

    A column is one of a run's own (run_id, status, finished_at, sealed_at, files, size, name, tags, urn), a
    parameter (params.lr) or a metric (metrics.loss). `params` stands for those that differ, `metrics` for all.

    Example: sealrun ls training --columns run_id,params,metrics --sort metrics.loss --limit 10
    """
    conditions = [parse_condition(text) for text in where]
    wanted = [name.strip() for name in columns.split(",") if name.strip()] if columns else list(ROW_COLUMNS)
    if experiment is None and (columns or where or sort or limit):
        msg = "--columns, --where, --sort and --limit go with an EXPERIMENT"
        raise click.UsageError(msg)
    with around.parts() as parts:
        consumer = parts.consumer(registry)
        if experiment is None:
            counts = [{"experiment": name, "runs": len(consumer.runs(name))} for name in consumer.experiments()]
            printed = print_rows(counts, ("experiment", "runs"), as_json=around.as_json)
        elif error_on_nothing and (absent := _absent(consumer, experiment)) is not None:
            click.echo(f"sealrun: {printable(absent)}", err=True)
            printed = 0  # whoever asks for that code may wait for the first run
        elif around.as_json and not columns and not asks_envelopes((), conditions, sort):
            rows = arrange((row.to_json() for row in consumer.runs(experiment)), conditions, sort, limit)
            printed = print_rows(rows, (), as_json=True)
        else:
            rows = arrange(_cells(consumer, experiment, (wanted, conditions, sort)), conditions, sort, limit)
            shown, rows = columns_of(wanted, rows)
            printed = print_rows(_shown(rows, shown, as_json=around.as_json), shown, as_json=around.as_json)
    return exits.NOTHING if error_on_nothing and not printed else exits.OK


def _absent(consumer: Consumer, experiment: str) -> str | None:
    """Say that an experiment holds nothing; None if it does hold something."""
    from sealrun.services.access.reading import no_such  # noqa: PLC0415 - --help needs nothing of it

    known = consumer.experiments()
    return None if experiment in known else str(no_such("experiment", experiment, known, consumer.url))


def _cells(
    consumer: Consumer, experiment: str, asked: tuple[Sequence[str], Sequence[Condition], str | None]
) -> Iterable[Cells]:
    rows = consumer.runs(experiment)
    if not asks_envelopes(*asked):
        return map(cells_of, rows)
    return itertools.starmap(cells_of, consumer.tabulated(rows))


def _shown(rows: Iterable[Cells], columns: Sequence[str], *, as_json: bool) -> Iterator[dict[str, Any]]:
    if as_json:
        return ({name: cells.get(name) for name in columns} for cells in rows)
    return ({name: _cell(name, cells.get(name)) for name in columns} for cells in rows)


def _cell(name: str, value: object) -> object:
    if name == "size" and isinstance(value, int):
        return human_size(value)
    return f"{value:.6g}" if isinstance(value, float) else value


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if bytes, parameters or metrics differ.")
@registry_option
@shared_options
def diff(around: Surroundings, before: str, after: str, registry: str | None, *, exit_code: bool) -> int:
    """Compare two runs: files, parameters, metrics and what is known besides; or two text files (REF:PATH).

    Files are compared by their sealed digests, so nothing is downloaded. Marks: A added, D removed, M changed, R moved,
    X executable bit.

    Example: sealrun diff training/20260117T143052Z-a training@latest
    """
    with around.parts() as parts:
        consumer = parts.consumer(registry)
        one, other = consumer.files(before), consumer.files(after)
        if (one.path is None) != (other.path is None):
            msg = "name two runs, or two files (REF:PATH): one run and one file cannot be compared"
            raise click.UsageError(msg)
        if one.path is not None and other.path is not None:
            return _diff_texts(around, consumer, (one, one.path), (other, other.path), exit_code=exit_code)
    found = compare((one.envelope, one.manifest), (other.envelope, other.manifest))
    if around.as_json:
        print_json({"before": one.ref, "after": other.ref, "same": found.same, **_as_json(found)})
    else:
        click.echo(f"--- {printable(one.ref)}\n+++ {printable(other.ref)}")
        _print_comparison(found)
    return exits.ERROR if exit_code and not found.same else exits.OK


def _as_json(found: Comparison) -> dict[str, Any]:
    def values(differences: Iterable[Difference]) -> list[dict[str, Any]]:
        return [
            {"name": each.name, "before": each.before, "after": each.after, "delta": each.delta} for each in differences
        ]

    return {
        "same_bytes": found.same_bytes,
        "files": Many(lambda: found.files),
        "unchanged": found.unchanged,
        "unchanged_size": found.unchanged_size,
        "links": values(found.links),
        "params": values(found.params),
        "metrics": values(found.metrics),
        "facts": values(found.facts),
    }


def _print_comparison(found: Comparison) -> None:
    for title, differences in (
        ("facts", found.facts),
        ("params", found.params),
        ("metrics", found.metrics),
        ("links and empty folders", found.links),
    ):
        if differences:
            click.echo(f"\n{title}")
            for each in differences:
                delta = "" if each.delta is None else f"  ({each.delta:+.6g})"
                click.echo(f"  {printable(each.name)}: {_value(each.before)} -> {_value(each.after)}{delta}")
    click.echo("\nfiles")
    for change in found.files:
        click.echo(f"  {_MARKS[change.change]} {_sizes(change)}  {_named(change)}")
    click.echo(f"  {found.unchanged} unchanged ({human_size(found.unchanged_size)})")


def _value(value: object) -> str:
    return "-" if value is None else printable(f"{value:.6g}" if isinstance(value, float) else str(value))


def _sizes(change: FileChange) -> str:
    if change.size_before is None or change.size_before == change.size_after:
        return human_size(change.size_after or 0)
    if change.size_after is None:
        return human_size(change.size_before)
    return f"{human_size(change.size_before)} -> {human_size(change.size_after)}"


def _named(change: FileChange) -> str:
    return printable(change.path if change.moved_from is None else f"{change.moved_from} -> {change.path}")


def _diff_texts(
    around: Surroundings,
    consumer: Consumer,
    before: tuple[RunFiles, str],
    after: tuple[RunFiles, str],
    *,
    exit_code: bool,
) -> int:
    """Print what differs between two text files as ``diff -u`` does."""
    entries = [view.entry(path) for view, path in (before, after)]
    same = entries[0].sha256 == entries[1].sha256
    names = [f"{view.ref}:{path}" for view, path in (before, after)]
    lines: list[str] = []
    if not same:
        import difflib  # noqa: PLC0415 - `ls` compares nothing

        old, new = (_text(consumer, view, path) for view, path in (before, after))
        lines = list(difflib.unified_diff(old, new, printable(names[0]), printable(names[1])))
    if around.as_json:
        print_json({"before": names[0], "after": names[1], "same": same, "diff": "".join(lines)})
    else:
        for line in lines:
            sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return exits.ERROR if exit_code and not same else exits.OK


def _text(consumer: Consumer, view: RunFiles, path: str) -> list[str]:
    entry = view.entry(path)
    if entry.size > _MOST_TEXT:
        msg = f"{view.ref}:{path} has {human_size(entry.size)}; texts of up to {human_size(_MOST_TEXT)} are compared"
        raise UsageError(msg)
    try:
        return consumer.body(view, entry).decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        msg = f"{view.ref}:{path} is not text in UTF-8; fetch both with: sealrun get"
        raise UsageError(msg) from None
