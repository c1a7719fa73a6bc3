"""Commands of the first minutes: init, demo, doctor, config, completion."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path

import click

from sealrun.cli import exits
from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.address import is_name, parse_name
from sealrun.domain.errors import ConfigurationError, SealrunError, UsageError

SETTINGS_FILE = "sealrun.toml"
_HEAD = """\
# sealrun settings. Every setting: docs/reference/settings.md; check this file with: sealrun config validate
version = 1
"""
_REGISTRY = """
# Where runs are published: a folder, s3://bucket/prefix, or any URL that fsspec knows.
[registry.{name}]
url = {url}
# storage_options = {{ endpoint_url = "https://s3.example", profile = "sealrun" }}
"""
_WATCH = """
# Every folder directly below `path` is a run. It is sealed when it holds a _SUCCESS marker, or .sealrun/done.json,
# or when nothing has changed for the settle time and nobody has its files open for writing.
[[watch]]
name = {name}
path = {path}
experiment = {experiment}
settle = "30s"
# require = ["metrics.json"]        # wait until these are there
# exclude = ["*.tmp", "core.*"]     # gitignore syntax; .sealignore works, too
# names = {{ "metrics.json" = "training-metrics.json" }}

# Nothing is ever retired unless you say so here. See first what it would do: sealrun retire --all --dry-run
# [retention.default]
# keep_last = 20                      # a run stays if any rule keeps it, or a pointer or a pin
# keep_within = "30d"
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--watch", "watch", type=click.Path(file_okay=False, path_type=Path), help="Folder in which runs appear.")
@click.option("--registry", "registries", multiple=True, metavar="URL", help="Where to publish; may be given again.")
@click.option("--experiment", help="Experiment of the runs (default: the watched folder's name).")
@shared_options
def init(
    around: Surroundings, folder: Path, watch: Path | None, registries: tuple[str, ...], experiment: str | None
) -> None:
    """Write commented settings into FOLDER and create the registries. Nothing is overwritten.

    Example: sealrun init . --watch outputs --registry s3://my-bucket/runs
    """
    target = folder / SETTINGS_FILE
    if target.exists():
        msg = f"{target}: there are settings already; edit them, or choose another folder"
        raise ConfigurationError(msg)
    watched = (watch or Path("outbox")).name or "runs"
    name = watched if is_name(watched) else "runs"
    experiment = parse_name(experiment or os.environ.get("SEALRUN_EXPERIMENT") or name, "experiment")
    text = _settings_text(_watched_path(folder, watch), name, experiment, [_registry_url(url) for url in registries])
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{target}: a path that is not UTF-8 cannot be written into settings; rename the folder"
        raise UsageError(msg) from error
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (watch.absolute() if watch else "outbox")).mkdir(parents=True, exist_ok=True)
    _write_new(target, text)
    around.config = target
    try:
        created = _create_registries(around)
    except BaseException:
        target.unlink()  # what cannot be used is not left behind: the same command works once the reason is gone
        raise
    if around.as_json:
        print_json({"settings": str(target), "registries": created})
        return
    click.echo(f"settings   {target}")
    for registry, registry_id in created.items():
        click.echo(f"registry   {registry}: {registry_id}")
    click.echo(f"next       sealrun --config {shlex.quote(str(target))} daemon")
    click.echo(f"then       drop a folder into {folder / (watch.absolute() if watch else 'outbox')}")


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
    from sealrun.bootstrap.checking import check_everything  # noqa: PLC0415 - heavy

    with around.parts() as parts:
        if forget is not None:
            if forget not in parts.registries:
                msg = f"no registry {forget!r} in the settings (they name: {', '.join(parts.registries) or 'none'})"
                raise UsageError(msg)
            parts.forget_registry(forget)
        findings = check_everything(parts)
        released = parts.release() if retry else 0
    bad = [finding for finding in findings if finding.level == "error"]
    if around.as_json:
        print_json({"findings": findings, "released": released})
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.what}: {printable(finding.detail)}")
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
    settings = around.settings()
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


def _create_registries(around: Surroundings) -> dict[str, str]:
    with around.parts() as parts:
        return {registry: parts.create_registry(registry) for registry in parts.registries}


def _settings_text(watched: str, name: str, experiment: str, registries: list[str]) -> str:
    text = _HEAD
    for number, url in enumerate(registries or ["registry"]):
        text += _REGISTRY.format(name="main" if not number else f"registry{number + 1}", url=_quoted(url))
    return text + _WATCH.format(name=_quoted(name), path=_quoted(watched), experiment=_quoted(experiment))


def _watched_path(folder: Path, watch: Path | None) -> str:
    """Return the path to write: relative where it lies inside the folder, so that all of it can be moved."""
    if watch is None:
        return "outbox"
    absolute, base = watch.absolute(), folder.absolute()
    return str(absolute.relative_to(base)) if absolute.is_relative_to(base) else str(absolute)


def _registry_url(url: str) -> str:
    return url if "://" in url else str(Path(url).absolute())


def _quoted(text: str) -> str:
    """Write a TOML string, with what `settings` expands escaped; TOML wants DEL escaped, which JSON does not."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False).replace("\x7f", "\\u007f")


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}); choose another folder"
        raise ConfigurationError(msg) from error
