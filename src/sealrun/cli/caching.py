"""Commands about what is kept on this machine: cache ls, cache clean."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, print_rows, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.moments import shown_time
from sealrun.settings.quantities import parse_duration, parse_size

if TYPE_CHECKING:
    from sealrun.bootstrap.products.caching import UserCache
    from sealrun.domain.upkeep.caching import Cached


@click.group()
def cache() -> None:
    """List and clean what is kept on this machine of registries elsewhere: all of it can be fetched again.

    Example: sealrun cache ls
    """


@cache.command("ls")
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if nothing is kept.")
@shared_options
def ls(around: Surroundings, *, error_on_nothing: bool) -> int:
    """List what is kept, what was used least lately first.

    Example: sealrun cache ls --json
    """
    there = _user_cache()
    kept = there.kept()
    rows = [_row(there, each) for each in kept]
    shown = rows if around.as_json else [{**row, "size": human_size(row["size"])} for row in rows]
    print_rows(shown, ("kind", "size", "used_at", "held", "name"), as_json=around.as_json)
    if not around.quiet and not around.as_json:
        total, limit = (human_size(number) for number in (sum(each.size for each in kept), there.limit))
        click.echo(f"{there.folder}: {total}; at most {limit} of bytes, and of files and folders", err=True)
    return exits.NOTHING if error_on_nothing and not kept else exits.OK


@cache.command("clean")
@click.option("--keep", metavar="SIZE", help="Stop when no more than that is left, such as 2GiB (default: nothing).")
@click.option("--older-than", metavar="DURATION", help="Only what was not used for so long, such as 7d.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be deleted; change nothing.")
@shared_options
def clean(around: Surroundings, keep: str | None, older_than: str | None, *, dry_run: bool) -> None:
    """Delete what is kept, what was used least lately first, but for what running processes have asked for.

    Example: sealrun cache clean --older-than 7d --dry-run
    """
    try:
        left = 0 if keep is None else parse_size(int(keep) if keep.isdigit() else keep)
        older_s = 0.0 if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    there = _user_cache()
    done = there.clean(keep=left, older_s=older_s, dry_run=dry_run)
    for each in done.remove:
        if around.as_json:
            print_json({"deleted": not dry_run, **_row(there, each)})
        else:
            word = "would delete" if dry_run else "deleted"
            click.echo(f"{word}  {each.kind:6}  {human_size(each.size):>11}  {printable(each.name)}")
    if not around.quiet and not around.as_json:
        held = f"; {done.held} in use stay" if done.held else ""
        click.echo(f"{human_size(done.freed)} {'would be' if dry_run else 'are'} freed{held}", err=True)


def _row(there: UserCache, each: Cached) -> dict[str, Any]:
    used = shown_time(each.used)
    facts = {"kind": each.kind, "name": each.name, "size": each.size, "used_at": used, "held": each.held}
    return {**facts, "path": str(there.path(each))}


def _user_cache() -> UserCache:
    from sealrun.bootstrap.products.caching import UserCache  # noqa: PLC0415 - not needed by `--help`

    return UserCache(os.environ)
