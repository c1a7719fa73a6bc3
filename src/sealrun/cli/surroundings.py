"""What every command shares: the settings, the parts, and how to print. Built from the global options."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from sealrun.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from sealrun.bootstrap.parts import Parts
    from sealrun.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

NO_SETTINGS = (
    "no settings were found in ./sealrun.toml, the user's folder or /etc/sealrun; "
    "name them with --config FILE or $SEALRUN_CONFIG, or write some: sealrun init"
)


class Surroundings(msgspec.Struct):
    """The global options as they were given, before or after the command's name."""

    config: Path | None = None
    verbose: int = 0
    quiet: bool = False
    as_json: bool = False
    jobs: int | None = None

    def settings(self) -> Settings:
        """Load the settings now. `ConfigurationError` says what is wrong with them, and where."""
        from sealrun.settings import load_settings  # noqa: PLC0415 - only commands that need settings pay for them

        return load_settings(self.config, os.environ, Path.cwd())

    def settings_to_watch_by(self) -> Settings:
        """Do the same for whoever watches: folders must not meet by way of links, either."""
        from sealrun.settings.checking import check_real_places  # noqa: PLC0415 - as above

        settings = self.settings()
        check_real_places(settings)
        return settings

    def tell_if_unset(self) -> None:
        """Say on stderr that no settings were found: what is told of this folder then is not what a daemon does."""
        named = any(os.environ.get(name) for name in ("SEALRUN_STORE", "SEALRUN_HOME"))
        if not self.quiet and not named and self.settings().file is None:
            click.echo(f"sealrun: {NO_SETTINGS}", err=True)

    def parts(self) -> Parts:
        """Build the parts from the settings."""
        from sealrun.bootstrap.allocating import return_large_buffers  # noqa: PLC0415 - not needed by `--help`
        from sealrun.bootstrap.describing import described_registries  # noqa: PLC0415 - as above
        from sealrun.bootstrap.parts import Parts  # noqa: PLC0415 - as above

        return_large_buffers()
        settings = self.settings()
        return Parts(
            settings.state,
            described_registries(settings),
            settings.watches,
            jobs=self.jobs,
            mirrors=settings.mirrors,
            keeping=settings.keeping,
            gates=settings.gates,
            metrics=settings.metrics,
        )

    def journal_parts(self, problem: ConfigurationError) -> Parts:
        """Build what the journal knows by itself, where settings are wrong: by those that a daemon took last.

        Raises `problem` where that is nothing.
        """
        from sealrun.adapters.journal import JOURNAL_FILE  # noqa: PLC0415 - where settings are wrong only
        from sealrun.bootstrap.parts import Parts  # noqa: PLC0415 - as above
        from sealrun.bootstrap.verbs.in_force import taken_settings  # noqa: PLC0415 - as above
        from sealrun.settings.loading import state_folder  # noqa: PLC0415 - as above

        state = state_folder(self.config, os.environ, Path.cwd())
        if state is None or not (state / JOURNAL_FILE).exists():
            raise problem
        with Parts(state, {}, ()) as bare:
            taken = taken_settings(bare.journal.facts)
        registries, watches = ({}, []) if taken is None else taken.specs()
        return Parts(state, registries, watches)

    def set_up_logging(self) -> None:
        """Log to stderr: warnings, or more with ``-v``; a daemon's news by default."""
        level = logging.WARNING if not self.verbose else logging.INFO if self.verbose == 1 else logging.DEBUG
        if self.quiet:
            level = logging.ERROR
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
        logging.getLogger("sealrun").setLevel(level)


def shared_options(command: F) -> F:
    """Add the global options to a command, so that they may stand before or after its name."""

    @functools.wraps(command)
    def merged(*args: Any, **options: Any) -> object:  # noqa: ANN401 - whatever click passes
        around = click.get_current_context().ensure_object(Surroundings)
        around.config = options.pop("config") or around.config
        around.verbose = max(around.verbose, options.pop("verbose"))
        around.quiet = options.pop("quiet") or around.quiet
        around.as_json = options.pop("as_json") or around.as_json
        around.jobs = options.pop("jobs") or around.jobs
        around.set_up_logging()
        return command(around, *args, **options)

    for option in reversed(_options()):
        merged = option(merged)
    return merged  # type: ignore[return-value] # the wrapper takes what click passes


def _options() -> list[Callable[[F], F]]:
    path = click.Path(dir_okay=False, path_type=Path)
    return [
        click.option("-c", "--config", type=path, help="Settings file (default: searched for)."),
        click.option("-j", "--jobs", type=click.IntRange(min=1), help="Threads that hash files."),
        click.option("-v", "--verbose", count=True, help="Say more on stderr; twice for tracebacks, too."),
        click.option("-q", "--quiet", is_flag=True, help="Say less on stderr."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON (JSON Lines for lists)."),
    ]


registry_option = click.option(
    "--registry", metavar="NAME|URL", help="Which registry to read (default: the first in the settings)."
)
