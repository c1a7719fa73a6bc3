"""Commands that say which runs are kept: retire, undo, pin, unpin, pins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, print_rows, printable
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.errors import SealrunError
from sealrun.domain.long_json import Many
from sealrun.settings.quantities import read_moment

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.keeping import Keeper
    from sealrun.domain.upkeep.retention import Judged, RetentionPlan
    from sealrun.services.keeping.retiring import RetiredRun
    from sealrun.services.keeping.undoing import UndoPlan

dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; write nothing.")
_why = click.option("-m", "--why", default="", help="Why, for whoever asks later.")


# ---------------------------------------------------------------- retire, undo


@click.command()
@click.argument("refs", metavar="REF...", nargs=-1)
@click.option("--experiment", help="Retire what the policy of this experiment does not keep.")
@click.option("--all", "everything", is_flag=True, help="The same for every experiment.")
@_why
@dry_run_option
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if there is nothing to retire.")
@registry_option
@shared_options
def retire(
    around: Surroundings,
    refs: tuple[str, ...],
    experiment: str | None,
    why: str,
    registry: str | None,
    *,
    everything: bool,
    dry_run: bool,
    error_on_nothing: bool,
) -> int:
    """Take runs out of the registry: each REF, or what the settings' retention does not keep. Deletes no bytes.

    A dry run that names nothing looks at every experiment.

    Example: sealrun retire --experiment training --dry-run
    """
    named = [bool(refs), experiment is not None, everything].count(True)
    if named > 1 or (not named and not dry_run):  # a dry run may look at everything
        msg = "name one of: REF, --experiment NAME, --all"
        raise click.UsageError(msg)
    retired, size, left = 0, 0, 0
    with around.parts() as parts:
        keeper = parts.keeper(registry, dry_run=dry_run)
        plans = iter([keeper.plan_runs(refs, why)]) if refs else keeper.plan_policies(experiment)
        for plan in plans:
            step = _step(keeper, plan, dry_run=dry_run, by_name=bool(refs))
            _tell_retired(around, step.rows, plan.note, plan.experiment)
            retired, size, left = retired + len(step.sizes), size + sum(step.sizes), left + step.left
    if not around.as_json:
        verb = "would be retired" if dry_run else "retired"
        skipped = f", {left} left alone" if left else ""
        click.echo(f"{retired} {'run' if retired == 1 else 'runs'}, {human_size(size)}, {verb}{skipped}")
    if left:
        return exits.PARTLY
    return exits.NOTHING if error_on_nothing and not retired else exits.OK


class _Step(NamedTuple):
    """What became of one plan: rows to print, the sizes of the runs that go, and how many were left alone."""

    rows: Iterable[dict[str, Any]]
    sizes: list[int]
    left: int


def _step(keeper: Keeper, plan: RetentionPlan, *, dry_run: bool, by_name: bool) -> _Step:
    """Carry a plan out, or only say it. Runs that were named and cannot go now are left alone; a policy's are kept."""
    kept = [_planned(judged) for judged in plan.kept] if by_name else []
    if dry_run:
        return _Step(map(_planned, plan.judged), [one.run.size for one in plan.retired], len(kept))
    planned = {judged.ref: judged for judged in plan.retired}
    done = keeper.retire(plan)
    gone = [planned[run.ref].run.size for run in done if run.skipped is None]
    rows = (_done(run, planned[run.ref]) for run in done)
    return _Step(chain(kept, rows), gone, len(kept) + len(done) - len(gone))


def _planned(judged: Judged) -> dict[str, Any]:
    run = judged.run
    return {
        "ref": judged.ref,
        "action": "keep" if judged.keep else "retire",
        "why": "; ".join(judged.reasons),
        "files": run.files,
        "size": run.size,
        "status": run.status,
        "finished_at": run.finished_at,
    }


def _done(run: RetiredRun, judged: Judged) -> dict[str, Any]:
    action = "retired" if run.skipped is None else "keep"
    why = run.skipped or run.note or "; ".join(judged.reasons)
    return {**_planned(judged), "action": action, "why": why, "attempts": run.attempts}


def _tell_retired(
    around: Surroundings, rows: Iterable[dict[str, Any]], note: str | None, experiment: str | None
) -> None:
    shown = rows if around.as_json else ({**row, "size": human_size(row["size"])} for row in rows)
    print_rows(shown, ("action", "ref", "size", "why"), as_json=around.as_json)
    if note is not None and not around.quiet:
        click.echo(f"{experiment or 'note'}: {note}", err=True)


