"""The command that shows where a run comes from, and what became of it: lineage."""

from __future__ import annotations

import click

from sealrun.cli.output import print_json
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.curation.drawing import as_dot, as_mermaid, as_svg, as_text
from sealrun.domain.curation.lineage import as_json

_DRAWN = {"text": as_text, "dot": as_dot, "mermaid": as_mermaid, "svg": as_svg}


@click.command()
@click.argument("ref")
@click.option("--back", is_flag=True, help="Only what it was made from.")
@click.option("--forward", is_flag=True, help="Only what was made from it.")
@click.option("--depth", metavar="N", type=click.IntRange(min=1), help="At most N steps away.")
@click.option("--format", "kind", type=click.Choice(list(_DRAWN)), default="text", show_default=True)
@registry_option
@shared_options
def lineage(
    around: Surroundings,
    ref: str,
    depth: int | None,
    kind: str,
    registry: str | None,
    *,
    back: bool,
    forward: bool,
) -> None:
    """Show what the run that REF names was made from, and what was made from it: as text, or drawn.

    Example: sealrun lineage training@latest --format svg > lineage.svg
    """
    if back and forward:
        msg = "--back and --forward exclude each other; without either both are shown"
        raise click.UsageError(msg)
    with around.parts() as parts:
        found = parts.consumer(registry).lineage(ref, back=not forward, forward=not back, depth=depth)
    if around.as_json:
        print_json(as_json(found))
    else:
        click.echo(_DRAWN[kind](found), nl=False)
