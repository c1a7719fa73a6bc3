"""Commands that hold a daemon back: pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from sealrun.cli.output import print_rows, printable
from sealrun.cli.surroundings import Surroundings, shared_options
from sealrun.domain.errors import UsageError
from sealrun.settings.quantities import parse_duration

if TYPE_CHECKING:
    from sealrun.bootstrap.verbs.holding import Paused

_registry = click.option("--registry", "registries", metavar="NAME", multiple=True, help="Deliveries to this registry.")
_watch = click.option("--watch", "watches", metavar="NAME", multiple=True, help="Sealing in this watch.")


@click.command()
@_registry
@_watch
@click.option("--for", "for_", metavar="2h", help="How long (default: until resumed).")
@click.option("-m", "--reason", default="", metavar="TEXT", help="Why, for whoever looks at the status.")
@shared_options
def pause(
    around: Surroundings, registries: tuple[str, ...], watches: tuple[str, ...], for_: str | None, reason: str
) -> None:
    """Begin no delivery to a registry, or leave a watch alone; without a name all of them.

    What is in flight is finished, and the rest waits in the queue. A pause lasts through restarts.

    Example: sealrun pause --registry main --for 2h -m "the link is needed"
    """
    try:
        for_s = None if for_ is None else parse_duration(for_)
    except ValueError as error:
        msg = f"--for: {error}"
        raise UsageError(msg) from error
    with around.parts() as parts:
        done = parts.pauses.pause(registries, watches, for_s=for_s, reason=reason)
    _tell(around, done)


@click.command()
@_registry
@_watch
@shared_options
def resume(around: Surroundings, registries: tuple[str, ...], watches: tuple[str, ...]) -> None:
    """Let what was paused go on; without a name everything. A daemon notices within seconds.

    Quiet hours are not ended by this.

    Example: sealrun resume
    """
    with around.parts() as parts:
        done = parts.pauses.resume(registries, watches)
    _tell(around, done)


def _tell(around: Surroundings, done: list[Paused]) -> None:
    if around.as_json:
        rows = [
            {
                "kind": one.kind,
                "name": one.name,
                "pause": None if one.pause is None else msgspec.to_builtins(one.pause),
                "changed": one.changed,
            }
            for one in done
        ]
        print_rows(rows, (), as_json=True)
        return
    for one in done:
        if one.pause is not None:
            until = "until somebody resumes it" if one.pause.until is None else f"until {one.pause.until}"
            click.echo(f"{one.kind} {printable(one.name)} is paused {until}")
        else:
            click.echo(f"{one.kind} {printable(one.name)} {'goes on' if one.changed else 'was not paused'}")
