"""The option that says where bulk work runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sealrun.cli.surroundings import Surroundings

if TYPE_CHECKING:
    from concurrent.futures import Executor

engine_option = click.option(
    "--engine",
    metavar="ENGINE",
    help="threads, processes, dask[:ADDRESS], parsl[:MODULE:CONFIG], MODULE:FUNCTION (default: as the settings say).",
)


@contextmanager
def working_on(around: Surroundings, engine: str | None) -> Iterator[Executor | None]:
    """Open an engine for the length of the block: the one that was named, else the one of the settings, else none."""
    name = engine or around.settings().engine
    if name is None:
        yield None
        return
    from sealrun.adapters.content.engines import open_engine  # noqa: PLC0415 - for bulk work only

    with open_engine(name, around.jobs) as workers:
        yield workers
