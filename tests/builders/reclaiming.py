"""A watch whose runs are published to two registries, and a reclaimer of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from tests.builders.folders import Station, a_folder
from tests.builders.worlds import World

from sealrun.adapters.run_folders.reclaiming import LocalSourceRemover
from sealrun.adapters.run_folders.run_folder import LocalFolder, NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.errors import NoRegistryError
from sealrun.domain.watches.watch import ReclaimRule
from sealrun.ports import Journal, SourceRemover
from sealrun.services.sources.copies import Holder
from sealrun.services.sources.reclaiming import Reclaimer, ReclaimReport
from sealrun.services.sources.sources_due import WatchedSource

A_DAY = 24 * 3600.0
REGISTRIES = ("main", "cloud")


class Disposal:
    """Everything from a dropped folder to its deletion."""

    def __init__(self, root: Path, *, copies: int = 2, **settings: Any) -> None:  # noqa: ANN401 - what a watch may be told
        rule = msgspec.to_builtins(ReclaimRule(after_s=A_DAY, copies=copies))
        self.station = Station(root, reclaim=rule, **settings)
        self.root = root
        self.journal = self.station.journal
        self.worlds = {name: World() for name in REGISTRIES}
        self.ids = {name: name * 8 for name in REGISTRIES}
        self.remover: SourceRemover = LocalSourceRemover(workers=1)
        self.verified: list[str] = []
        self.paused: set[str] = set()

    def drop(self, name: str, files: Mapping[str, bytes | str] | None = None) -> Path:
        """Drop a run, by default of two files, and have it sealed."""
        made = a_folder(self.root / name, files or {"a": "1", "b/c": "2"})
        self.station.settle()
        return made

    def publish(self, *registries: str) -> None:
        """Deliver what is queued, to those registries or to all."""
        for registry in registries or REGISTRIES:
            while (delivery := self.journal.deliveries.claim(registry, 1e12)) is not None:
                run = self.journal.deliveries.run(delivery.sealed)
                folder = LocalFolder(run.folder, unit=run.envelope().unit, hashes=NoHashes())
                done = self.worlds[registry].machine("m").publish(run, folder.source)
                self.journal.deliveries.finish(delivery.id, done)

    def ready(self, name: str = "run", files: Mapping[str, bytes | str] | None = None) -> Path:
        """Drop a run, publish it everywhere, and let its time pass."""
        made = self.drop(name, files)
        self.publish()
        self.wait()
        return made

    def wait(self, seconds: float = A_DAY) -> None:
        """Let time pass."""
        self.station.clock.advance(seconds)

    def holder(self, registry: str) -> Holder:
        if registry not in self.worlds:
            msg = f"no registry {registry!r}"
            raise NoRegistryError(msg)
        self.verified.append(registry)
        reader = self.worlds[registry].reader()
        return Holder(registry=registry, registry_id=self.ids[registry], reader=reader)

    def reclaimer(self) -> Reclaimer:
        """A reclaimer in a new process."""
        watch = self.station.watch
        return Reclaimer(
            cast("Journal", self.journal),
            (WatchedSource(watch, LocalFolderSource(watch, self.journal.hashes)),),
            self.holder,
            self.remover,
            self.station.writers,
            self.station.clock,
            self.paused.__contains__,
        )

    def reclaim(self, *, patient: bool = False) -> ReclaimReport:
        """One round."""
        reclaimer = self.reclaimer()
        return reclaimer.execute(reclaimer.plan(patient=patient), patient=patient)

    def why_not(self) -> str:
        """Why the only source is not due."""
        (source,) = self.reclaimer().plan(patient=False).sources
        assert not source.due
        return "; ".join(source.reasons)

    def names(self) -> list[str]:
        """Everything directly below the watch root, hidden names too."""
        return sorted(path.name for path in self.root.iterdir())

    def object_of(self, registry: str, body: bytes) -> str:
        """The key under which a registry holds `body`."""
        bodies = self.worlds[registry].store.bodies
        return next(key for key, held in bodies.items() if held == body and key.startswith("store/"))


def tree(root: Path) -> dict[str, bytes]:
    """The files below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
