"""Commands about the catalogue of registry artifacts."""

from __future__ import annotations

import io
import json

import click

from sealrun.cli.output import print_json, print_rows
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options


@click.group()
def catalog() -> None:
    """List every registry artifact known, and seal that list.

    Example: sealrun catalog build
    """


@catalog.command("build")
@click.option("-m", "--why", default="", help="Why, for the history of catalog@active.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be published; write nothing.")
@registry_option
@shared_options
def build(around: Surroundings, why: str, registry: str | None, *, dry_run: bool) -> None:
    """Publish REGISTRY_CATALOG.json and ACTIVE_REGISTRY_POINTERS.json of what stands now; move catalog@active there.

    The same state gives the same bytes and the same run: repeating it publishes nothing.

    Example: sealrun catalog build
    """
    from sealrun.bootstrap.products.cataloguing import Cataloguer  # noqa: PLC0415 - for this command only

    with around.parts() as parts:
        report = Cataloguer(parts, registry).build(dry_run=dry_run, why=why)
    if around.as_json:
        print_json({"state": report.state, "ref": report.ref, "registries": report.registries, "cycles": report.cycles})
        return
    shown = {"published": "published, and active", "stands": "stands already", "would publish": "would be published"}
    click.echo(f"{report.ref}: {report.registries} registries, {shown[report.state]}")
    if report.cycles:
        click.echo(f"made from each other in a circle: {', '.join(report.cycles)}", err=True)


@catalog.command("show")
@click.option("--pointers", is_flag=True, help="Show which run of each is active instead.")
@click.option("--now", is_flag=True, help="Show what stands now, not the catalogue that was published.")
@registry_option
@shared_options
def show(around: Surroundings, registry: str | None, *, pointers: bool, now: bool) -> None:
    """List the registries of the active catalogue: schema, authority, owner, active run.

    Example: sealrun catalog show
    """
    from sealrun.bootstrap.products.cataloguing import Cataloguer  # noqa: PLC0415 - for this command only
    from sealrun.domain.curation.catalogue import ACTIVE, CATALOG_EXPERIMENT, CATALOG_FILE, POINTERS_FILE  # noqa: PLC0415 - so

    with around.parts() as parts:
        if now:
            built = Cataloguer(parts, registry).read()
            body = built.pointers if pointers else built.catalog
        else:
            out = io.BytesIO()
            file = POINTERS_FILE if pointers else CATALOG_FILE
            parts.consumer(registry).cat(f"{CATALOG_EXPERIMENT}@{ACTIVE}:{file}", out)
            body = out.getvalue()
    said = json.loads(body)
    if pointers:
        print_rows(said["pointers"], ("pointer", "generation", "run_id", "moved_at", "by"), as_json=around.as_json)
        return
    columns = ("experiment", "registry", "type", "schema", "authority", "owner", "active")
    print_rows(said["registries"], columns, as_json=around.as_json)
