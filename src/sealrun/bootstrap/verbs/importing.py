"""Taking in many folders that are there already: sealed on an engine, published from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import msgspec

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.bootstrap.verbs.engine_tasks import SealTask, seal_folder
from sealrun.bootstrap.verbs.producing import Producer
from sealrun.bootstrap.verbs.reports import PublishReport
from sealrun.domain.address import parse_name
from sealrun.domain.errors import UsageError
from sealrun.domain.watches.watch import WatchSpec
from sealrun.services.threads.spreading import spread

_IN_FLIGHT = 16


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one folder: published (or already there), or the reason why it was left alone."""

    path: str
    report: PublishReport | None = None
    rejected: str | None = None


class Importer:
    """Imports the run folders below one folder into an experiment."""

    def __init__(self, producer: Producer, root: str, experiment: str, glob: str = "*") -> None:
        """Take what `glob` matches below `root`, as a watch would; `UsageError` if it cannot be listed."""
        self._producer = producer
        self._experiment = parse_name(experiment, "experiment")
        path = str(Path(root).resolve())
        watch = WatchSpec(name="import", path=path, experiment=experiment, registries=(), glob=glob)
        found = LocalFolderSource(watch, NoHashes()).candidates()
        if found is None:
            msg = f"{root}: cannot be listed; name a folder whose sub-folders are runs"
            raise UsageError(msg)
        self.folders = found

    def execute(
        self, engine: Executor, registries: Sequence[str], tags: Sequence[str], told: Callable[[Imported], None]
    ) -> list[Imported]:
        """Seal on the `engine` and publish each run as soon as it is sealed; tell about each. Harmless to repeat.

        What is in a registry already is not uploaded again. A folder that cannot be a run, or is being written, is told
        and left alone. An error of the engine itself stops the rest; what is published stays.
        """
        self._producer.aim(registries)
        done: list[Imported] = []
        for imported in self._each(engine, tags):
            done.append(imported)
            told(imported)
        return done

    def _each(self, engine: Executor, tags: Sequence[str]) -> Iterator[Imported]:
        request = self._producer.request(self._experiment, None, {}, tags)
        tasks = (SealTask(path, request) for path in self.folders)
        for task, answer in spread(engine, seal_folder, tasks, _IN_FLIGHT):
            if answer.run is None:
                yield Imported(path=task.path, rejected=answer.rejected or answer.changed)
            else:
                yield Imported(path=task.path, report=self._producer.publish_sealed(answer.run))
