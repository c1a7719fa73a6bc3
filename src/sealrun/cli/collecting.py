"""Commands of the collector: gc, and gc explain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.engines import engine_option, working_on
from sealrun.cli.keeping import dry_run_option
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.errors import UsageError
from sealrun.domain.moments import shown_time
from sealrun.settings.quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from sealrun.domain.upkeep.repacking import RepackPlan, RepackReport
    from sealrun.services.collection.collecting import CollectionPlan, CollectionReport
    from sealrun.services.collection.foretelling import DoomedRun
    from sealrun.services.collection.residue import Residue
    from sealrun.services.collection.silence import Silent

_SHOWN_FILES = 10


@click.group(invoke_without_command=True)
@dry_run_option
@click.option("--grace", metavar="TIME", help="What is younger is not touched (default: the settings', or 24h).")
@click.option(
    "--max-delete-ratio", metavar="SHARE", help="Refuse to delete a larger share (default: the settings', or 20%)."
)
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if there is nothing to delete.")
@engine_option
@registry_option
@shared_options
@click.pass_context
def gc(
    ctx: click.Context,
    around: Surroundings,
    grace: str | None,
    max_delete_ratio: str | None,
    registry: str | None,
    engine: str | None,
    *,
    dry_run: bool,
    error_on_nothing: bool,
) -> int:
    """Delete the bytes that no run needs any more: of retired runs, and of attempts that never became one.

    Runs leave packs of which little is alive, so that a later collection deletes the rest of those, too. With an
    engine, what attempts left is read there; everything is still listed and decided here.

    Example: sealrun gc --dry-run
    """
    if ctx.invoked_subcommand is not None:
        return exits.OK
    grace_s, ratio = _duration(grace), _share(max_delete_ratio)
    with around.parts() as parts, progress("deleting", quiet=around.quiet) as advance:
        keeper = parts.keeper(registry, dry_run=dry_run, collecting=True)
        with working_on(around, engine) as workers:
            collector = keeper.collector(grace_s, ratio, workers)
            plan = keeper.plan_collection(collector)
        repack = keeper.plan_repack(plan)
        if dry_run:
            _foretell(around, keeper.foretell(plan), plan, repack)
            found = plan.doomed.objects + (len(repack.runs) if repack.refused is None else 0)
        else:
            report = keeper.collect(collector, plan, advance)
            repacked = keeper.repack(repack)
            found = report.objects + len(repacked.runs)
            if not report.failures:
                parts.collected(registry)
    if not dry_run:
        failures = _report(around, report, repack, repacked)
        if failures:
            return exits.PARTLY
    return exits.NOTHING if error_on_nothing and not found else exits.OK


def _foretell(around: Surroundings, runs: Iterator[DoomedRun], plan: CollectionPlan, repack: RepackPlan) -> None:
    summary = {
        "objects": plan.doomed.objects,
        "size": plan.doomed.size,
        "young": plan.young,
        "uploads": len(plan.unfinished),
        "silent": len(plan.silent),
        "residue": {"keys": len(plan.residue.found), "size": plan.residue.size},
        "of_objects": plan.objects,
        "of_size": plan.size,
        "refused": plan.refused,
        "repack": _summary(repack),
    }
    for run in runs:
        if around.as_json:
            print_json(run)
            continue
        click.echo(f"{run.ref or 'unfinished attempts'}: {run.objects} objects, {human_size(run.size)}")
        for file in run.files[:_SHOWN_FILES]:
            click.echo(f"  {human_size(file.size):>11}  {printable(_files(file.paths) or file.key)}")
        if len(run.files) > _SHOWN_FILES:
            click.echo(f"  {'':>11}  and {len(run.files) - _SHOWN_FILES} more (all of them with --json)")
    for upload in plan.unfinished:
        begun = shown_time(upload.started)
        if around.as_json:
            print_json({"upload": {"key": upload.key, "started": begun}})
        else:
            click.echo(f"upload that was never finished, begun {begun}: {printable(upload.key)}")
    _foretell_silent(around, plan.silent)
    _foretell_residue(around, plan.residue)
    _foretell_repack(around, repack)
    if around.as_json:
        print_json({"summary": summary})
        return
    click.echo(
        f"{plan.doomed.objects} of {plan.objects} objects, {human_size(plan.doomed.size)} of {human_size(plan.size)}, "
        f"would be deleted; {plan.young} more are too young, {len(plan.unfinished)} uploads were never finished"
    )
    if plan.refused is not None:
        click.echo(f"would be refused: {plan.refused}")


def _foretell_silent(around: Surroundings, found: Sequence[Silent]) -> None:
    """Name attempts that would be declared void, and what they sent."""
    for silent in found:
        last = shown_time(silent.last)
        if around.as_json:
            said = {"attempt": silent.attempt, "objects": silent.objects, "size": silent.size, "last": last}
            print_json({"silent": said})
        else:
            click.echo(
                f"attempt that was never begun, silent since {last}: {silent.attempt} would be declared void; "
                f"its {silent.objects} objects, {human_size(silent.size)}, go once the grace time is over"
            )


def _files(paths: Sequence[str]) -> str:
    """Name the files of one object; of a pack, there may be thousands."""
    more = f" and {len(paths) - _SHOWN_FILES} more" if len(paths) > _SHOWN_FILES else ""
    return ", ".join(paths[:_SHOWN_FILES]) + more


def _foretell_residue(around: Surroundings, residue: Residue) -> None:
    """Name the old records that would go, and their bytes."""
    if around.as_json:
        for found in residue.found:
            print_json({"residue": {"key": found.key, "size": found.size}})
        return
    if residue.found:
        click.echo(f"records that nobody needs any more: {len(residue.found)}, {human_size(residue.size)}")
    for found in residue.found[:_SHOWN_FILES]:
        click.echo(f"  {human_size(found.size):>11}  {printable(found.key)}")
    if len(residue.found) > _SHOWN_FILES:
        click.echo(f"  {'':>11}  and {len(residue.found) - _SHOWN_FILES} more (all of them with --json)")


def _foretell_repack(around: Surroundings, repack: RepackPlan) -> None:
    """Say which packs would be emptied, which runs would leave them, and what that reads, writes and frees."""
    if around.as_json:
        for pack in repack.packs:
            print_json({"pack": {"key": pack.key, "size": pack.size, "live": pack.live}})
        for run in repack.runs:
            print_json({"repack": {"ref": run.ref, "members": run.members, "size": run.size}})
        return
    for pack in repack.packs[:_SHOWN_FILES]:
        click.echo(f"pack {pack.key}: {human_size(pack.live)} of {human_size(pack.size)} are alive")
    for run in repack.runs[:_SHOWN_FILES]:
        click.echo(f"  {human_size(run.size):>11}  {run.ref}, {run.members} files in these packs")
    more = len(repack.packs[_SHOWN_FILES:]), len(repack.runs[_SHOWN_FILES:])
    if any(more):
        click.echo(f"  {'':>11}  and {more[0]} more packs, {more[1]} more runs (all of them with --json)")
    if not repack.packs:
        return
    click.echo(
        f"{len(repack.packs)} packs would be repacked: {len(repack.runs)} runs, {human_size(repack.written)} read and "
        f"written again, {human_size(repack.freed)} freed after the grace time"
        + (f"; {repack.later} more packs later" if repack.later else "")
    )
    if repack.refused is not None:
        click.echo(f"would be refused: {repack.refused}")


def _summary(repack: RepackPlan) -> dict[str, object]:
    return {
        "packs": len(repack.packs),
        "runs": len(repack.runs),
        "read": repack.written,
        "written": repack.written,
        "freed": repack.freed,
        "later": repack.later,
        "refused": repack.refused,
    }


def _report(around: Surroundings, report: CollectionReport, repack: RepackPlan, repacked: RepackReport) -> int:
    """Print what was done; return how much could not be."""
    failures = [
        *(f"{key}: {why}" for key, why in report.failures.items()),
        *report.tidied.failures,
        *(f"{left.ref} was not repacked: {left.why}" for left in repacked.left if left.failed),
    ]
    failures += [] if repacked.refused is None else [f"nothing was repacked: {repacked.refused}"]
    if around.as_json:
        print_json({**msgspec.to_builtins(report), "repacked": msgspec.to_builtins(repacked)})
    else:
        _tell_failures(failures)
        tidied = report.tidied
        click.echo(
            f"deleted {report.objects} objects, {human_size(report.size)}; tidied {tidied.links} links, "
            f"{tidied.records} records, {tidied.uploads} unfinished uploads, {tidied.litter} leftovers, "
            f"{tidied.residue} old records"
            + (f"; {report.voided} attempts that were never begun are void" if report.voided else "")
            + (f"; {len(failures)} failures" if failures else "")
        )
        if repacked.runs:
            click.echo(
                f"repacked {len(repacked.runs)} runs out of {repacked.packs} packs: "
                f"{human_size(repacked.copied_bytes)} written again; "
                f"a collection after the grace time frees {human_size(repack.freed)}"
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
    """Tell why an object or a pack is kept, or when, by whom and after which run it was deleted.

    KEY may be a sha256 digest, also of a file that lies in a pack.

    Example: sealrun gc explain 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    with around.parts() as parts:
        found = parts.keeper(registry, dry_run=True).explain(key)
    for one in found:
        if around.as_json:
            print_json(one)
            continue
        size = "" if one.size is None else f" ({human_size(one.size)})"
        part = "" if one.member is None else ", which holds it"
        click.echo(f"{one.key}: {one.state}{size}{part}")
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
