"""The command that takes in many folders at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, printable, published_json
from sealrun.cli.surroundings import Surroundings, shared_options

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.importing import Imported


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--experiment", required=True, envvar="SEALRUN_EXPERIMENT", help="Experiment the runs belong to.")
@click.option("--glob", default="*", show_default=True, help="Which sub-folders are runs; */* for one level deeper.")
@click.option("--registry", "registries", multiple=True, help="Publish only there; may be given again.")
@click.option("--tag", "tags", multiple=True, help="Tag the runs; may be given again.")
@click.option("--engine", help="Where folders are sealed; see below (default: as the settings say, else threads).")
@click.option("-n", "--dry-run", is_flag=True, help="List the folders, and do nothing.")
@shared_options
def import_(
    around: Surroundings,
    folder: Path,
    experiment: str,
    glob: str,
    registries: tuple[str, ...],
    tags: tuple[str, ...],
    engine: str | None,
    *,
    dry_run: bool,
) -> int:
    """Seal every run folder below FOLDER and publish it: what was there before a watch was.

    Hidden folders and links are no runs. Repeating is harmless: what is there already is not uploaded again. The
    engine is threads, processes, dask (a cluster on this machine), dask:ADDRESS, parsl (on this machine),
    parsl:MODULE:CONFIG, or MODULE:FUNCTION, which returns a concurrent.futures.Executor; its workers must see the
    folders under the same paths.

    Example: sealrun import /data/old-runs --experiment training
    """
    from sealrun.adapters.content.engines import open_engine  # noqa: PLC0415 - for this command only
    from sealrun.bootstrap.verbs.importing import Importer  # noqa: PLC0415 - for this command only

    def tell(done: Imported) -> None:
        if around.as_json:
            print_json(_json(done))
        elif done.report is None:
            click.echo(f"left alone  {printable(done.path)}: {printable(done.rejected or '')}", err=True)
        else:
            for delivered in done.report.deliveries:
                if delivered.published is not None:
                    news = human_size(delivered.published.uploaded_bytes) + " new"
                    news = news if delivered.published.new else "there already"
                    click.echo(f"{done.report.ref} {delivered.registry}: {news}")
                else:
                    click.echo(f"failed      {done.report.ref} to {delivered.registry}: {delivered.error}", err=True)

    with around.parts() as parts:
        importer = Importer(parts.producer, str(folder), experiment, glob)
        if dry_run:
            for path in importer.folders:
                if around.as_json:
                    print_json({"path": path})
                else:
                    click.echo(printable(path))
            return exits.OK
        with open_engine(engine or around.settings().engine or "threads", around.jobs) as workers:
            done = importer.execute(workers, registries, tags, tell)
    bad = [one for one in done if one.report is None or any(each.error for each in one.report.deliveries)]
    if not around.as_json:
        click.echo(f"{len(done) - len(bad)} of {len(done)} folders imported")
    return exits.PARTLY if bad else exits.OK


def _json(done: Imported) -> dict[str, Any]:
    if done.report is None:
        return {"path": done.path, "rejected": done.rejected}
    return {"path": done.path, **published_json(done.report)}
