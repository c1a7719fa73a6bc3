"""Commands that publish and find without runs in mind: publish, resolve, latest-manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import human_size, print_json, print_rows, printable, published_json
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.errors import SealrunError, UsageError

if TYPE_CHECKING:
    from sealrun.bootstrap.products.artifacts import PublishedFile
    from sealrun.bootstrap.verbs.reports import PublishReport

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--experiment", envvar="SEALRUN_EXPERIMENT", help="Experiment the run belongs to.")
@click.option("--registry", "registries", multiple=True, help="Publish only there; may be given again.")
@click.option("--run-id", help="The run's id (default: its own, or derived from its content).")
@click.option("--name", "names", multiple=True, metavar="[PATH=]NAME", help="Also publish a file under a name.")
@click.option("--section", help="Which part of the work made the file at PATH.")
@click.option("--tag", "tags", multiple=True, help="Tag the run; may be given again.")
@click.option("--overwrite/--no-overwrite", default=True, help="Whether a name that is taken moves (default: it does).")
@click.option("--also-copy-to", multiple=True, type=_FOLDER, help="Copy the file at PATH there, too.")
@shared_options
def publish(  # noqa: PLR0913, PLR0917 - the options of two ways to publish
    around: Surroundings,
    path: Path,
    experiment: str | None,
    registries: tuple[str, ...],
    run_id: str | None,
    names: tuple[str, ...],
    section: str | None,
    tags: tuple[str, ...],
    also_copy_to: tuple[Path, ...],
    *,
    overwrite: bool,
) -> int:
    """Seal the folder or file at PATH and publish it now. What cannot be delivered stays queued.

    A file without --experiment is published under its own name, or under NAME, with no run in mind.

    Example: sealrun publish outbox/run-7 --experiment training
    """
    plain = [name for name in names if "=" not in name]
    no_run_in_mind = experiment is None and run_id is None and not names and path.is_file()
    by_name = bool(plain or section or also_copy_to or not overwrite or no_run_in_mind)
    if by_name:
        if len(names) > 1 or names != tuple(plain) or run_id is not None or len(registries) > 1:
            msg = "a file published by --name NAME, --section, --no-overwrite or --also-copy-to takes one NAME without "
            raise UsageError(msg + "PATH=, at most one --registry, and no --run-id")
        return _publish_file(around, path, experiment, registries, plain, section, tags, also_copy_to, overwrite)
    if experiment is None:
        msg = "Missing option '--experiment' (or $SEALRUN_EXPERIMENT)."
        raise click.UsageError(msg)
    with around.parts() as parts:
        run = parts.producer.publish(
            str(path), experiment, registries=registries, run_id=run_id, names=_names(names), tags=tags
        )
    return _tell_published(around, run)


def _publish_file(  # noqa: PLR0913, PLR0917 - as above
    around: Surroundings,
    path: Path,
    experiment: str | None,
    registries: tuple[str, ...],
    names: list[str],
    section: str | None,
    tags: tuple[str, ...],
    also_copy_to: tuple[Path, ...],
    overwrite: bool,  # noqa: FBT001 - as above
) -> int:
    from sealrun.bootstrap.products.artifacts import Artifacts  # noqa: PLC0415 - other commands do not need it

    with Artifacts(around.parts(), registries[0] if registries else None) as artifacts:
        done = artifacts.publish(
            path,
            name=names[0] if names else None,
            section=section,
            tags=tags,
            overwrite=overwrite,
            also_copy_to=also_copy_to,
            experiment=experiment,
        )
    _tell_file(around, done)
    return exits.PARTLY if any(error is not None for error in done.registries.values()) else exits.OK


def _tell_file(around: Surroundings, done: PublishedFile) -> None:
    if around.as_json:
        said = {**msgspec.structs.asdict(done), "path": None if done.path is None else str(done.path)}
        print_json({**said, "copies": [str(copy) for copy in done.copies]})
    else:
        click.echo(printable(done.name if done.path is None else str(done.path)))
    for registry, error in done.registries.items():
        if error is not None:
            click.echo(f"sealrun: {registry}: {printable(error)}", err=True)


def _tell_published(around: Surroundings, run: PublishReport) -> int:
    errors = [done.error for done in run.deliveries if done.error is not None]
    if around.as_json:
        print_json(published_json(run))
    else:
        for done in run.deliveries:
            if done.published is not None:
                news = human_size(done.published.uploaded_bytes) + " new" if done.published.new else "there already"
                click.echo(f"{run.ref} {run.root_sha256} {done.registry}: {news}")
    for done in run.deliveries:
        if done.error is not None:
            _tell_failed(done.registry, done.error, as_json=around.as_json)
    if errors and len(errors) == len(run.deliveries):
        return exits.exit_code(errors[0])
    return exits.PARTLY if errors else exits.OK


def _tell_failed(registry: str, error: SealrunError, *, as_json: bool) -> None:
    if as_json:
        said = {"class": type(error).__name__, "message": str(error), "exit_code": exits.exit_code(error)}
        click.echo(json.dumps({"error": {**said, "registry": registry}}), err=True)
    else:
        click.echo(f"sealrun: {registry}: {printable(str(error))}", err=True)


def _names(pairs: tuple[str, ...]) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in pairs:
        path, equals, name = pair.rpartition("=")
        if not equals or not path:
            msg = f"--name {pair!r}: expected PATH=NAME, such as metrics.json=training-metrics.json"
            raise UsageError(msg)
        names[path] = name
    return names


@click.command()
@click.argument("ref")
@click.option("--section", help="Only what this section published under the name REF.")
@click.option("--search-dir", "search_dirs", multiple=True, type=_FOLDER, help="Then look there; may be given again.")
@click.option("--recursive", is_flag=True, help="Look below the search dirs, too; the newest wins.")
@click.option("--no-latest", is_flag=True, help="Look in the search dirs only.")
@click.option("--optional", is_flag=True, help="Print nothing, and do not fail, if there is none.")
@registry_option
@shared_options
def resolve(
    around: Surroundings,
    ref: str,
    section: str | None,
    search_dirs: tuple[Path, ...],
    registry: str | None,
    *,
    recursive: bool,
    no_latest: bool,
    optional: bool,
) -> None:
    """Tell which run REF stands for and, for a directory registry, its path.

    With any of the options REF is the name of an artifact, and what is printed is its path on this machine: what is
    published elsewhere is fetched.

    Example: sealrun resolve metrics.csv
    """
    if section or search_dirs or recursive or no_latest or optional:
        _resolve_name(around, ref, section, search_dirs, registry, recursive, no_latest, optional)
        return
    with around.parts() as parts:
        consumer = parts.consumer(registry)
        view = consumer.resolve(ref)
        path = consumer.local_path(view)
        named = view.ref if view.path is None else f"{view.ref}:{view.path}"
        if around.as_json:
            said = {"ref": named, "run_id": view.target.run_id, "experiment": view.target.experiment}
            sha256 = view.entry(view.path).sha256 if view.path is not None else None
            more = {"root_sha256": view.target.root_sha256, "urn": view.envelope.urn, "sha256": sha256}
            print_json({**said, **more, "path": str(path) if path else None, "registry": consumer.url})
        else:
            click.echo(path if path is not None else named)


def _resolve_name(
    around: Surroundings,
    name: str,
    section: str | None,
    search_dirs: tuple[Path, ...],
    registry: str | None,
    recursive: bool,  # noqa: FBT001 - as above
    no_latest: bool,  # noqa: FBT001 - as above
    optional: bool,  # noqa: FBT001 - as above
) -> None:
    from sealrun.bootstrap.products.artifacts import Artifacts  # noqa: PLC0415 - other commands do not need it

    with Artifacts(around.parts(), registry) as artifacts:
        path = artifacts.resolve(
            name,
            section=section,
            search_dirs=search_dirs,
            prefer_latest=not no_latest,
            recursive=recursive,
            required=not optional,
        )
    if around.as_json:
        print_json({"name": name, "section": section, "path": None if path is None else str(path)})
    elif path is not None:
        click.echo(path)


@click.command("latest-manifest")
@registry_option
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if nothing is published under a name.")
@shared_options
def latest_manifest(around: Surroundings, registry: str | None, *, error_on_nothing: bool) -> int:
    """List what stands under each published name: section, time, tags, where it is.

    Example: sealrun latest-manifest
    """
    from sealrun.bootstrap.products.artifacts import Artifacts  # noqa: PLC0415 - other commands do not need it

    with Artifacts(around.parts(), registry) as artifacts:
        rows = [msgspec.structs.asdict(row) for row in artifacts.latest_manifest()]
    shown = rows if around.as_json else [{**row, "tags": ", ".join(row["tags"])} for row in rows]
    print_rows(shown, ("name", "section", "published_at_utc", "tags", "path"), as_json=around.as_json)
    return exits.NOTHING if error_on_nothing and not rows else exits.OK