@click.command()
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@dry_run_option
@registry_option
@shared_options
def undo(around: Surroundings, refs: tuple[str, ...], registry: str | None, *, dry_run: bool) -> int:
    """Bring retired runs back, as long as their bytes are there, or somewhere else that the settings name.

    Example: sealrun undo training/20260117T143052Z-run-1a2b3c4d
    """
    errors: list[SealrunError] = []
    with around.parts() as parts:
        keeper = parts.keeper(registry, dry_run=dry_run)
        for ref in refs:
            try:
                plan = keeper.plan_undo(ref)
                if not dry_run and plan.standing is None:
                    elsewhere = parts.mender(registry).sources(plan.experiment, plan.run_id) if plan.missing else None
                    keeper.undo(plan, elsewhere)
                _tell_undone(around, plan, dry_run=dry_run)
            except SealrunError as error:
                if len(refs) == 1:
                    raise
                errors.append(error)
                click.echo(f"sealrun: {printable(str(error))}", err=True)
    if errors:
        return exits.exit_code(errors[0]) if len(errors) == len(refs) else exits.PARTLY
    return exits.OK


def _tell_undone(around: Surroundings, plan: UndoPlan, *, dry_run: bool) -> None:
    if around.as_json:
        missing = Many(
            lambda: ({"path": entry.path, "sha256": entry.sha256, "size": entry.size} for entry in plan.missing)
        )
        said = {"ref": plan.ref, "standing": plan.standing, "dry_run": dry_run, "retired": plan.retired}
        print_json({**said, "bytes_there": plan.there.size, "bytes_missing": plan.missing.size, "missing": missing})
        return
    click.echo(_undone(plan, dry_run=dry_run))
    for entry in plan.missing if dry_run else ():
        click.echo(f"  gone  {human_size(entry.size):>11}  {printable(entry.path)}")


def _undone(plan: UndoPlan, *, dry_run: bool) -> str:
    if plan.standing is not None:
        return f"{plan.ref} stands: nothing to do"
    went = f"; it was retired at {plan.retired.retired_at} ({plan.retired.why})" if plan.retired else ""
    if not dry_run:
        return printable(f"{plan.ref} is back{went}")
    if plan.missing:
        return printable(f"{plan.ref} lacks {human_size(plan.missing.size)}, which have to come from elsewhere{went}")
    return printable(f"{plan.ref} would be brought back: all {human_size(plan.there.size)} are there{went}")


# ---------------------------------------------------------------- pins


@click.command()
@click.argument("ref")
@_why
@click.option("--expires", metavar="30d|DATE", help="Until when it counts: a time from now, or a date (UTC).")
@click.option("--hold", is_flag=True, help="A hold: never expires, and only `unpin --holds` lifts it.")
@registry_option
@shared_options
def pin(around: Surroundings, ref: str, why: str, expires: str | None, registry: str | None, *, hold: bool) -> None:
    """Keep the run that REF names from being retired.

    Example: sealrun pin training@latest -m "figure 3 of the paper" --expires 365d
    """
    expires_at = None if expires is None else read_moment(expires, datetime.now(UTC))
    with around.parts() as parts:
        made = parts.keeper(registry).pin(ref, why, expires_at, hold=hold)
    if around.as_json:
        print_json(made.to_json())
    elif not around.quiet:
        until = "" if made.expires_at is None else f" until {made.expires_at}"
        click.echo(f"{made.experiment}/{made.run_id} is {'held' if hold else 'pinned'}{until}", err=True)


@click.command()
@click.argument("ref")
@click.option("--holds", is_flag=True, help="Lift holds, too.")
@_why
@registry_option
@shared_options
def unpin(around: Surroundings, ref: str, why: str, registry: str | None, *, holds: bool) -> None:
    """Lift every pin of the run that REF names. Harmless where there is none.

    Example: sealrun unpin training@latest
    """
    with around.parts() as parts:
        lifted = parts.keeper(registry).unpin(ref, why, holds=holds)
    if around.as_json:
        print_rows([one.to_json() for one in lifted], (), as_json=True)
    elif not around.quiet:
        click.echo(f"{len(lifted)} lifted", err=True)


@click.command()
@click.argument("experiment", required=False)
@registry_option
@shared_options
def pins(around: Surroundings, experiment: str | None, registry: str | None) -> None:
    """List pins and holds that count now, of one EXPERIMENT or of all.

    Example: sealrun pins training
    """
    with around.parts() as parts:
        found = parts.keeper(registry, dry_run=True).pins(experiment)
    rows = [one.to_json() for one in found]
    shown = [
        {**row, "ref": f"{row['experiment']}/{row['run_id']}", "kind": "hold" if row["hold"] else "pin"} for row in rows
    ]
    columns = ("kind", "ref", "expires_at", "pinned_at", "by", "why")
    print_rows(rows if around.as_json else shown, columns, as_json=around.as_json)
