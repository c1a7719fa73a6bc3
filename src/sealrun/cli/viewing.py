"""Commands that show many runs at once: tb, links and gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.curation.galleries import check_patterns
from sealrun.domain.curation.tabulating import parse_condition

F = TypeVar("F", bound=Callable[..., Any])
_FOLDER = click.Path(path_type=Path, file_okay=False)
_where = click.option("--where", metavar="NAME=VALUE", multiple=True, help="Only such runs; see: sealrun ls --help.")


def _of_one_experiment(command: F) -> F:
    """Add what says which runs of an experiment are meant."""
    limit = click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the newest N of them.")
    return click.argument("experiment")(_where(limit(command)))


@click.command()
@_of_one_experiment
@click.option("--into", metavar="FOLDER", type=_FOLDER, help="Make it there (default: below the user's cache).")
@registry_option
@shared_options
def tb(
    around: Surroundings,
    experiment: str,
    into: Path | None,
    where: tuple[str, ...],
    limit: int | None,
    registry: str | None,
) -> int:
    """Print a directory with the event files of an EXPERIMENT's runs, for TensorBoard; call it again for new runs.

    Example: tensorboard --logdir "$(sealrun tb training)"
    """
    from sealrun.bootstrap.products.viewing import Choice, Viewer  # noqa: PLC0415 - --help needs nothing of it

    choice = Choice(experiment, [parse_condition(text) for text in where], limit)
    with Viewer(around.parts(), registry) as viewer, progress("fetching", quiet=around.quiet) as advance:
        found = viewer.tensorboard(choice, into, advance)
    if around.as_json:
        print_json(found)
    else:
        click.echo(str(found.path))
        if not around.quiet:
            rest = f"; {len(found.without)} without event files" if found.without else ""
            counts = f"{len(found.runs)} runs: {len(found.added)} added, {len(found.removed)} removed{rest}"
            click.echo(counts, err=True)
    return exits.OK


@click.command()
@_of_one_experiment
@click.option("--into", metavar="FOLDER", type=_FOLDER, required=True, help="Where the links are made.")
@registry_option
@shared_options
def links(
    around: Surroundings,
    experiment: str,
    into: Path,
    where: tuple[str, ...],
    limit: int | None,
    registry: str | None,
) -> int:
    """Make a folder of links to an EXPERIMENT's runs, their files and their inputs; call it again for new runs.

    Example: sealrun links training --into browse
    """
    from sealrun.bootstrap.products.linking import Linker  # noqa: PLC0415 - --help needs nothing of it
    from sealrun.bootstrap.products.viewing import Choice  # noqa: PLC0415 - as above

    choice = Choice(experiment, [parse_condition(text) for text in where], limit)
    with Linker(around.parts(), registry) as linker, progress("linking", quiet=around.quiet) as advance:
        found = linker.links(choice, into, advance)
    if around.as_json:
        print_json(found)
    else:
        click.echo(str(found.path))
        for name in found.gone:
            click.echo(f"{printable(name)}: is in the registry no longer; there is no link to it", err=True)
    return exits.OK


@click.command()
@click.argument("experiments", metavar="EXPERIMENT...", nargs=-1, required=True)
@click.option("--picture", "pictures", metavar="PATTERN", multiple=True, required=True, help="Such as trace.png.")
@click.option("--into", metavar="FOLDER", type=_FOLDER, required=True, help="Where the gallery is written.")
@click.option("--by", metavar="NAME", help="Group runs by this column, such as params.sampler (default: pipeline_id).")
@click.option("--metric", "metrics", metavar="NAME", multiple=True, help="Show this metric (default: all).")
@_where
@click.option("--title", help="The page's title (default: the experiments).")
@click.option("--format", "kind", type=click.Choice(["markdown", "html", "both"]), default="both", show_default=True)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be shown, and write nothing.")
@registry_option
@shared_options
def gallery(  # noqa: PLR0913, PLR0917 - an option each
    around: Surroundings,
    experiments: tuple[str, ...],
    pictures: tuple[str, ...],
    into: Path,
    by: str | None,
    metrics: tuple[str, ...],
    where: tuple[str, ...],
    title: str | None,
    kind: str,
    registry: str | None,
    *,
    dry_run: bool,
) -> int:
    """Show of each group of runs the newest that has the picture: copies with plain names, and pages with metrics.

    Example: sealrun gallery training --picture trace.png --by params.sampler --into docs/gallery
    """
    from sealrun.bootstrap.products.viewing import Choice, Viewer, Wanted  # noqa: PLC0415 - as above

    check_patterns(pictures)
    conditions = [parse_condition(text) for text in where]
    wanted = Wanted(pictures=pictures, by=by, metrics=metrics, title=title)
    with Viewer(around.parts(), registry) as viewer:
        page = viewer.plan_gallery([Choice(name, conditions) for name in experiments], wanted)
        removed = (
            []
            if dry_run or not page.pictures
            else viewer.write_gallery(page, into, markdown=kind != "html", as_page=kind != "markdown")
        )
    if around.as_json:
        print_json(
            {"path": str(into.absolute()), "pictures": page.pictures, "without": page.without, "removed": removed}
        )
    else:
        for shown in page.pictures:
            click.echo(
                f"{printable(shown.file)}  {human_size(shown.size)}  {printable(shown.ref)}:{printable(shown.path)}"
            )
        for group in page.without:
            click.echo(f"{printable(group)}: no run has such a picture", err=True)
        for name in removed:
            click.echo(f"{printable(name)}: removed, shown no longer", err=True)
    if not page.pictures:
        click.echo("nothing to show: no run has such a picture; nothing was written", err=True)
        return exits.ERROR
    return exits.OK
