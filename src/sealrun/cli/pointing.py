"""Commands that read and move pointers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli.output import print_json, print_rows, printable
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.services.index.moving import PlannedMove

if TYPE_CHECKING:
    from sealrun.domain.curation.gating import Gate

_why = click.option("-m", "--why", default="", help="Why, for the pointer's history.")
_dry_run = click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; move nothing.")
_require = click.option(
    "--require",
    "require",
    multiple=True,
    type=click.Choice(("seal", "composition", "schema", "pointers", "dependencies", "checks")),
    help="Move only if this passes; may be given again.",
)
_command = click.option(
    "--command", "command", metavar="COMMAND", help="Move only if this exits with 0, in a restored copy of the run."
)


@click.group()
def pointer() -> None:
    """List, read, move and roll back pointers.

    Example: sealrun pointer set training active training/20260117T143052Z-run-1a2b3c4d
    """


@pointer.command("ls")
@click.argument("experiment")
@registry_option
@shared_options
def ls(around: Surroundings, experiment: str, registry: str | None) -> None:
    """List the pointers of EXPERIMENT and where they stand.

    Example: sealrun pointer ls training
    """
    with around.parts() as parts:
        rows = [generation.to_json() for generation in parts.consumer(registry).pointers(experiment)]
    shown = rows if around.as_json else [{**row, "run_id": row["target"]["run_id"]} for row in rows]
    print_rows(shown, ("pointer", "generation", "run_id", "moved_at", "by", "why"), as_json=around.as_json)


@pointer.command("get")
@click.argument("experiment")
@click.argument("name")
@registry_option
@shared_options
def get(around: Surroundings, experiment: str, name: str, registry: str | None) -> None:
    """Tell where pointer NAME of EXPERIMENT stands.

    Example: sealrun pointer get training active
    """
    with around.parts() as parts:
        target = parts.consumer(registry).reader.resolve(f"{experiment}@{name}")
    if around.as_json:
        print_json({"pointer": f"{experiment}@{name}", "target": target})
    else:
        click.echo(f"{target.experiment}/{target.run_id}")


@pointer.command("history")
@click.argument("experiment")
@click.argument("name")
@registry_option
@shared_options
def history(around: Surroundings, experiment: str, name: str, registry: str | None) -> None:
    """List every move of pointer NAME, newest first.

    Example: sealrun pointer history training active
    """
    with around.parts() as parts:
        rows = (generation.to_json() for generation in parts.consumer(registry).pointer_history(experiment, name))
        shown = rows if around.as_json else ({**row, "run_id": row["target"]["run_id"]} for row in rows)
        print_rows(shown, ("generation", "run_id", "moved_at", "by", "why"), as_json=around.as_json)


@pointer.command("set")
@click.argument("experiment")
@click.argument("name")
@click.argument("ref")
@_require
@_command
@_why
@_dry_run
@registry_option
@shared_options
def set_(  # noqa: PLR0913 - an option each
    around: Surroundings,
    experiment: str,
    name: str,
    ref: str,
    why: str,
    registry: str | None,
    require: tuple[str, ...],
    command: str | None,
    *,
    dry_run: bool,
) -> None:
    """Move pointer NAME of EXPERIMENT to the run that REF names, if it passes what is required.

    Example: sealrun pointer set training active training@latest -m "passed review"
    """
    with around.parts() as parts:
        _tell(
            around,
            parts.mover(registry, dry_run=dry_run, gate=_gate(require, command)).set(
                experiment, name, ref, why, dry_run=dry_run
            ),
            dry_run=dry_run,
        )


@pointer.command("rollback")
@click.argument("experiment")
@click.argument("name")
@click.option("--to", type=click.IntRange(min=1), help="Generation to go back to (default: the one before).")
@_why
@_dry_run
@registry_option
@shared_options
def rollback(
    around: Surroundings,
    experiment: str,
    name: str,
    to: int | None,
    why: str,
    registry: str | None,
    *,
    dry_run: bool,
) -> None:
    """Move pointer NAME back, by adding a generation with the earlier target.

    Example: sealrun pointer rollback training active -m "worse on the test set"
    """
    with around.parts() as parts:
        move = parts.mover(registry, dry_run=dry_run).rollback(experiment, name, to, why or "rollback", dry_run=dry_run)
        _tell(around, move, dry_run=dry_run)


@click.command()
@click.argument("ref")
@click.argument("name")
@_require
@_command
@_why
@_dry_run
@registry_option
@shared_options
def promote(
    around: Surroundings,
    ref: str,
    name: str,
    why: str,
    registry: str | None,
    require: tuple[str, ...],
    command: str | None,
    *,
    dry_run: bool,
) -> None:
    """Point pointer NAME of the run's own experiment at the run that REF names, if it passes what is required.

    Example: sealrun promote training@latest active -m "passed review"
    """
    with around.parts() as parts:
        experiment = parts.consumer(registry).reader.resolve(ref).experiment
        mover = parts.mover(registry, dry_run=dry_run, gate=_gate(require, command))
        move = mover.set(experiment, name, ref, why or "promoted", dry_run=dry_run)
        _tell(around, move, dry_run=dry_run)


def _gate(require: tuple[str, ...], command: str | None) -> Gate | None:
    """Read what the options require; None for nothing."""
    if not require and command is None:
        return None
    from sealrun.domain.curation.gating import Gate, parse_requirements  # noqa: PLC0415 - for those who require something

    try:
        words = tuple(shlex.split(command or ""))
    except ValueError as error:
        msg = f"--command: {error}"
        raise click.UsageError(msg) from error
    if command is not None and not words:
        msg = "--command: is empty"
        raise click.UsageError(msg)
    return Gate(require=parse_requirements(require), command=words)


def _tell(around: Surroundings, move: PlannedMove, *, dry_run: bool) -> None:
    if around.as_json:
        print_json({**msgspec.to_builtins(move), "changes": move.changes, "dry_run": dry_run})
        return
    place = f"{move.experiment}@{move.pointer}"
    before = f"{move.current.experiment}/{move.current.run_id}" if move.current else "nothing"
    after = f"{move.target.experiment}/{move.target.run_id}"
    if not move.changes:
        click.echo(f"{place} stands on {after} already")
    else:
        click.echo(f"{place} {'would move' if dry_run else 'moved'} from {before} to {after}")
        for check in (move.evidence or {}).get("checks", ()):
            click.echo(f"  passed {check['name']}: {printable(check['detail'])}", err=True)
