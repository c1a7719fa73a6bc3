"""Where bulk work runs: threads, processes of this machine, a Dask cluster, Parsl, or any executor by name."""

from __future__ import annotations

import importlib
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sealrun.domain.errors import ConfigurationError, UnavailableError

_LEAST_WIDTH = 8
ENGINES = "threads, processes, dask, dask:ADDRESS, parsl, parsl:MODULE:CONFIG, MODULE:FUNCTION"
"""What `open_engine` takes, for messages and help texts."""


@contextmanager
def open_engine(name: str = "threads", jobs: int | None = None) -> Iterator[Executor]:
    """Open the engine of that name with `jobs` workers; what was started here ends with the block.

    ``threads`` and ``processes`` (started anew, never forked) are of this machine; ``dask`` starts a cluster on this
    machine, and ``dask:tcp://HOST:PORT`` uses one that is there, whose workers have sealrun and see the same files;
    ``parsl`` starts Parsl's workers on this machine, and ``parsl:MODULE:CONFIG`` uses a `parsl.Config`, or a function
    that returns one: clusters and batch systems. ``MODULE:FUNCTION`` calls a function that returns any other
    `concurrent.futures.Executor`.
    `ConfigurationError` says what is wrong with the name; `UnavailableError`: nobody answers at the address.
    """
    workers = jobs or os.cpu_count() or 1
    kind, _, where = name.partition(":")
    if name == "threads":
        with ThreadPoolExecutor(workers, thread_name_prefix="engine") as pool:
            yield pool
    elif name == "processes":
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool_of_processes:
            yield pool_of_processes
    elif kind == "dask":
        with _dask(where, workers) as executor:
            yield executor
    elif kind == "parsl":
        with _parsl(where, workers) as parsls:
            yield parsls
    elif where:
        with _factory(kind, where) as made:
            yield made
    else:
        msg = f"no engine {name!r}; there are: {ENGINES}"
        raise ConfigurationError(msg)


def width_of(engine: Executor) -> int:
    """How many tasks are worth having in flight: two for each worker, so that none waits for the next."""
    client = getattr(engine, "_client", None)  # neither kind of executor tells in public
    workers = getattr(engine, "_max_workers", 0) if client is None else sum(client.nthreads().values())
    return max(_LEAST_WIDTH, 2 * int(workers))


@contextmanager
def _dask(address: str, workers: int) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 - large, and only for this engine
    except ImportError as error:
        msg = "the engine dask needs the package distributed: pip install 'sealrun[dask]'"
        raise ConfigurationError(msg) from error
    if address:
        try:
            client = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call] # it has no annotations
        except (OSError, TimeoutError, ValueError) as error:
            msg = (
                f"no Dask scheduler answers at {address} ({type(error).__name__}); is it running, and is it reachable?"
            )
            raise UnavailableError(msg) from error
        with client, _telling_of_lost_workers():
            yield client.get_executor(pure=False)  # type: ignore[no-untyped-call] # as above
        return
    logging.getLogger("distributed").setLevel(logging.WARNING)  # what it says of its own coming and going is no news
    local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with (
        LocalCluster(**local) as cluster,  # type: ignore[no-untyped-call] # as above
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call] # as above
        _telling_of_lost_workers(),
    ):
        yield client.get_executor(pure=False)


@contextmanager
def _telling_of_lost_workers() -> Iterator[None]:
    """Dask gives a task to another worker if one is lost, up to four times."""
    from distributed import KilledWorker  # noqa: PLC0415 - as above

    try:
        yield
    except KilledWorker as error:
        msg = f"Dask lost every worker that tried the same task ({error}); look whether they ran out of memory"
        raise UnavailableError(msg) from error


@contextmanager
def _parsl(where: str, workers: int) -> Iterator[Executor]:
    """Parsl keeps its logs in a folder of its own, which goes with it; a configuration that is given says where."""
    try:
        from parsl.concurrent import ParslPoolExecutor  # noqa: PLC0415 - large, and only for this engine
        from parsl.config import Config  # noqa: PLC0415 - as above
        from parsl.executors import HighThroughputExecutor  # noqa: PLC0415 - as above
        from parsl.providers import LocalProvider  # noqa: PLC0415 - as above
    except ImportError as error:
        msg = "the engine parsl needs the package parsl: pip install 'sealrun[parsl]'"
        raise ConfigurationError(msg) from error
    if where:
        config = _named(where)
        config = config if isinstance(config, Config) else config() if callable(config) else config
        if not isinstance(config, Config):
            msg = f"parsl:{where} is a {type(config).__name__}, not a parsl.Config, nor a function that returns one"
            raise ConfigurationError(msg)
        with ParslPoolExecutor(config) as pool:
            yield pool
        return
    logging.getLogger("parsl").setLevel(logging.WARNING)  # what it says of its own coming and going is no news
    programs = Path(sys.executable).parent  # Parsl's own, which need not be on PATH
    provider = LocalProvider(  # type: ignore[no-untyped-call] # it has no annotations
        init_blocks=1, max_blocks=1, worker_init=f"export PATH={shlex.quote(str(programs))}:$PATH"
    )
    with tempfile.TemporaryDirectory(prefix="sealrun-parsl-") as room:
        local = HighThroughputExecutor(
            address="127.0.0.1",
            max_workers_per_node=workers,
            encrypted=False,  # nothing leaves this machine's loopback
            provider=provider,
            interchange_launch_cmd=[str(programs / "interchange.py")],
        )
        with ParslPoolExecutor(
            Config(executors=[local], run_dir=room, usage_tracking=0, strategy="none", initialize_logging=False)
        ) as pool:
            yield pool


def _named(name: str) -> Any:  # noqa: ANN401 - whatever it names
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"{name} cannot be found ({error}); name it as MODULE:NAME"
        raise ConfigurationError(msg) from error


@contextmanager
def _factory(module: str, function: str) -> Iterator[Executor]:
    try:
        executor = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        msg = f"the engine {module}:{function} cannot be made ({error}); name a function that returns an executor"
        raise ConfigurationError(msg) from error
    if not isinstance(executor, Executor):
        msg = f"{module}:{function} returned a {type(executor).__name__}, not a concurrent.futures.Executor"
        raise ConfigurationError(msg)
    with executor:
        yield executor
