"""Commands that read one run: show, get, cat, verify."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.engines import engine_option, working_on
from sealrun.cli.output import human_size, print_json, printable, progress
from sealrun.cli.signing import as_rows, refuse_signer_alone, say_signatures, say_signed, signed_by_options
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options
from sealrun.domain.long_json import Many
from sealrun.settings.quantities import parse_duration, parse_share

if TYPE_CHECKING:
    from sealrun.bootstrap.parts import Parts
    from sealrun.domain.curation.signing import SignedRun
    from sealrun.domain.registry.publication import Stored
    from sealrun.domain.runs.manifest import Entry
    from sealrun.services.mending.scrubbing import ScrubReport


@click.command()
@click.argument("ref")
@registry_option
@shared_options
def show(around: Surroundings, ref: str, registry: str | None) -> None:
    """Show the run that REF names: envelope, ROOT_SHA256, files.

    Example: sealrun show training@latest
    """
    from sealrun.services.curation.signing import signatures_of  # noqa: PLC0415 - --help needs nothing of it

    with around.parts() as parts:
        consumer = parts.consumer(registry)
        view = consumer.show(ref)
        signatures = signatures_of(consumer.reader.store, view.target)
        if around.as_json:
            entries, objects = view.manifest.entries, view.objects
            files = Many(lambda: (_file(entry, objects[entry.sha256]) for entry in entries))
            said = {"ref": view.ref, "target": view.target, "run": view.envelope.to_json(), "files": files}
            said["signatures"] = as_rows(signatures)
            print_json({**said, "links": view.manifest.links, "directories": view.manifest.directories})
            return
        envelope = view.envelope
        facts = {
            "run": view.ref,
            "name": envelope.name,
            "called": envelope.called,
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
        say_signatures(signatures)
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
@signed_by_options
@engine_option
@registry_option
@shared_options
def verify(  # noqa: PLR0913, PLR0917 - an option each
    around: Surroundings,
    ref: str | None,
    experiment: str | None,
    registry: str | None,
    subset: str | None,
    budget: str | None,
    engine: str | None,
    signed_by: Path | None,
    signer: str | None,
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
    in_rounds = everything and (subset is not None or budget is not None)
    refuse_signer_alone(signed_by, signer, in_rounds=in_rounds)
    with (
        around.parts() as parts,
        progress("verifying", quiet=around.quiet) as advance,
        working_on(around, engine) as workers,
    ):
        scrubbed: ScrubReport | None = None
        signed: list[SignedRun] = []
        if in_rounds:
            scrubbed = parts.scrub(registry, share, budget_s, advance)
            report = scrubbed.report
        elif signed_by is None:
            report = parts.consumer(registry).verify(
                ref, experiment=experiment, read_bytes=not no_bytes, share=share, advance=advance, engine=workers
            )
        else:
            from sealrun.bootstrap.products.signing import AllowedSigners, with_signers  # noqa: PLC0415 - not for others

            checker, consumer = AllowedSigners(signed_by, signer), parts.consumer(registry)
            target = None if ref is None else consumer.reader.resolve(ref)  # once: a pointer may move meanwhile
            report = consumer.verify(
                target, experiment=experiment, read_bytes=not no_bytes, share=share, advance=advance, engine=workers
            )
            report, signed = with_signers(report, consumer.reader, target or experiment, checker)
        whole = not no_bytes and share >= 1.0 and not in_rounds
        parts.verified(registry, report.damages, _looked_at(parts, registry, ref, experiment, whole=whole))
        place = _place(parts, registry)
    if around.as_json:
        more: dict[str, Any] = (
            {}
            if scrubbed is None
            else {"window": scrubbed.window, "next": scrubbed.next, "complete": scrubbed.complete}
        )
        if signed_by is not None:
            more["signed"] = signed
        print_json({**place, **msgspec.structs.asdict(report), **more})
    else:
        for damage in report.damages:
            click.echo(f"{printable(damage.place)}: {damage.kind}: {printable(damage.detail)}")
        read = "" if no_bytes else f", {human_size(report.bytes_read)} read"
        unsigned = sum(damage.kind == "signature" for damage in report.damages)
        damaged = len(report.damages) - unsigned
        verdict = (f"{damaged} damaged" if damaged else "no damage") + (f", {unsigned} not signed" if unsigned else "")
        say_signed(signed)
        where = " ".join(dict.fromkeys(place.values()))
        click.echo(f"{printable(where)}: {report.runs} runs, {report.objects} objects{read}: {verdict}")
        if scrubbed is not None and not around.quiet:
            state = "verified" if scrubbed.complete else "begun, and cut short by the budget"
            click.echo(f"{scrubbed.window.share:.3g} of the registry was {state}; the next round goes on", err=True)
    return exits.DAMAGE if report.damages else exits.OK


def _place(parts: Parts, registry: str | None) -> dict[str, str]:
    """Say which registry is meant, and where it is."""
    from sealrun.bootstrap.registries import find_spec  # noqa: PLC0415 - --help needs nothing of it

    spec = find_spec(parts.registries, registry)
    return {"registry": spec.name, "url": spec.shown_url}


def _looked_at(
    parts: Parts, registry: str | None, ref: str | None, experiment: str | None, *, whole: bool
) -> Callable[[str], bool]:
    """Which references were verified so that nothing unsaid is damaged: none, where bytes were left out.

    Asked of what is known to be damaged only; what REF stands for is not looked up where nothing is.
    """
    asked: list[str] = []

    def looked_at(known: str) -> bool:
        if ref is not None and not asked:
            target = parts.consumer(registry).reader.resolve(ref)
            asked.append(f"{target.experiment}/{target.run_id}")
        of_run, of_experiment = known in asked, known.partition("/")[0] == experiment
        return whole and (of_run or of_experiment or (ref is None and experiment is None))

    return looked_at


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
