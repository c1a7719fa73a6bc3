"""Commands of the collector: gc, and gc explain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.consuming import registry_option
from sealrun.cli.keeping import dry_run_option
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import UsageError
from sealrun.settings.quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from sealrun.services.collecting import CollectionPlan, CollectionReport
    from sealrun.services.foretelling import DoomedRun

_SHOWN_FILES = 10


@click.group(invoke_without_command=True)
@dry_run_option
@click.option("--grace", metavar="TIME", help="What is younger is not touched (default: the settings', or 24h).")
@click.option(
    "--max-delete-ratio", metavar="SHARE", help="Refuse to delete a larger share (default: the settings', or 20%)."
)
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if there is nothing to delete.")
@registry_option
@shared_options
@click.pass_context
def gc(
    ctx: click.Context,
    around: Surroundings,
    grace: str | None,
    max_delete_ratio: str | None,
    registry: str | None,
    *,
    dry_run: bool,
    error_on_nothing: bool,
) -> int:
    """Delete the bytes that no run needs any more: of retired runs, and of attempts that never became one.

    Example: sealrun gc --dry-run
    """
    if ctx.invoked_subcommand is not None:
        return exits.OK
    grace_s, ratio = _duration(grace), _share(max_delete_ratio)
    with around.parts() as parts, progress("deleting", quiet=around.quiet) as advance:
        keeper = parts.keeper(registry, dry_run=dry_run, collecting=True)
        collector = keeper.collector(grace_s, ratio)
        plan = keeper.plan_collection(collector)
        if dry_run:
            _foretell(around, keeper.foretell(plan), plan)
            found = plan.doomed.objects
        else:
            report = keeper.collect(collector, plan, advance)
            found = report.objects
    if not dry_run:
        failures = _report(around, report)
        if failures:
            return exits.PARTLY
    return exits.NOTHING if error_on_nothing and not found else exits.OK


def _foretell(around: Surroundings, runs: Iterator[DoomedRun], plan: CollectionPlan) -> None:
    summary = {
        "objects": plan.doomed.objects,
        "size": plan.doomed.size,
        "young": plan.young,
        "uploads": len(plan.unfinished),
        "of_objects": plan.objects,
        "of_size": plan.size,
        "refused": plan.refused,
    }
    for run in runs:
        if around.as_json:
            print_json(run)
            continue
        click.echo(f"{run.ref or 'unfinished attempts'}: {run.objects} objects, {human_size(run.size)}")
        for file in run.files[:_SHOWN_FILES]:
            click.echo(f"  {human_size(file.size):>11}  {printable(', '.join(file.paths) or file.key)}")
        if len(run.files) > _SHOWN_FILES:
            click.echo(f"  {'':>11}  and {len(run.files) - _SHOWN_FILES} more (all of them with --json)")
    for upload in plan.unfinished:
        begun = datetime.fromtimestamp(upload.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if around.as_json:
            print_json({"upload": {"key": upload.key, "started": begun}})
        else:
            click.echo(f"upload that was never finished, begun {begun}: {printable(upload.key)}")
    if around.as_json:
        print_json({"summary": summary})
        return
    click.echo(
        f"{plan.doomed.objects} of {plan.objects} objects, {human_size(plan.doomed.size)} of {human_size(plan.size)}, "
        f"would be deleted; {plan.young} more are too young, {len(plan.unfinished)} uploads were never finished"
    )
    if plan.refused is not None:
        click.echo(f"would be refused: {plan.refused}")


def _report(around: Surroundings, report: CollectionReport) -> int:
    """Print what was done; return how much could not be."""
    failures = [*(f"{key}: {why}" for key, why in report.failures.items()), *report.tidied.failures]
    if around.as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _tell_failures(failures)
        tidied = report.tidied
        click.echo(
            f"deleted {report.objects} objects, {human_size(report.size)}; tidied {tidied.links} links, "
            f"{tidied.records} records, {tidied.uploads} unfinished uploads, {tidied.litter} leftovers"
            + (f"; {len(failures)} could not be deleted" if failures else "")
        )
    return len(failures)


def _tell_failures(failures: Iterable[str]) -> None:
    for failure in failures:
        click.echo(f"sealrun: {printable(failure)}", err=True)


@gc.command("explain")
@click.argument("key")
@registry_option
@shared_options
def explain(around: Surroundings, key: str, registry: str | None) -> None:
    """Tell why an object is kept, or when, by whom and after which run it was deleted. KEY may be a sha256 digest.

    Example: sealrun gc explain 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    with around.parts() as parts:
        found = parts.keeper(registry, dry_run=True).explain(key)
    for one in found:
        if around.as_json:
            print_json(one)
            continue
        size = "" if one.size is None else f" ({human_size(one.size)})"
        click.echo(f"{one.key}: {one.state}{size}")
        for reason in one.reasons:
            click.echo(f"  {printable(reason)}")


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        msg = f"--grace: {error}"
        raise UsageError(msg) from error


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_share(text if text.strip().endswith("%") else float(text))
    except ValueError as error:
        msg = f'--max-delete-ratio: expected a share such as "20%" or 0.2, got {text!r}'
        raise UsageError(msg) from error
