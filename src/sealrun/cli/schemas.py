"""Commands about schemas: those that are published with sealrun, and versions of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from sealrun.cli.output import print_json, print_rows
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options


@click.group()
def schema() -> None:
    """Print published schemas; keep versions of your own.

    Example: sealrun schema show run
    """


@schema.command("add")
@click.argument("schema_id", metavar="NAME/VERSION")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@registry_option
@shared_options
def add(around: Surroundings, schema_id: str, file: Path, registry: str | None) -> None:
    """Keep the JSON Schema in FILE under NAME/VERSION, for ever: a version is never changed.

    Example: sealrun schema add run-registry/0.1 run-registry.schema.json
    """
    from sealrun.adapters.content.json_schema import read_schema_file  # noqa: PLC0415 - for this command only

    with around.parts() as parts:
        kept = parts.governor(registry, writing=True).add_schema(schema_id, read_schema_file(file))
    said = {"schema": kept.id, "schema_sha256": kept.schema_sha256, "added_at": kept.added_at, "by": kept.by}
    if around.as_json:
        print_json(said)
    else:
        click.echo(f"{kept.id} is kept: {kept.schema_sha256[:12]}, added {kept.added_at} by {kept.by}")


@schema.command("ls")
@click.argument("name", required=False)
@click.option("--published", is_flag=True, help="List those that are published with sealrun.")
@registry_option
@shared_options
def ls(around: Surroundings, name: str | None, registry: str | None, *, published: bool) -> None:
    """List the registry's schemas, or the versions of NAME.

    Example: sealrun schema ls
    """
    from sealrun.domain.schemas import PUBLISHED  # noqa: PLC0415 - not needed by `--help`

    if published:
        rows = [{"schema": known, "of": title} for known, title in PUBLISHED.items() if name in {None, known}]
        print_rows(rows, ("schema", "of"), as_json=around.as_json)
        return
    with around.parts() as parts:
        found = parts.governor(registry).schemas(name)
    kept = [
        {"schema": each.id, "schema_sha256": each.schema_sha256, "added_at": each.added_at, "by": each.by}
        for each in found
    ]
    print_rows(kept, ("schema", "added_at", "by", "schema_sha256"), as_json=around.as_json)


@schema.command("show")
@click.argument("name")
@registry_option
@shared_options
def show(around: Surroundings, name: str, registry: str | None) -> None:
    """Print a schema: NAME of a published one (see schema ls --published), or NAME/VERSION of the registry's.

    Example: sealrun schema show run-registry/0.1
    """
    from sealrun.adapters.content.published_schemas import published_text  # noqa: PLC0415 - not needed by `--help`
    from sealrun.domain.records import canonical_json  # noqa: PLC0415 - as above

    if "/" not in name:
        click.echo(published_text(name), nl=False)
        return
    with around.parts() as parts:
        click.echo(canonical_json(parts.governor(registry).schema(name)).decode(), nl=False)
