"""The command about what stands: alarms."""

from __future__ import annotations

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options


@click.command()
@click.option("--error-on-any", is_flag=True, help="Exit with 1 if any alarm stands.")
@click.option("--error-on-critical", is_flag=True, help="Exit with 1 if a critical alarm stands.")
@shared_options
def alarms(around: Surroundings, *, error_on_any: bool, error_on_critical: bool) -> int:
    """List what stands, the worst first, with the first thing to do about each and its section of the runbook.

    Example: sealrun alarms
    """
    from sealrun.domain.alarming import advice  # noqa: PLC0415 - --help needs nothing of it

    around.tell_if_unset()
    with around.parts() as parts:
        standing = parts.alarms()
    if not standing and not around.as_json and not around.quiet:
        click.echo("no alarm stands", err=True)
    for alarm in standing:
        if around.as_json:
            print_json({**msgspec.structs.asdict(alarm), "do": advice(alarm.kind)})
            continue
        click.echo(f"{alarm.severity:9} {alarm.kind} {printable(alarm.subject)}, since {alarm.since}")
        click.echo(f"  because   {printable(alarm.reason)}")
        click.echo(f"  do        {advice(alarm.kind)}")
        click.echo(f"  runbook   {alarm.help}")
    worst = any(alarm.severity == "critical" for alarm in standing)
    return exits.ERROR if (error_on_any and standing) or (error_on_critical and worst) else exits.OK
