"""Commands about what stands, and what to do about it: alarms and runbook."""

from __future__ import annotations

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import ConfigurationError, NotFoundError
from sealrun.domain.oversight.board import Alarm


@click.command()
@click.option("--error-on-any", is_flag=True, help="Exit with 1 if any alarm stands.")
@click.option("--error-on-critical", is_flag=True, help="Exit with 1 if a critical alarm stands.")
@shared_options
def alarms(around: Surroundings, *, error_on_any: bool, error_on_critical: bool) -> int:
    """List what stands, the worst first, with the first thing to do about each and its section of the runbook.

    Example: sealrun alarms
    """
    from sealrun.domain.oversight.alarming import advice  # noqa: PLC0415 - --help needs nothing of it

    problem: ConfigurationError | None = None
    try:
        around.tell_if_unset()
        parts = around.parts()
    except ConfigurationError as error:
        problem, parts = error, around.journal_parts(error)
    with parts:
        standing, daemon = parts.alarms(), parts.daemon
    if not standing and not around.as_json and not around.quiet:
        click.echo("no alarm stands", err=True)
    for alarm in standing:
        if around.as_json:
            print_json({**msgspec.structs.asdict(alarm), "do": advice(alarm.kind)})
            continue
        click.echo(f"{alarm.severity:9} {alarm.kind} {printable(alarm.subject)}, {since(alarm)}")
        click.echo(f"  because   {printable(alarm.reason)}")
        click.echo(f"  do        {advice(alarm.kind)}")
        click.echo(f"  runbook   {alarm.help}")
    if standing and daemon is None and not around.as_json and not around.quiet:
        click.echo("no daemon runs: this is how things stood when they were last judged", err=True)
    if problem is not None:
        raise problem
    worst = any(alarm.severity == "critical" for alarm in standing)
    return exits.ERROR if (error_on_any and standing) or (error_on_critical and worst) else exits.OK


def since(alarm: Alarm) -> str:
    """Say since when an alarm stands, and whether what it is about is gone for now."""
    quiet = "" if alarm.quiet_since is None else f", quiet since {alarm.quiet_since}: over soon unless it comes back"
    return f"since {alarm.since}{quiet}"


@click.command()
@click.argument("kind", required=False)
@shared_options
def runbook(around: Surroundings, kind: str | None) -> None:
    """Print the runbook of this version, or its section about one KIND of alarm. Needs no settings.

    Example: sealrun runbook low-space
    """
    from sealrun.adapters.content.runbook import runbook_text  # noqa: PLC0415 - --help needs nothing of it
    from sealrun.domain.oversight.headings import anchors, section  # noqa: PLC0415 - as above

    text = runbook_text()
    if kind is not None:
        found = section(text, kind)
        if found is None:
            msg = f"the runbook has no section {kind!r}; there are: {', '.join(anchors(text))}"
            raise NotFoundError(msg)
        text = found
    if around.as_json:
        print_json({"kind": kind, "text": text})
    else:
        click.echo(text, nl=False)
