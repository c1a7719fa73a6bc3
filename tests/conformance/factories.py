"""Every store that has to pass the suite. A store joins with one entry: a context manager that gives an empty store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import fsspec
from tests.servers.endpoint import Endpoint
from tests.servers.shared import shared_moto, shared_seaweedfs

from sealrun.adapters.machine.clock import SystemClock
from sealrun.adapters.stores import open_store
from sealrun.adapters.stores.fsspec_store import FsspecStore
from sealrun.adapters.stores.limiting import LimitedStore, Limiter
from sealrun.adapters.stores.memory import forget_space
from sealrun.adapters.stores.metering_store import MeteredStore
from sealrun.adapters.telling.metering import ProcessMeters
from sealrun.ports import Store

Factory = Callable[[Path], AbstractContextManager[Store]]
"""Takes an empty folder of the test's own; gives a store without keys."""


@contextmanager
def memory_store(_room: Path) -> Iterator[Store]:
    name = uuid4().hex
    yield open_store(f"memory://{name}")
    forget_space(name)


@contextmanager
def posix_store(room: Path) -> Iterator[Store]:
    yield open_store(f"file://{room}/registry", make=True)


@contextmanager
def metered_store(room: Path) -> Iterator[Store]:
    yield MeteredStore(open_store(f"file://{room}/registry", make=True), ProcessMeters(), "main")


@contextmanager
def limited_store(room: Path) -> Iterator[Store]:
    with memory_store(room) as store:
        yield LimitedStore(store, Limiter(SystemClock(), 1 << 30))


@contextmanager
def fsspec_memory_store(_room: Path) -> Iterator[Store]:
    fs = fsspec.filesystem("memory", global_store=False, skip_instance_cache=True)
    yield FsspecStore(fs, "/registry", "memory://registry", parallel=2)


@contextmanager
def fsspec_local_store(room: Path) -> Iterator[Store]:
    fs = fsspec.filesystem("file", skip_instance_cache=True)
    yield FsspecStore(fs, f"{room}/registry", f"file://{room}/registry", parallel=2)


@contextmanager
def bucket_store(endpoint: Endpoint) -> Iterator[Store]:
    """Give a store below a fresh prefix; one bucket does for all, since a new one costs SeaweedFS a second."""
    yield open_store(f"s3://{_bucket(endpoint)}/{uuid4().hex}/prefix", endpoint.storage_options)


@cache
def _bucket(endpoint: Endpoint) -> str:
    return endpoint.create_bucket()


def moto_store(_room: Path) -> AbstractContextManager[Store]:
    return bucket_store(shared_moto())


def seaweedfs_store(_room: Path) -> AbstractContextManager[Store]:
    return bucket_store(shared_seaweedfs().admin)


FACTORIES: dict[str, Factory] = {
    "memory": memory_store,
    "posix": posix_store,
    "metered-posix": metered_store,
    "limited-memory": limited_store,
    "fsspec-memory": fsspec_memory_store,
    "fsspec-local": fsspec_local_store,
    "moto": moto_store,
    "seaweedfs": seaweedfs_store,
}

SINGLE_WRITER = {"fsspec-memory", "fsspec-local"}
"""Stores that cannot create exclusively: they must say so, and are then excused from the race."""

CHANGED_NAMES = {
    ("moto", "new\nline"),  # its router finds no such address
    ("seaweedfs", "back\\slash"),  # it takes "\\" for "/"
}
"""Names below which a server, not the store, fails: S3 itself keeps both."""
