"""The command that writes a run in the format of others: export."""

from __future__ import annotations

from pathlib import Path

import click

from sealrun.cli.output import print_json, progress
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.curation.exporting import FORMATS
from sealrun.domain.errors import UsageError

_STATEMENT = "in-toto"


@click.command()
@click.argument("ref")
@click.argument("destination", type=click.Path(path_type=Path), required=False)
@click.option("--format", "kind", metavar="FORMAT", help="bagit, ro-crate or in-toto. Required.")
@registry_option
@shared_options
def export(around: Surroundings, ref: str, destination: Path | None, kind: str | None, registry: str | None) -> None:
    """Write the run that REF names to DESTINATION as a bag or a crate, verified; or print a statement about its seal.

    Example: sealrun export training@latest ./bag --format bagit
    """
    from sealrun.bootstrap.products.exporting import Exporter  # noqa: PLC0415 - --help needs nothing of it

    if kind is None or kind not in FORMATS:
        wrong = "which format?" if kind is None else f"no format {kind!r}."
        lines = "".join(f"\n   --format {name:9} {text}" for name, text in FORMATS.items())
        raise UsageError(f"{wrong} There are:{lines}")
    if (destination is None) != (kind == _STATEMENT):
        msg = "bagit and ro-crate need a DESTINATION; in-toto is printed"
        raise click.UsageError(msg)
    with Exporter(around.parts(), registry) as exporter:
        if destination is None:
            click.echo(exporter.statement(ref), nl=False)
            return
        with progress("exporting", quiet=around.quiet) as advance:
            run = exporter.folder(ref, destination, kind, advance)
    if around.as_json:
        print_json({"ref": run, "path": str(destination.absolute()), "format": kind})
    elif not around.quiet:
        click.echo(f"{run} exported to {destination}", err=True)
