"""Commands that read one run: show, get, cat, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.engines import engine_option, working_on
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.settings.quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from sealrun.domain.manifest import Entry
    from sealrun.domain.publication import Stored
    from sealrun.services.scrubbing import ScrubReport

registry_option = click.option(
    "--registry", metavar="NAME|URL", help="Which registry to read (default: the first in the settings)."
)


@click.command()
@click.argument("ref")
@registry_option
@shared_options
def show(around: Surroundings, ref: str, registry: str | None) -> None:
    """Show the run that REF names: envelope, ROOT_SHA256, files.

    Example: sealrun show training@latest
    """
    with around.parts() as parts:
        view = parts.consumer(registry).show(ref)
        if around.as_json:
            files = [_file(entry, view.objects[entry.sha256]) for entry in view.manifest.entries]
            said = {"ref": view.ref, "target": view.target, "run": view.envelope.to_json(), "files": files}
            print_json({**said, "links": view.manifest.links, "directories": view.manifest.directories})
            return
        envelope = view.envelope
        facts = {
            "run": view.ref,
            "name": envelope.name,
            "status": envelope.status,
            "finished": envelope.finished_at,
            "completed by": f"{envelope.completion.method} ({envelope.completion.evidence})",
            "root": view.target.root_sha256,
            "urn": envelope.urn,
            "supersedes": envelope.supersedes,
            "size": f"{envelope.files} files, {human_size(envelope.size)}",
        }
        for label, value in facts.items():
            if value is not None:
                click.echo(f"{label:14}{printable(str(value))}")
        for entry in view.manifest.entries:
            mark = "x" if entry.executable else " "
            click.echo(f"  {entry.sha256[:12]} {mark} {human_size(entry.size):>11}  {printable(entry.path)}")
        for link in view.manifest.links:
            click.echo(f"  {'link':12}   {'':>11}  {printable(link.path)} -> {printable(link.target)}")
        for folder in view.manifest.directories:
            click.echo(f"  {'empty folder':12}   {'':>11}  {printable(folder)}/")


def _file(entry: Entry, stored: Stored) -> dict[str, Any]:
    """What is said of a file; `offset` only of one that lies in a pack."""
    inside = {} if stored.offset is None else {"offset": stored.offset}
    return {"path": entry.path, "size": entry.size, "sha256": entry.sha256, "key": stored.key, **inside}


@click.command()
@click.argument("ref")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--sealed", is_flag=True, help="The whole run folder, records included, for sha256sum -c.")
@click.option("--link", is_flag=True, help="Share a directory registry's bytes where possible, instead of copying.")
@registry_option
@shared_options
def get(around: Surroundings, ref: str, destination: Path, registry: str | None, *, sealed: bool, link: bool) -> None:
    """Restore what REF names to DESTINATION, which must not exist: exactly the folder that was dropped, verified.

    Example: sealrun get training@latest ./restored
    """
    with around.parts() as parts, progress("restoring", quiet=around.quiet) as advance:
        view, done = parts.consumer(registry).restore(ref, destination, sealed=sealed, link=link, advance=advance)
    if around.as_json:
        said = {"ref": view.ref, "path": str(destination.absolute()), "root_sha256": view.target.root_sha256}
        print_json({**said, "files": done.files, "kept": done.kept, "linked": done.shared})
    elif not around.quiet:
        kept = f", {done.kept} of {done.files} files kept from the attempt before" if done.kept else ""
        linked = f", {done.shared} of {done.files} files linked" if link else ""
        click.echo(f"{view.ref} restored to {destination}{kept}{linked}", err=True)


@click.command()
@click.argument("ref")
@registry_option
@shared_options
def cat(around: Surroundings, ref: str, registry: str | None) -> None:
    """Print one file: REF:PATH, a published name, or a run of one file.

    Example: sealrun cat training@latest:metrics.json
    """
    with around.parts() as parts:
        parts.consumer(registry).cat(ref, sys.stdout.buffer)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("ref", required=False)
@click.option("--experiment", help="Verify every run of one experiment.")
@click.option("--all", "everything", is_flag=True, help="Verify everything: runs, pointers, index.")
@click.option("--no-bytes", is_flag=True, help="Check seals, presence and sizes, but read no bytes.")
@click.option("--subset", metavar="SHARE", help="Verify so much, such as 5%: with --all the next part each time.")
@click.option("--budget", metavar="DURATION", help="With --all: stop after so long, such as 10m; the next goes on.")
@engine_option
@registry_option
@shared_options
def verify(  # noqa: PLR0913 - an option each
    around: Surroundings,
    ref: str | None,
    experiment: str | None,
    registry: str | None,
    subset: str | None,
    budget: str | None,
    engine: str | None,
    *,
    everything: bool,
    no_bytes: bool,
) -> int:
    """Check seals and stored bytes of one REF, an experiment or everything; exit with 20 if anything is damaged.

    Example: sealrun verify --all
    """
    if [ref is not None, experiment is not None, everything].count(True) != 1:
        msg = "name one of: REF, --experiment NAME, --all"
        raise click.UsageError(msg)
    share, budget_s = _how_much(subset, budget, part=ref is None and not no_bytes, everything=everything)
    if engine is not None and everything and (subset is not None or budget is not None):
        msg = "--engine verifies REF, an experiment or everything; rounds by --all --subset or --budget run without one"
        raise click.UsageError(msg)
    with (
        around.parts() as parts,
        progress("verifying", quiet=around.quiet) as advance,
        working_on(engine, around.jobs) as workers,
    ):
        scrubbed: ScrubReport | None = None
        if everything and (subset is not None or budget is not None):
            scrubbed = parts.scrub(registry, share, budget_s, advance)
        report = (
            scrubbed.report
            if scrubbed is not None
            else parts.consumer(registry).verify(
                ref, experiment=experiment, read_bytes=not no_bytes, share=share, advance=advance, engine=workers
            )
        )
    if around.as_json:
        more = (
            {}
            if scrubbed is None
            else {"window": scrubbed.window, "next": scrubbed.next, "complete": scrubbed.complete}
        )
        print_json({**msgspec.structs.asdict(report), **more})
    else:
        for damage in report.damages:
            click.echo(f"{printable(damage.place)}: {damage.kind}: {printable(damage.detail)}")
        read = "" if no_bytes else f", {human_size(report.bytes_read)} read"
        verdict = f"{len(report.damages)} damaged" if report.damages else "no damage"
        click.echo(f"{report.runs} runs, {report.objects} objects{read}: {verdict}")
        if scrubbed is not None and not around.quiet:
            state = "verified" if scrubbed.complete else "begun, and cut short by the budget"
            click.echo(f"{scrubbed.window.share:.3g} of the registry was {state}; the next round goes on", err=True)
    return exits.DAMAGE if report.damages else exits.OK


def _how_much(subset: str | None, budget: str | None, *, part: bool, everything: bool) -> tuple[float, float | None]:
    """Read the share and the budget; what cannot be meant is refused."""
    if (subset is not None and not part) or (budget is not None and not (part and everything)):
        msg = "--subset goes with --experiment or --all, --budget with --all, and neither with --no-bytes"
        raise click.UsageError(msg)
    try:
        share = 1.0 if subset is None else parse_share(subset)
        budget_s = None if budget is None else parse_duration(budget)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not share:
        msg = "--subset 0% verifies nothing"
        raise click.UsageError(msg)
    return share, budget_s
