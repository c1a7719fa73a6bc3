"""The command that restores damaged objects: repair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options

if TYPE_CHECKING:
    from sealrun.domain.upkeep.mending import Remaining, RepairPlan, RepairReport


@click.command()
@click.argument("ref", required=False)
@click.option(
    "--from",
    "places",
    metavar="NAME|URL|PATH",
    multiple=True,
    help="Where good bytes may be: a registry, or a folder laid out EXPERIMENT/RUN_ID (default: wherever is known).",
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@registry_option
@shared_options
def repair(
    around: Surroundings, ref: str | None, places: tuple[str, ...], registry: str | None, *, dry_run: bool
) -> int:
    """Verify the run that REF names, or everything, and restore what is damaged; exit with 20 if damage remains.

    Example: sealrun repair --from backup --dry-run
    """
    with around.parts() as parts:
        mender = parts.mender(registry, places, dry_run=dry_run)
        with progress("verifying", quiet=around.quiet) as advance:
            plan = mender.plan(ref, advance)
        report = None if dry_run or plan.empty else mender.repair(plan)
        if around.as_json:
            print_json(plan if report is None else report)
        else:
            for line in _planned(plan, mender.url) if report is None else _done(report):
                click.echo(printable(line))
            if plan.remaining and not around.quiet:
                click.echo(f"looked for good bytes in: {', '.join(mender.replicas) or 'nowhere'}", err=True)
    if dry_run:
        return exits.OK if plan.empty else exits.DAMAGE
    return exits.DAMAGE if report is not None and report.remaining else exits.OK


def _planned(plan: RepairPlan, where: str) -> Iterator[str]:
    if plan.empty:
        yield f"{where}: no damage, nothing to repair"
        return
    for key, ref, path, detail in plan.quarantine:
        yield f"quarantine {key} ({ref}:{path}: {detail})"
    for run in plan.runs:
        verb = "seal again" if run.healthy is None else f"replace by attempt {run.healthy}"
        yield f"{verb if run.possible else 'cannot seal again'} {run.ref}"
        for file in run.files:
            yield f"  {file.path} ({human_size(file.size)}): from {file.source or 'nobody: no replica has these bytes'}"
    for rebuild in plan.rebuilds:
        yield f"make again {rebuild.ref} ({rebuild.what}): {rebuild.detail}"
    yield from _left(plan.remaining)
    runs = sum(run.possible for run in plan.runs)
    yield f"{runs} runs would be repaired, {human_size(plan.upload)} uploaded; {len(plan.remaining)} damages would stay"


def _done(report: RepairReport) -> Iterator[str]:
    for run in report.repaired:
        moved = f", with {', '.join(run.pointers)}" if run.pointers else ""
        yield f"{run.ref}: repaired by attempt {run.attempt}{moved}"
    for rebuild in report.rebuilt:
        yield f"{rebuild.ref}: made again ({rebuild.what})"
    yield from _left(report.remaining)
    size = sum(run.uploaded_bytes for run in report.repaired)
    yield f"{len(report.repaired)} runs repaired, {human_size(size)} uploaded; {len(report.remaining)} damages stay"


def _left(remaining: tuple[Remaining, ...]) -> Iterator[str]:
    for left in remaining:
        place = left.ref if left.path is None else f"{left.ref}:{left.path}"
        yield f"{place}: still damaged: {left.detail}"
