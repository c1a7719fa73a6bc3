"""The command that computes declared outputs: derive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.engines import engine_option, working_on
from sealrun.cli.output import print_json, print_rows, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.curation.deriving import Mode, Rule
from sealrun.domain.errors import UsageError
from sealrun.settings.resolved import DeriveSettings

if TYPE_CHECKING:
    from sealrun.bootstrap.products.deriving import Deriver, Outcome, Planned

_DEFAULT_JOBS = 2


@click.command()
@click.argument("rules", metavar="RULE...", nargs=-1)
@click.option("--of", "refs", metavar="REF", multiple=True, help="Only of this run; may be given again.")
@click.option("--mode", type=click.Choice(["light", "full"]), help="Instead of the mode in the settings.")
@click.option("--force", is_flag=True, help="Compute again what is fresh, too.")
@click.option("--due", is_flag=True, help="Leave out what failed and is to be tried later, as the daemon does.")
@click.option("--failed", is_flag=True, help="List what failed on this machine, and compute nothing.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be computed, and compute nothing.")
@engine_option
@shared_options
def derive(  # noqa: PLR0913 - an option each
    around: Surroundings,
    rules: tuple[str, ...],
    refs: tuple[str, ...],
    mode: Mode | None,
    engine: str | None,
    *,
    force: bool,
    due: bool,
    failed: bool,
    dry_run: bool,
) -> int:
    """Compute what the rules in the settings declare, where it is missing, and publish it. RULEs: only these.

    What was computed before from the same files by the same version of a rule is reused, whoever did it.

    Example: sealrun derive analysis --of training@latest
    """
    from sealrun.bootstrap.products.deriving import Deriver  # noqa: PLC0415 - --help needs nothing of it

    declared = around.settings().rules
    check_names(rules, declared)
    outcomes: list[Outcome] = []
    planned: list[Planned] = []
    with working_on(around, engine) as workers:
        for registry in dict.fromkeys(each.registry for each in declared):
            mine = [_in_mode(each.rule, mode) for each in declared if each.registry == registry]
            with Deriver(around.parts(), mine, registry) as deriver:
                if failed:
                    return _list_failures(around, deriver)
                for rule in deriver.rules([rule.name for rule in mine if not rules or rule.name in rules]):
                    found = deriver.plan(rule, refs)
                    if dry_run:
                        planned += found
                        continue
                    wanted = force and (not rules or rule.name in rules)
                    jobs = around.jobs or _DEFAULT_JOBS
                    for outcome in deriver.derive(found, force=wanted, patient=due, engine=workers, jobs=jobs):
                        _tell(around, outcome)
                        outcomes.append(outcome)
    if dry_run:
        _print_plan(around, planned, force=force)
    return exits.PARTLY if any(outcome.state == "failed" for outcome in outcomes) else exits.OK


def _in_mode(rule: Rule, mode: Mode | None) -> Rule:
    return rule if mode is None else msgspec.structs.replace(rule, mode=mode)


def check_names(names: Sequence[str], declared: Sequence[DeriveSettings]) -> None:
    """Refuse names of rules that the settings do not have, and settings without any: `UsageError`."""
    known = [each.rule.name for each in declared]
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        what = f"there is no rule {unknown[0]!r}" if unknown else "there are no rules"
        msg = f"{what} in the settings (there are: {', '.join(known) or 'none'}); a rule is a [[derive]] table"
        raise UsageError(msg)


def _tell(around: Surroundings, outcome: Outcome) -> None:
    if around.as_json:
        derivation = outcome.derivation
        print_json(
            {
                "rule": derivation.rule.name,
                "of": [run.ref for run in derivation.runs],
                "state": outcome.state,
                "ref": outcome.ref,
                "reason": outcome.reason,
            }
        )
    elif outcome.state == "failed":
        said = "\n  ".join(printable(line) for line in (outcome.reason or "").splitlines())
        click.echo(f"{printable(outcome.derivation.label)}: failed: {said}", err=True)
    elif outcome.state == "held":
        click.echo(f"{printable(outcome.derivation.label)}: is being computed by somebody else", err=True)
    elif outcome.state == "made" or not around.quiet:
        click.echo(f"{outcome.ref}  {outcome.state:6}  {printable(outcome.derivation.label)}")


def _print_plan(around: Surroundings, planned: list[Planned], *, force: bool) -> None:
    rows = [
        {
            "rule": each.derivation.rule.name,
            "state": "again" if force and each.ref else each.state,
            "of": _of(each.derivation.rule, [run.ref for run in each.derivation.runs], as_json=around.as_json),
            "output": each.ref or f"{each.derivation.rule.target}/{each.derivation.run_id}",
            "reason": each.failure.reason if each.failure else None,
        }
        for each in planned
    ]
    print_rows(rows, ("rule", "state", "output", "of"), as_json=around.as_json)


def _of(rule: Rule, refs: list[str], *, as_json: bool) -> object:
    if as_json:
        return refs
    return refs[0] if rule.per == "run" else f"{len(refs)} runs"


def _list_failures(around: Surroundings, deriver: Deriver) -> int:
    rows = [
        {"output": each.label, "tries": each.tries, "at": each.at, "reason": each.reason, "key": each.key}
        for each in deriver.failures()
    ]
    print_rows(rows, ("output", "tries", "at", "reason"), as_json=around.as_json)
    return exits.OK
