"""A run of a registry, written in the format of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sealrun import __version__
from sealrun.adapters.restoring.destinations import LocalDestination
from sealrun.bootstrap.products.at_hand import RegistryAtHand
from sealrun.domain.curation.exporting import Exported, bag, crate, statement
from sealrun.services.access.loading import RunFiles
from sealrun.services.access.restoring import lay_out


class Exporter(RegistryAtHand):
    """Exports runs of one registry. Nothing is written to the registry."""

    def statement(self, ref: str) -> bytes:
        """Return the run's in-toto statement."""
        return statement(self._exported(self._reader.load_files(self._reader.resolve(ref))))

    def folder(self, ref: str, destination: Path, kind: str, advance: Callable[[int], None] | None = None) -> str:
        """Write the run to `destination` as ``bagit`` or ``ro-crate``, verified; return the run's reference.

        Nothing is visible there until everything is; what an outage interrupts is gone on with by the same call.
        """
        view = self._reader.load_files(self._reader.resolve(ref))
        run = self._exported(view)
        layout = bag(run) if kind == "bagit" else crate(run)
        room = LocalDestination(destination, resume=f"{run.target.root_sha256[:20]}-{kind}")
        lay_out(self._reader, view, room, layout, advance=advance)
        return run.ref

    def _exported(self, view: RunFiles) -> Exported:
        records = self._reader.records(view.target)
        return Exported(view.target, view.envelope, view.manifest, records, f"sealrun {__version__}")
