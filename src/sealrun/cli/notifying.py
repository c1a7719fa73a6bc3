"""The command about who is told what: notify."""

from __future__ import annotations

import click

from sealrun.cli import exits
from sealrun.cli.output import print_rows
from sealrun.cli.surroundings import Surroundings, shared_options


@click.command()
@click.option("--test", is_flag=True, help="Send each target one event that says nothing happened, and each ping.")
@shared_options
def notify(around: Surroundings, *, test: bool) -> int:
    """List who is told of which events, and whether they take them; or try it.

    Example: sealrun notify --test
    """
    from sealrun.bootstrap.daemon.notifying import (  # noqa: PLC0415 - --help needs nothing of it
        notifier,
        ping_targets,
        pinger,
        targets,
    )

    rows = []

    def row(name: str, on: str, severity: str | None, *, known: bool, problem: str | None) -> None:
        state = "never told" if not known and not test else "ok" if problem is None else "failing"
        rows.append({"target": name, "on": on, "severity": severity, "state": state, "problem": problem})

    with around.parts() as parts:
        tell, ping = notifier(parts.journal), pinger(parts.journal)
        settings = around.settings().targets
        for target in targets(settings):
            told = tell.cursor(target)
            problem = tell.test(target) if test else told.problem if told else None
            row(target.name, " ".join(target.on), target.severity, known=told is not None, problem=problem)
        for pinged in ping_targets(settings):
            last = ping.known(pinged)
            problem = ping.test(pinged) if test else last.problem if last else None
            row(pinged.name, f"every {pinged.interval_s:g} s", pinged.severity, known=last is not None, problem=problem)
    print_rows(rows, ("target", "on", "severity", "state", "problem"), as_json=around.as_json)
    return exits.ERROR if test and any(row["problem"] for row in rows) else exits.OK
