"""What the API answers to: every operation with its parameters and its answer. Routes and document are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.board import (
    Alarm,
    CollectionPlan,
    EventRow,
    FilePage,
    Overview,
    PendingPage,
    PointerMove,
    PointerRow,
    QueuePage,
    RunDetail,
    RunPage,
    RunQuestion,
    ScrubResult,
    StoragePoint,
    TablePreview,
    TextPreview,
)
from sealrun.web.board import Board
from sealrun.web.parameters import Parameter, is_text, shown

BASE = "/api/v1"
_MOST_PAGE = 1_000_000
_MOST_EVENT = 10**15 - 1

Given = Mapping[str, Any]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to ask for. `answer` is what it returns, as JSON; None: bytes, see `sealrun.web.api`."""

    name: str
    path: str
    summary: str
    answer: Any
    ask: Callable[[Board, Given], Any]
    parameters: Sequence[Parameter] = ()

    @property
    def in_path(self) -> Sequence[Parameter]:
        """Parameters of the path."""
        return [each for each in self.parameters if each.place == "path"]

    def read(self, path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Given:
        """Return the values of all parameters; `UsageError` names the first that is wrong, unknown or given twice."""
        known = {each.name for each in self.parameters if each.place == "query"}
        given: dict[str, str] = {}
        for name, text in query:
            if name not in known:
                raise UsageError(f"no parameter {shown(name)}; there are: {', '.join(sorted(known)) or 'none'}")
            if name in given:
                raise UsageError(f"`{name}` is given twice")
            given[name] = text
        for text in (*path.values(), *given.values()):
            if not is_text(text):
                raise UsageError("a parameter is not UTF-8")
        return {
            each.name: each.read(path[each.name] if each.place == "path" else given.get(each.name))
            for each in self.parameters
        }


def _in_path(name: str, text: str) -> Parameter:
    return Parameter(name=name, place="path", kind="name", required=True, help=text)


def _page(size: int) -> tuple[Parameter, Parameter]:
    return (
        Parameter(name="page", kind="number", default=1, least=1, most=_MOST_PAGE, help="Which page; the first is 1."),
        Parameter(name="size", kind="number", default=size, least=1, most=1000, help="Rows of a page."),
    )


_WATCH = _in_path("watch", "Name of a watch in the settings.")
_REGISTRY = _in_path("registry", "Name of a registry in the settings.")
_RUN = (
    _REGISTRY,
    _in_path("experiment", "Name of an experiment."),
    _in_path("run_id", "Id of a run."),
)
_EXPERIMENT = Parameter(name="experiment", kind="name", help="Only of this experiment.")
_PATH = Parameter(
    name="path",
    required=True,
    longest=4096,
    help="Path of the file inside the run, such as `plots/loss.png`. A request line holds 8 KiB.",
)
_STATUSES = ("success", "failed", "partial", "interrupted", "unknown")


def _run(given: Given) -> tuple[str, str, str]:
    return given["registry"], given["experiment"], given["run_id"]


def _file(given: Given) -> tuple[str, str, str, str]:
    return (*_run(given), given["path"])


def _question(given: Given) -> RunQuestion:
    return RunQuestion(**{name: value for name, value in given.items() if value not in {None, ""}})


_OF_RUN = "/registries/{registry}/runs/{experiment}/{run_id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="overview",
        path="/overview",
        summary="Health at a glance: alarms, watches, registries, timers, the last events. Asks no registry.",
        answer=Overview,
        ask=lambda board, _given: board.overview(),
    ),
    Operation(
        name="alarms",
        path="/alarms",
        summary="What stands now and somebody should know, the worst first.",
        answer=list[Alarm],
        ask=lambda board, _given: board.alarms(),
    ),
    Operation(
        name="events",
        path="/events",
        summary="What happened, oldest first: after a number, or the newest.",
        answer=list[EventRow],
        ask=lambda board, given: board.events(given["after"], given["limit"]),
        parameters=(
            Parameter(
                name="after", kind="number", default=0, most=_MOST_EVENT, help="Only later ones; 0 is the newest ones."
            ),
            Parameter(name="limit", kind="number", default=100, least=1, most=1000, help="At most so many."),
        ),
    ),
    Operation(
        name="pending",
        path="/watches/{watch}/pending",
        summary="Candidates of a watch that are not simply sealed, and what each waits for.",
        answer=PendingPage,
        ask=lambda board, given: board.pending(given["watch"], given["page"], given["size"]),
        parameters=(_WATCH, *_page(100)),
    ),
    Operation(
        name="queue",
        path="/registries/{registry}/queue",
        summary="Runs that wait for a registry: in the order in which they are due, parked ones at the end.",
        answer=QueuePage,
        ask=lambda board, given: board.queue(given["registry"], given["page"], given["size"]),
        parameters=(_REGISTRY, *_page(100)),
    ),
    Operation(
        name="runs",
        path="/registries/{registry}/runs",
        summary="Runs, newest first. What was published in the last seconds may not be among them yet.",
        answer=RunPage,
        ask=lambda board, given: board.runs(_question(given)),
        parameters=(
            _REGISTRY,
            _EXPERIMENT,
            Parameter(name="status", choices=_STATUSES, help="Only those that ended so."),
            Parameter(name="tag", help="Only those with this tag."),
            Parameter(name="search", help="Only those with this in id, name, tag or experiment; case does not matter."),
            *_page(50),
        ),
    ),
    Operation(
        name="run",
        path=_OF_RUN,
        summary="One run: envelope, checks, lineage, where its bytes are, commands to copy.",
        answer=RunDetail,
        ask=lambda board, given: board.run(*_run(given)),
        parameters=_RUN,
    ),
    Operation(
        name="files",
        path=f"{_OF_RUN}/files",
        summary="Files of a run, by path.",
        answer=FilePage,
        ask=lambda board, given: board.files(*_run(given), given["page"], given["size"]),
        parameters=(*_RUN, *_page(200)),
    ),
    Operation(
        name="file",
        path=f"{_OF_RUN}/file",
        summary="The bytes of a file, verified. Of more than 1 MiB the end is withheld, and the connection broken, if "
        "they do not match the seal.",
        answer=None,
        ask=lambda board, given: board.open_file(*_file(given)),
        parameters=(*_RUN, _PATH),
    ),
    Operation(
        name="picture",
        path=f"{_OF_RUN}/picture",
        summary="A picture (PNG, JPEG, GIF, WebP, by its first bytes) of at most 16 MiB, verified, for showing inline.",
        answer=None,
        ask=lambda board, given: board.picture(*_file(given)),
        parameters=(*_RUN, _PATH),
    ),
    Operation(
        name="table",
        path=f"{_OF_RUN}/table",
        summary="The first rows of a CSV, TSV, JSON Lines or Parquet file, as text.",
        answer=TablePreview,
        ask=lambda board, given: board.table(*_file(given)),
        parameters=(*_RUN, _PATH),
    ),
    Operation(
        name="text",
        path=f"{_OF_RUN}/text",
        summary="The beginning of a file that is text: at most 64 KiB.",
        answer=TextPreview,
        ask=lambda board, given: board.text(*_file(given)),
        parameters=(*_RUN, _PATH),
    ),
    Operation(
        name="pointers",
        path="/registries/{registry}/pointers",
        summary="Where every pointer of the experiments stands. Published names are not among them.",
        answer=list[PointerRow],
        ask=lambda board, given: board.pointers(given["registry"], given["experiment"]),
        parameters=(_REGISTRY, _EXPERIMENT),
    ),
    Operation(
        name="pointer",
        path="/registries/{registry}/pointers/{experiment}/{pointer}",
        summary="Generations of a pointer, newest first: the newest thousand.",
        answer=list[PointerMove],
        ask=lambda board, given: board.pointer_history(given["registry"], given["experiment"], given["pointer"]),
        parameters=(*_RUN[:2], _in_path("pointer", "Name of a pointer.")),
    ),
    Operation(
        name="storage",
        path="/registries/{registry}/storage",
        summary="A registry over time, oldest first: runs, bytes with and without deduplication, requests.",
        answer=list[StoragePoint],
        ask=lambda board, given: board.storage(given["registry"]),
        parameters=(_REGISTRY,),
    ),
    Operation(
        name="collection-plan",
        path="/registries/{registry}/collection-plan",
        summary="What the collector would do now, or a minute ago. May take as long as `sealrun gc --dry-run`.",
        answer=CollectionPlan,
        ask=lambda board, given: board.collection_plan(given["registry"]),
        parameters=(_REGISTRY,),
    ),
    Operation(
        name="verifications",
        path="/registries/{registry}/verifications",
        summary="Rounds of verification, newest first.",
        answer=list[ScrubResult],
        ask=lambda board, given: board.scrubs(given["registry"]),
        parameters=(_REGISTRY,),
    ),
)
