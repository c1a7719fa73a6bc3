"""A folder of links to the runs of an experiment, their files and what they were made from, for people who browse."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from sealrun.adapters.run_folders.view_folder import ViewFolder
from sealrun.bootstrap.products.viewing import Advance, Choice, Viewer
from sealrun.domain.curation.lineage import Source
from sealrun.domain.curation.linking import named_inputs, short_name
from sealrun.domain.errors import NotFoundError, UsageError
from sealrun.services.access.reading import RunView


class Linked(msgspec.Struct, frozen=True):
    """The folder, its runs, what was added and removed, and the inputs that are not in the registry any more."""

    path: Path
    runs: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    gone: tuple[str, ...]


class Linker(Viewer):
    """Makes folders of links, to what a registry on this machine holds, or to what was fetched once, verified."""

    def links(self, choice: Choice, into: Path, advance: Advance | None = None) -> Linked:
        """Make `into`, or bring it up to date: ``runs/RUN_ID/artifacts``, ``runs/RUN_ID/inputs/NAME``, ``targets/ID``.

        A target is anything that one of the runs was made from: another run's files, or content. Links that lead
        nowhere any more, since a cache was cleaned, are made again.
        """
        tell = advance or (lambda _size: None)
        wanted = {cells["run_id"]: cells for cells in self._cells(choice)}
        places: dict[Source, Path | None] = {}
        added: list[str] = []
        with ViewFolder(into / "targets", "targets") as targets, ViewFolder(into / "runs", "runs") as runs:
            before = runs.runs()
            removed = sorted(before - wanted.keys())
            broken = {name for name in before & wanted.keys() if not runs.is_whole(name)}
            for name in [*removed, *broken]:
                runs.leave_out(name)
            for name, cells in wanted.items():
                view = self._load(cells) if name not in before - broken else None
                if view is None:
                    continue
                inputs = named_inputs(view.envelope)
                for source in inputs.values():
                    if source not in places:  # many runs are made from the same
                        places[source] = self._place(targets, source)
                found = {f"inputs/{label}": places[source] for label, source in inputs.items()}
                files = {path: (place, True) for path, place in found.items() if place is not None}
                runs.show(name, {"artifacts": (self._local.of(view, verify=False).absolute(), True), **files})
                tell(view.envelope.size)
                added.append(name)
            gone = sorted({source.text for source, place in places.items() if place is None})
            return Linked(into.absolute(), tuple(sorted(runs.runs())), tuple(added), tuple(removed), tuple(gone))

    def _place(self, targets: ViewFolder, source: Source) -> Path | None:
        """Path of an input on this machine, shown among the targets; None if it is gone."""
        view = self._found(source)
        if view is None:
            return None
        place, name = self._local.of(view, verify=False).absolute(), short_name(source)
        shown = name in targets.runs()
        if shown and not targets.is_whole(name):
            targets.leave_out(name)
            shown = False
        if not shown:
            targets.show(name, {place.name: (place, True)})
        return place

    def _found(self, source: Source) -> RunView | None:
        with suppress(NotFoundError, UsageError):
            return self._reader.load(self._reader.resolve(source.text))
        return None
