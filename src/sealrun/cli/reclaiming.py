"""Commands about copies outside of registries: reclaim the sources, fill the mirrors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import SealrunError, UsageError

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.mirroring import Mirrors
    from sealrun.domain.upkeep.mirroring import MirrorStep
    from sealrun.domain.upkeep.reclaiming import Reclaimable

_WORDS = {"copy": "would copy", "keep": "stays", "remove": "would remove", "leave": "not copied"}


@click.command()
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be deleted, and why not the rest; change nothing.")
@shared_options
def reclaim(around: Surroundings, *, dry_run: bool) -> int:
    """Delete the sources of published runs, as the watches say, once their copies are verified again.

    Example: sealrun reclaim --dry-run
    """
    with around.parts() as parts:
        if dry_run:
            for source in parts.reclaimer.plan().sources:
                _show_source(source, as_json=around.as_json)
            return exits.OK
        with progress("verifying copies", quiet=around.quiet) as advance:
            report = parts.reclaimer.execute(advance)
    if around.as_json:
        print_json(report)
    else:
        for path in report.healed:
            click.echo(f"put back  {printable(path)}: an earlier round was interrupted")
        for done in report.reclaimed:
            size, where = human_size(done.size), ", ".join(done.registries)
            click.echo(f"deleted   {printable(done.path)} ({size}): {done.ref} was verified in {where}")
        for refused in report.refused:
            click.echo(f"stays     {printable(refused.path)}: {printable(refused.reason)}")
    return exits.PARTLY if report.refused else exits.OK


def _show_source(source: Reclaimable, *, as_json: bool) -> None:
    if as_json:
        print_json(source)
        return
    word = "would delete" if source.due else "stays"
    size = "" if source.size is None else f", {source.files} files, {human_size(source.size)}"
    why = printable("; ".join(source.reasons))
    click.echo(f"{word:13} {printable(source.path)} ({source.ref}{size}): {why}")


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied and removed, and why; change nothing.")
@click.option("--take-over", is_flag=True, help="Fill a mirror that another state folder filled before.")
@shared_options
def mirror(around: Surroundings, name: str | None, *, dry_run: bool, take_over: bool) -> int:
    """Bring the mirrors in the settings, or the one NAMEd, up to date with their registries.

    Example: sealrun mirror --dry-run
    """
    code = exits.OK
    with around.parts() as parts:
        mirrors = parts.mirrors
        names = mirrors.names(name)
        if not names:
            msg = "there is no [mirror.NAME] in the settings"
            raise UsageError(msg)
        for each in names:
            try:
                if dry_run:
                    for step in mirrors.plan(each).steps:
                        _show_step(each, step, as_json=around.as_json)
                else:
                    code = max(code, _fill(around, mirrors, each, take_over=take_over))
            except SealrunError as error:
                if len(names) == 1:
                    raise
                code = max(code, exits.exit_code(error))
                _tell(each, error, as_json=around.as_json)
    return code


def _fill(around: Surroundings, mirrors: Mirrors, name: str, *, take_over: bool) -> int:
    with progress(f"mirroring to {name}", quiet=around.quiet) as advance:
        report = mirrors.execute(name, advance, take_over=take_over)
    if around.as_json:
        print_json({"mirror": name, **msgspec.to_builtins(report)})
    else:
        for ref in report.copied:
            click.echo(f"copied   {ref} to {name}")
        for ref in report.removed:
            click.echo(f"removed  {ref} from {name}")
        for failed in report.failed:
            click.echo(f"failed   {failed.ref} to {name}: {printable(failed.reason)}")
    if report.damaged:
        return exits.DAMAGE
    return exits.PARTLY if report.failed else exits.OK


def _show_step(name: str, step: MirrorStep, *, as_json: bool) -> None:
    ref = f"{step.row.experiment}/{step.row.run_id}"
    if as_json:
        print_json({"mirror": name, "step": step.step, "ref": ref, "size": step.row.size, "why": step.why})
    else:
        click.echo(f"{_WORDS[step.step]:12} {ref} ({human_size(step.row.size)}), {name}: {step.why}")


def _tell(name: str, error: SealrunError, *, as_json: bool) -> None:
    if as_json:
        said = {"class": type(error).__name__, "message": str(error), "exit_code": exits.exit_code(error)}
        click.echo(json.dumps({"error": {**said, "mirror": name}}), err=True)
    else:
        click.echo(f"sealrun: {name}: {printable(str(error))}", err=True)
