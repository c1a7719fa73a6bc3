"""Folders and pages that show many runs at once, made from one registry: TensorBoard's directory, and galleries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import starmap
from pathlib import Path, PurePosixPath

import msgspec

from sealrun.adapters.run_folders.gallery_folder import GalleryFolder
from sealrun.adapters.run_folders.view_folder import ViewFolder
from sealrun.bootstrap.products.at_hand import RegistryAtHand
from sealrun.domain.address import parse_name
from sealrun.domain.curation.galleries import (
    HTML_FILE,
    MARKDOWN_FILE,
    Page,
    Shown,
    as_html,
    as_markdown,
    chosen_metrics,
    file_names,
    group_of,
    pictures_of,
    suffix_of,
)
from sealrun.domain.curation.tabulating import Cells, Condition, arrange, asks_envelopes, cells_of
from sealrun.domain.errors import NotFoundError
from sealrun.domain.runs.manifest import Entry
from sealrun.services.access.reading import RunView, check_experiment
from sealrun.services.curation.tabulating import with_envelopes
from sealrun.services.threads.fanning import fan_out, fan_through

_AT_ONCE = 8
_EVENTS = "tfevents"
_PLUGINS = "plugins"
Advance = Callable[[int], object]


class Choice(msgspec.Struct, frozen=True):
    """Which runs of an experiment: those that meet all conditions, of these the newest `limit`."""

    experiment: str
    conditions: Sequence[Condition] = ()
    limit: int | None = None


class Logs(msgspec.Struct, frozen=True):
    """TensorBoard's directory, and which runs it shows, has lost, and leaves out because they hold no event files."""

    path: Path
    runs: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    without: tuple[str, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a gallery shows: pictures by pattern, the column by which runs are grouped, metrics (none named: all)."""

    pictures: tuple[str, ...]
    by: str | None = None
    metrics: tuple[str, ...] = ()
    title: str | None = None


class Viewer(RegistryAtHand):
    """Shows the runs of one registry. Nothing is written to the registry."""

    def tensorboard(self, choice: Choice, into: Path | None = None, advance: Advance | None = None) -> Logs:
        """Make or bring up to date a directory for ``tensorboard --logdir``; by default below the user's cache.

        Event files, and TensorBoard's plugin folders, of each run are in a folder with its run id. What lies in a
        directory registry is linked to; else it is fetched, verified. Runs that are gone from the registry, or not
        meant now, are taken out. Repeats cost what is new.
        """
        root = (into or self._default_folder("tensorboard", choice.experiment)).absolute()
        with ViewFolder(root, "tensorboard") as folder:
            return self._bring_up_to_date(folder, root, choice, advance or (lambda _size: None))

    def _bring_up_to_date(self, folder: ViewFolder, root: Path, choice: Choice, tell: Advance) -> Logs:
        wanted = {cells["run_id"]: cells for cells in self._cells(choice)}
        before = folder.runs()
        removed = sorted(before - wanted.keys())
        for name in removed:
            folder.leave_out(name)
        added: list[str] = []
        without: list[str] = []
        fresh = [cells for name, cells in wanted.items() if name not in before]
        for view in fan_through(self._load, fresh, _AT_ONCE):
            if view is None:
                continue
            events = [entry for entry in view.manifest.entries if is_event_file(entry.path)]
            if events:
                folder.show(view.target.run_id, {entry.path: self._bring(view, entry, tell) for entry in events})
                added.append(view.target.run_id)
            else:
                without.append(view.target.run_id)
        return Logs(root, tuple(sorted(folder.runs())), tuple(added), tuple(removed), tuple(without))

    def plan_gallery(self, choices: Sequence[Choice], wanted: Wanted) -> Page:
        """Say what a gallery would show: of each group the newest run that has every picture."""
        groups: dict[str, list[Cells]] = {}
        for choice in choices:
            for cells in self._cells(choice, [wanted.by or "pipeline_id", "metrics"]):
                groups.setdefault(group_of(cells, wanted.by), []).append(cells)
        names = file_names(groups, wanted.pictures)
        shown: list[Shown] = []
        without: list[str] = []
        ordered = sorted(groups)
        found = fan_out(lambda group: self._newest_with(groups[group], wanted.pictures), ordered, _AT_ONCE)
        for group, pick in zip(ordered, found, strict=True):
            if pick is None:
                without.append(group)
                continue
            cells, view, entries = pick
            for pattern, entry in zip(wanted.pictures, entries, strict=True):
                shown.append(
                    Shown(
                        group=group,
                        ref=view.ref,
                        finished_at=view.envelope.finished_at,
                        status=view.envelope.status,
                        path=entry.path,
                        file=names[group, pattern] + suffix_of(entry.path),
                        sha256=entry.sha256,
                        size=entry.size,
                        metrics=chosen_metrics(cells, wanted.metrics),
                    )
                )
        title = wanted.title or ", ".join(choice.experiment for choice in choices)
        return Page(title=title, pictures=tuple(shown), without=tuple(without))

    def write_gallery(self, page: Page, into: Path, *, markdown: bool, as_page: bool) -> list[str]:
        """Write a gallery that was planned; return the names of pictures that are shown no longer and were removed.

        Pictures are fetched and verified first. Only files that a gallery put there are replaced: `UsageError`.
        """
        folder = GalleryFolder(into)
        folder.check([shown.file for shown in page.pictures])
        paths = {shown.file: self._picture(shown) for shown in page.pictures}
        pages = {
            **({MARKDOWN_FILE: as_markdown(page)} if markdown else {}),
            **({HTML_FILE: as_html(page)} if as_page else {}),
        }
        return folder.write(paths, pages, {"gallery": msgspec.to_builtins(page)})

    def _newest_with(self, runs: Sequence[Cells], patterns: Sequence[str]) -> tuple[Cells, RunView, list[Entry]] | None:
        for cells in sorted(runs, key=lambda found: (found["finished_at"], found["run_id"]), reverse=True):
            view = self._load(cells)
            entries = None if view is None else pictures_of(view.manifest, patterns)
            if view is not None and entries is not None:
                return cells, view, entries
        return None

    def _picture(self, shown: Shown) -> Path:
        view = self._reader.load(self._reader.resolve(shown.ref))
        return self._local.file(view, view.entry(shown.path))

    def _cells(self, choice: Choice, columns: Sequence[str] = ()) -> list[Cells]:
        """The runs that are meant, with what the conditions and `columns` ask for; `NotFoundError` of no experiment."""
        check_experiment(self._reader.store, parse_name(choice.experiment, "experiment"))
        rows = self._reader.runs(choice.experiment)
        cells: Iterable[Cells]
        if asks_envelopes(columns, choice.conditions, None):
            cells = starmap(cells_of, with_envelopes(self._reader.store, rows))
        else:
            cells = map(cells_of, rows)
        return list(arrange(cells, choice.conditions, None, choice.limit))

    def _load(self, cells: Cells) -> RunView | None:
        """The run, or None if it was retired meanwhile."""
        reader = self._reader
        try:
            return reader.load(reader.resolve(f"{cells['experiment']}/{cells['run_id']}"))
        except NotFoundError:
            return None

    def _bring(self, view: RunView, entry: Entry, advance: Advance) -> tuple[Path, bool]:
        path = self._local.file(view, entry, verify=False)
        advance(entry.size)
        return path.absolute(), not path.is_relative_to(self._cache)

    def _default_folder(self, kind: str, experiment: str) -> Path:
        registry = hashlib.sha256(self._reader.store.url.encode()).hexdigest()[:12]
        return self._cache / "views" / registry / kind / experiment


def is_event_file(path: str) -> bool:
    """Tell whether TensorBoard reads a file: event files by name, and all that its plugins keep beside them."""
    parts = PurePosixPath(path).parts
    return _EVENTS in parts[-1] or _PLUGINS in parts[:-1]
