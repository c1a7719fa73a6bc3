"""What workers of an engine do, in this process or on another machine: functions of a module, on values that travel."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache, partial

import msgspec

from sealrun.adapters.content.engines import width_of
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.grouping import in_groups
from sealrun.domain.runs.sealed import SealedRun
from sealrun.services.access.reading import Reader
from sealrun.services.mending.portions import Answer, Depth, Portion, verify_portion
from sealrun.services.mending.verifying_apart import Engine
from sealrun.services.storage.attempts import ReadAttempts, ReadRules, SomeAttempts, read_some
from sealrun.services.storage.listed import ListedAttempt, ReadAttempt
from sealrun.services.threads.spreading import spread_in_order
from sealrun.services.watching.sealing import SealRequest, seal

_ATTEMPTS = 128


class SealTask(msgspec.Struct, frozen=True):
    """Seal the folder at `path`, which the worker sees under the same name, with `workers` threads."""

    path: str
    request: SealRequest
    workers: int | None = 1


class SealAnswer(msgspec.Struct, frozen=True):
    """The sealed run, or why there is none: `rejected` is for good, `changed` may be another time."""

    run: SealedRun | None = None
    rejected: str | None = None
    changed: str | None = None


def seal_folder(task: SealTask) -> SealAnswer:
    """Seal one folder. Nothing is written; the same folder gives the same answer."""
    try:
        folder = open_alone(task.path, NoHashes(), workers=task.workers)
        return SealAnswer(run=seal(folder, task.request).run.to_travel())
    except RunRejectedError as error:
        return SealAnswer(rejected=str(error))
    except RunChangedError as error:
        return SealAnswer(changed=str(error))


def verifying_engine(executor: Executor, spec: RegistrySpec, reader: Reader, depth: Depth) -> Engine:
    """Return where portions of the registry of `spec` are verified; threads of this process share `reader`."""
    if isinstance(executor, ThreadPoolExecutor):
        return Engine(executor, partial(verify_portion, reader, depth), width_of(executor))
    return Engine(executor, partial(_verify_elsewhere, pickle.dumps(spec), depth), width_of(executor))


def _verify_elsewhere(spec: bytes, depth: Depth, portion: Portion) -> Answer:
    return verify_portion(_reader(spec), depth, portion)


def reading_engine(executor: Executor, spec: RegistrySpec, reader: Reader) -> ReadAttempts:
    """Return what reads attempts of the registry of `spec`; threads of this process share `reader`."""
    here = isinstance(executor, ThreadPoolExecutor)
    call = partial(read_some, reader.store) if here else partial(_read_elsewhere, pickle.dumps(spec))

    def read(rules: ReadRules, listed: Iterable[ListedAttempt]) -> Iterator[ReadAttempt | None]:
        groups = (SomeAttempts(rules, tuple(group)) for group in in_groups(listed, _ATTEMPTS))
        for answers in spread_in_order(executor, call, groups, width_of(executor)):
            yield from answers

    return read


def _read_elsewhere(spec: bytes, some: SomeAttempts) -> tuple[ReadAttempt | None, ...]:
    return read_some(_reader(spec).store, some)


@lru_cache(maxsize=4)
def _reader(spec: bytes) -> Reader:
    """Open a registry once for each process of an engine, for as long as it lives."""
    found: RegistrySpec = pickle.loads(spec)  # noqa: S301 - whoever started this worker gave it these bytes
    return open_reader(found, SystemClock(), SystemEntropy())
