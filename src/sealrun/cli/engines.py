"""The option that says where bulk work runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor

engine_option = click.option(
    "--engine",
    metavar="ENGINE",
    help="threads, processes, dask[:ADDRESS], parsl[:MODULE:CONFIG], MODULE:FUNCTION (default: in this process).",
)


@contextmanager
def working_on(engine: str | None, jobs: int | None) -> Iterator[Executor | None]:
    """Open an engine for the length of the block, if one was named."""
    if engine is None:
        yield None
        return
    from sealrun.adapters.engines import open_engine  # noqa: PLC0415 - for bulk work only

    with open_engine(engine, jobs) as workers:
        yield workers
