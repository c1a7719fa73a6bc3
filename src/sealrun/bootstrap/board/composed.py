"""`sealrun.web.board.Board` of a running daemon: always of the parts and settings that are in force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from sealrun.adapters.content.parquet_rows import MOST_BYTES as MOST_PARQUET
from sealrun.adapters.content.parquet_rows import can_read_parquet, parquet_table
from sealrun.bootstrap.board.journal import JournalBoard
from sealrun.bootstrap.board.places import places_of
from sealrun.bootstrap.board.plans import plan_collection
from sealrun.bootstrap.board.registries import RegistryLook, RegistryLooks
from sealrun.bootstrap.registries import expected_registry
from sealrun.domain.address import parse_name
from sealrun.domain.errors import NoRegistryError, NotFoundError, SealrunError, UsageError
from sealrun.domain.oversight.board import (
    CollectionPlan,
    FilePage,
    Opened,
    Picture,
    PointerMove,
    PointerRow,
    Relation,
    RunDetail,
    RunPage,
    RunQuestion,
    TablePreview,
    TextPreview,
)
from sealrun.domain.oversight.metering import REQUESTS, requests_of
from sealrun.domain.oversight.previews import PARQUET, TABLE_BYTES, TEXT_BYTES, picture_type, table_of, text_of
from sealrun.domain.registry.pointing import PointerName
from sealrun.ports import Clock, Entropy, Journal, Meters
from sealrun.services.oversight.freshness import Fresh
from sealrun.services.oversight.run_details import commands_for, file_page, listed_of, run_row, said_checks, upstream_of
from sealrun.services.oversight.run_lists import MOST_ROWS
from sealrun.services.oversight.storage_history import take_point

_log = logging.getLogger("sealrun.board")
_PICTURE_BYTES = 16 << 20
_PLAN_S = 60.0
_PLAN_PATIENCE_S = 2.0


class DaemonBoard(JournalBoard):
    """Looks, and changes nothing but the history that it keeps in the journal. Any thread."""

    def __init__(self, state: str, journal: Journal, clock: Clock, entropy: Entropy, meters: Meters) -> None:
        """Show a daemon that begins now, once it was told what is in force: see `renew`."""
        super().__init__(state, journal, clock)
        self._entropy = entropy
        self._meters = meters
        self._looks = RegistryLooks(clock, entropy)

    def sample(self, advance: Callable[[], object]) -> None:
        """Take a point of the history of every registry that can be read. `advance` is called in between."""
        totals = self._meters.totals(REQUESTS)
        for name in self._present.registries:
            advance()
            try:
                look = self._looks.of(self._present.registries, name, in_passing=True)
                requests = requests_of(totals, name)
                take_point(self._journal.facts, self._clock, name, look.reader.store, look.lists, requests)
            except SealrunError as error:
                _log.info("%s: not looked at for its history: %s", name, error)
        self._looks.forget_idle()

    def close(self) -> None:
        """Close the registries that were opened for looking. Harmless twice."""
        self._looks.close()

    def runs(self, question: RunQuestion) -> RunPage:
        """A page of runs."""
        if question.experiment is not None:
            parse_name(question.experiment, "experiment")
        try:
            look = self._look(question.registry)
        except NoRegistryError:
            if not self._to_be_made(question.registry):
                raise
            return RunPage(rows=(), total=0, page=question.page, size=question.size, experiments=(), statuses=())
        chosen = look.lists.page(question)
        pointers = look.pointers.of_all(sorted({experiment for experiment, _ in chosen.rows}))
        return RunPage(
            rows=[run_row(question.registry, experiment, row, pointers) for experiment, row in chosen.rows],
            total=chosen.total,
            page=question.page,
            size=question.size,
            experiments=chosen.experiments,
            statuses=chosen.statuses,
            problem=chosen.problem,
        )

    def run(self, registry: str, experiment: str, run_id: str) -> RunDetail:
        """One run."""
        look = self._look(registry)
        view = look.runs.view(experiment, run_id)
        row = run_row(registry, experiment, listed_of(view), look.pointers.of(experiment))
        rows = look.lists.all()
        made, searched = look.descendants.of([view.ref, view.envelope.urn], rows)
        producer = view.envelope.producer
        first = next(iter(self._present.registries), None)
        return RunDetail(
            row=row,
            envelope=view.envelope.to_json(),
            checks=said_checks(view.envelope),
            upstream=upstream_of(view.envelope, look.lists),
            downstream=[Relation(kind=role, label=ref, ref=ref) for ref, role in made],
            places=places_of(self._look, self._present.registries, self._journal, registry, view),
            commands=commands_for(row.ref, registry, first, row.pointers),
            params=_object(producer.get("params")),
            metrics=_object(producer.get("metrics")),
            searched=searched,
            searchable=len(rows),
            called=view.envelope.called,
        )

    def files(self, registry: str, experiment: str, run_id: str, page: int = 1, size: int = 200) -> FilePage:
        """A page of its files."""
        view = self._look(registry).runs.view(experiment, run_id)
        return file_page(view, page, size, parquet=can_read_parquet())

    def open_file(self, registry: str, experiment: str, run_id: str, path: str) -> Opened:
        """One of its files; see the protocol for what is verified when."""
        entry, body = self._look(registry).runs.body(experiment, run_id, path)
        return Opened(entry.path, entry.size, entry.sha256, cast("BinaryIO", body))

    def table(self, registry: str, experiment: str, run_id: str, path: str) -> TablePreview:
        """The first rows of one of its files. Of one of more than a megabyte, of bytes that were not verified."""
        runs = self._look(registry).runs
        if path.lower().endswith(PARQUET):
            return parquet_table(path, runs.whole(experiment, run_id, path, MOST_PARQUET))
        found = runs.beginning(experiment, run_id, path, TABLE_BYTES)
        return msgspec.structs.replace(table_of(path, found.body, truncated=found.more), verified=found.verified)

    def text(self, registry: str, experiment: str, run_id: str, path: str) -> TextPreview:
        """The beginning of one of its files. Of one of more than a megabyte, of bytes that were not verified."""
        found = self._look(registry).runs.beginning(experiment, run_id, path, TEXT_BYTES)
        return msgspec.structs.replace(text_of(found.body, truncated=found.more), verified=found.verified)

    def picture(self, registry: str, experiment: str, run_id: str, path: str) -> Picture:
        """One of its files, if that is a picture; verified."""
        body = self._look(registry).runs.whole(experiment, run_id, path, _PICTURE_BYTES)
        media_type = picture_type(body)
        if media_type is None:
            msg = f"{path!r} is no picture that may be shown (PNG, JPEG, GIF, WebP, by its first bytes)"
            raise UsageError(msg)
        return Picture(media_type=media_type, body=body)

    def pointers(self, registry: str, experiment: str | None = None) -> Sequence[PointerRow]:
        """Where every pointer of an experiment, or of all, stands. Published names are not among them."""
        try:
            look = self._look(registry)
        except NoRegistryError:
            if experiment is not None or not self._to_be_made(registry):
                raise
            return ()
        known = look.lists.experiments()
        if experiment is not None and experiment not in known:
            msg = f"{look.reader.store.url}: no experiment {parse_name(experiment, 'experiment')!r}"
            raise NotFoundError(msg)
        return [
            PointerRow(
                registry=registry,
                experiment=each.experiment,
                name=each.name,
                ref=f"{each.generation.target.experiment}/{each.generation.target.run_id}",
                generation=each.generation.generation,
                moved_at=each.generation.moved_at,
                by=each.generation.by,
            )
            for each in look.pointers.of_all(known if experiment is None else [experiment])
        ]

    def pointer_history(self, registry: str, experiment: str, name: str) -> Sequence[PointerMove]:
        """The newest generations of a pointer, newest first, and no more than fit on a page."""
        history = self._look(registry).reader.history_of(PointerName.of_experiment(experiment, name))
        found = list(islice(history, MOST_ROWS))
        if not found:
            msg = f"no pointer {experiment}@{name} in registry {registry!r}"
            raise NotFoundError(msg)
        return [
            PointerMove(
                generation=each.generation,
                ref=f"{each.target.experiment}/{each.target.run_id}",
                moved_at=each.moved_at,
                by=each.by,
                reason=each.why,
            )
            for each in found
        ]

    def collection_plan(self, registry: str) -> CollectionPlan:
        """What the collector would do now, or would have done a minute ago."""
        look = self._look(registry)

        def make() -> CollectionPlan:
            return plan_collection(look, self._present.keeping, None, self._clock, self._entropy)

        known = look.plans.setdefault("plan", Fresh(make, self._clock, _PLAN_S, _PLAN_PATIENCE_S))
        next_at = next((timer.next_at for timer in self._timers() if timer.name == f"gc:{registry}"), None)
        return msgspec.structs.replace(known.get(), next_at=next_at)

    def _to_be_made(self, registry: str) -> bool:
        """Tell whether nobody knows of a registry there so far, and the first delivery makes it: it holds no run."""
        spec = self._present.registries[registry]
        return spec.create and not spec.read_only and expected_registry(self._journal, spec) is None

    def _look(self, registry: str) -> RegistryLook:
        spec = self._present.registries.get(registry)
        folder = None if spec is None else spec.folder
        # Not opened in vain: that is not tried again for a while, and the first delivery may make it just now.
        if folder is not None and not Path(folder).exists() and self._to_be_made(registry):
            raise NoRegistryError(f"{folder}: there is no registry yet; the first delivery makes it")
        return self._looks.of(self._present.registries, registry)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
