"""The command about who is told what: notify."""

from __future__ import annotations

import click

from sealrun.cli import exits
from sealrun.cli.output import print_rows
from sealrun.cli.surroundings import Surroundings, shared_options


@click.command()
@click.option("--test", is_flag=True, help="Send each target one event that says nothing happened.")
@shared_options
def notify(around: Surroundings, *, test: bool) -> int:
    """List who is told of which events, and whether they take them; or try it.

    Example: sealrun notify --test
    """
    from sealrun.bootstrap.notifying import notifier, targets  # noqa: PLC0415 - --help needs nothing of it

    rows = []
    with around.parts() as parts:
        tell = notifier(parts.journal)
        for target in targets(around.settings().targets):
            known = tell.cursor(target)
            problem = tell.test(target) if test else known.problem if known else None
            state = "never told" if known is None and not test else "ok" if problem is None else "failing"
            rows.append({"target": target.name, "on": " ".join(target.on), "state": state, "problem": problem})
    print_rows(rows, ("target", "on", "state", "problem"), as_json=around.as_json)
    return exits.ERROR if test and any(row["problem"] for row in rows) else exits.OK
