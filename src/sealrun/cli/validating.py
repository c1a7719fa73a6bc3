"""The command that validates sets of registry artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, registry_option, shared_options

if TYPE_CHECKING:
    from sealrun.bootstrap.parts import Parts
    from sealrun.domain.curation.validating import Validation


@click.command()
@click.argument("ref", metavar="REF")
@click.option("--folder", is_flag=True, help="REF is a folder on this machine that any tool sealed.")
@click.option("--no-bytes", is_flag=True, help="Check presence and sizes of the files, but do not hash them again.")
@click.option("--error-on-nothing", is_flag=True, help="Exit with 4 if REF holds no registry artifact.")
@registry_option
@shared_options
def validate(
    around: Surroundings, ref: str, registry: str | None, *, folder: bool, no_bytes: bool, error_on_nothing: bool
) -> int:
    """Check what REF promises: seal, composition, schemas, pointers, and what it was made from; 20 if anything fails.

    REF is a run; a path that is a folder on this machine (./runs/x) needs no --folder. Nothing is written.

    Example: sealrun validate registries@active
    """
    if folder or (ref.startswith((".", "/", "~")) and Path(ref).expanduser().is_dir()):
        result = _validate_folder(around, str(Path(ref).expanduser()), registry)
    else:
        with around.parts() as parts:
            result = parts.governor(registry).validate(ref, read_bytes=not no_bytes)
    if around.as_json:
        print_json({**msgspec.to_builtins(result), "passed": result.passed})
    else:
        for finding in result.findings:
            click.echo(
                f"{finding.level:5}  {finding.check:12}  {printable(finding.where)}: {printable(finding.detail)}"
            )
        errors = sum(finding.level == "error" for finding in result.findings)
        click.echo(f"{printable(result.ref)}: {f'{errors} errors' if errors else 'valid'}")
    if not result.passed:
        return exits.DAMAGE
    plain = any(finding.check == "composition" and finding.level == "note" for finding in result.findings)
    return exits.NOTHING if error_on_nothing and plain else exits.OK


def _validate_folder(around: Surroundings, path: str, registry: str | None) -> Validation:
    """Validate a folder. Only one that names a schema of a registry needs settings."""
    from sealrun.bootstrap.verbs.governing import validate_folder  # noqa: PLC0415 - not needed by `--help`

    opened: list[Parts] = []

    def find(schema_id: str) -> object:
        if not opened:
            opened.append(around.parts())
        return opened[0].governor(registry).schema(schema_id)

    try:
        return validate_folder(path, find)
    finally:
        for parts in opened:
            parts.__exit__(None, None, None)
