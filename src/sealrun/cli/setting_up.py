"""Commands of the first minutes: demo, doctor, config, completion."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import SealrunError, UsageError


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@shared_options
def demo(around: Surroundings, folder: Path | None) -> None:  # noqa: ARG001 - the demonstration has its own settings
    """Show the main job in half a minute: a run is written, noticed, sealed, published, verified and read.

    Example: sealrun demo
    """
    from sealrun.cli.demonstration import demonstrate  # noqa: PLC0415 - only the demonstration needs it

    room = folder if folder is not None else Path(tempfile.mkdtemp(prefix="sealrun-demo-")) / "demo"
    demonstrate(room)
    click.echo(f"7. all of it is left in {room} to look at; remove it when you have seen enough")


@click.command()
@click.option("--retry", is_flag=True, help="Have everything that is parked or postponed tried again now.")
@click.option("--forget-registry", "forget", metavar="NAME", help="Accept another registry at the place of this one.")
@shared_options
def doctor(around: Surroundings, forget: str | None, *, retry: bool) -> int:
    """Check settings, folders, registries, clocks and limits, and say what to do.

    Example: sealrun doctor
    """
    from sealrun.bootstrap.doctor.checking import check_everything  # noqa: PLC0415 - heavy

    around.tell_if_unset()
    with around.parts() as parts:
        if forget is not None:
            if forget not in parts.registries:
                msg = f"no registry {forget!r} in the settings (they name: {', '.join(parts.registries) or 'none'})"
                raise UsageError(msg)
            parts.forget_registry(forget)
        findings = check_everything(parts, around.settings())
        released = parts.release() if retry else 0
    bad = [finding for finding in findings if finding.level == "error"]
    if around.as_json:
        print_json({"findings": findings, "released": released})
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.what}: {printable(finding.detail)}")
            if finding.do:
                click.echo(f"         {printable(finding.do)}")
        if retry:
            click.echo(f"released {released} deliveries")
    return exits.ERROR if bad else exits.OK


@click.group()
def config() -> None:
    """Show, validate or describe the settings.

    Example: sealrun config validate
    """


@config.command("show")
@shared_options
def show(around: Surroundings) -> None:
    """Print the settings as they were understood, secrets masked.

    Example: sealrun config show --json
    """
    shown = around.settings().shown()
    click.echo(json.dumps(shown, indent=None if around.as_json else 2, sort_keys=around.as_json))


@config.command("validate")
@shared_options
def validate(around: Surroundings) -> None:
    """Check the settings; exit with 78 and the reason if they are wrong.

    Example: sealrun config validate --config sealrun.toml
    """
    settings = around.settings_to_watch_by()
    if around.as_json:
        print_json(
            {"file": str(settings.file) if settings.file else None, "valid": True, "warnings": settings.warnings}
        )
        return
    click.echo(f"{settings.file or 'no settings file'}: valid")
    for warning in settings.warnings:
        click.echo(f"note: {warning}")


@config.command("schema")
@shared_options
def schema(around: Surroundings) -> None:
    """Print the JSON Schema of a settings file, for editors.

    Example: sealrun config schema > sealrun.schema.json
    """
    from sealrun.settings.schema import json_schema  # noqa: PLC0415 - only this command needs it

    click.echo(json.dumps(json_schema(), indent=None if around.as_json else 2))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
def completion(around: Surroundings, shell: str) -> None:
    """Print a completion script for SHELL.

    Example: source <(sealrun completion bash)
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only this command needs it

    from sealrun.cli.main import root  # noqa: PLC0415 - the root imports this module lazily, too

    kind = get_completion_class(shell)
    if kind is None:
        msg = f"no completion for {shell}"
        raise SealrunError(msg)
    source = kind(root, {}, "sealrun", "_SEALRUN_COMPLETE").source()
    if around.as_json:
        print_json({"shell": shell, "script": source})
    else:
        click.echo(source)
