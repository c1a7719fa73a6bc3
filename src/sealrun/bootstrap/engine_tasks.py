"""What workers of an engine do, in this process or on another machine: functions of a module, on values that travel."""

from __future__ import annotations

import msgspec

from sealrun.adapters.folders import NoHashes
from sealrun.adapters.sources import open_alone
from sealrun.domain.errors import RunChangedError, RunRejectedError
from sealrun.domain.sealed import SealedRun
from sealrun.services.sealing import SealRequest, seal


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
        return SealAnswer(run=seal(folder, task.request).run)
    except RunRejectedError as error:
        return SealAnswer(rejected=str(error))
    except RunChangedError as error:
        return SealAnswer(changed=str(error))
