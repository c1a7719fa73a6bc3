"""The commands about the service: service install, uninstall, show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sealrun.cli.output import print_json, printable
from sealrun.cli.surroundings import Surroundings, shared_options

if TYPE_CHECKING:
    from sealrun.bootstrap.service import Plan


@click.group()
def service() -> None:
    """Run the daemon as a service of systemd.

    Example: sealrun service install --system --dry-run
    """


@service.command()
@click.option("--system/--user", "system", default=None, help="For the machine (root's default), or for you alone.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be written; change nothing.")
@click.option("--force", is_flag=True, help="Overwrite files that were edited, or that something else wrote.")
@shared_options
def install(around: Surroundings, *, system: bool | None, dry_run: bool, force: bool) -> None:
    """Write the unit, and drop-ins for what the settings name. It is not started yet.

    The settings are those of --config; by default /etc/sealrun/sealrun.toml for the system, else those that
    commands find here.

    Example: sealrun service install --system
    """
    from sealrun.bootstrap import service as made  # noqa: PLC0415 - --help needs nothing of it

    layout = made.layout_of(user=_is_for_user(system), environ=os.environ)
    plan = made.plan_install(layout, _config(around, user=layout.user), os.environ, made.program())
    done = [] if dry_run else made.install(plan, force=force)
    if around.as_json:
        print_json({"dry_run": dry_run, "plan": plan, "done": done})
        return
    if dry_run:
        _print_plan(plan)
    for line in done:
        click.echo(printable(line))
    for note in plan.notes:
        click.echo(f"note: {printable(note)}", err=True)
    for command in plan.then:
        click.echo(f"next: {printable(command)}")


@service.command()
@click.option("--system/--user", "system", default=None, help="The machine's (root's default), or yours.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be removed; change nothing.")
@click.option("--force", is_flag=True, help="Remove files that were edited, too.")
@shared_options
def uninstall(around: Surroundings, *, system: bool | None, dry_run: bool, force: bool) -> None:
    """Stop the service and remove the files that install wrote. State, settings and registries stay.

    Example: sealrun service uninstall --dry-run
    """
    from sealrun.bootstrap import service as made  # noqa: PLC0415 - as above

    layout = made.layout_of(user=_is_for_user(system), environ=os.environ)
    done = made.uninstall(layout, force=force, dry_run=dry_run)
    if around.as_json:
        print_json({"dry_run": dry_run, "done": done})
        return
    for line in done:
        click.echo(f"{'would have ' if dry_run else ''}{printable(line)}")


@service.command()
@click.option("--system/--user", "system", default=None, help="The machine's (root's default), or yours.")
@shared_options
def show(around: Surroundings, *, system: bool | None) -> None:
    """Tell which files are installed, and how the service is.

    Example: sealrun service show
    """
    from sealrun.bootstrap import service as made  # noqa: PLC0415 - as above

    said = made.show(made.layout_of(user=_is_for_user(system), environ=os.environ))
    if around.as_json:
        print_json(said)
        return
    for path, condition in said["files"].items():
        click.echo(f"{printable(path)}: {condition}")
    if not said["files"]:
        click.echo("not installed; install it with: sealrun service install")
    for name, value in said["state"].items():
        click.echo(f"{name:14} {printable(value)}")


def _is_for_user(system: bool | None) -> bool:  # noqa: FBT001 - None: nobody said
    return os.geteuid() != 0 if system is None else not system


def _config(around: Surroundings, *, user: bool) -> Path:
    from sealrun.bootstrap.service import SYSTEM_CONFIG  # noqa: PLC0415 - --help needs nothing of it
    from sealrun.domain.errors import ConfigurationError  # noqa: PLC0415 - as above
    from sealrun.settings.loading import find_file  # noqa: PLC0415 - as above

    if around.config is None and not user and "SEALRUN_CONFIG" not in os.environ:
        around.config = Path(SYSTEM_CONFIG)
    found = find_file(around.config, os.environ, Path.cwd())
    if found is None:
        raise ConfigurationError(
            "there are no settings to run with; write some with: sealrun init, or name a file: --config"
        )
    return Path(os.path.abspath(found))  # noqa: PTH100 - a link stays one: what it leads to may be replaced


def _print_plan(plan: Plan) -> None:
    for each in plan.files:
        if each.file.body:
            click.echo(f"# {each.file.path} ({each.condition})")
            click.echo(each.file.body)
        elif each.condition == "older":
            click.echo(f"# {each.file.path}: would be removed, it is not needed any more")
    for path in plan.folders:
        click.echo(f"would make {printable(path)} for the user sealrun")
    for command in plan.commands:
        click.echo(f"would run: {' '.join(command)}")
