"""Runs of an experiment as a table: which columns, which rows, in which order."""

from __future__ import annotations

import json
import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sealrun.domain.curation.comparing import flat, is_number
from sealrun.domain.errors import UsageError
from sealrun.domain.registry.indexing import Row
from sealrun.domain.runs.run import Envelope

ROW_COLUMNS = ("run_id", "status", "finished_at", "files", "size", "name")
"""What a listing shows unless it is told otherwise."""
_OF_ROWS = frozenset(Row.__struct_fields__) - {"extra"}
_GROUPS = frozenset({"params", "metrics"})
_SAID = (*_GROUPS, "pipeline_id", "pipeline_version", "framework", "trigger", "started_at")
_CONDITION = re.compile(r"\s*([^\s=!<>~]+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*\Z", re.DOTALL)
_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Cells = Mapping[str, Any]
"""A run as a table sees it: its row's fields, and what it says of itself under dotted names (``params.lr``)."""


class Condition(msgspec.Struct, frozen=True):
    """Which runs are wanted: `name` is compared with `value`, as a number where it is one."""

    name: str
    test: str
    value: str

    def holds(self, cells: Cells) -> bool:
        """Tell whether a run is wanted. One that has no such value is not, except by ``!=``."""
        found = cells.get(self.name)
        if self.test == "~":
            return found is not None and self.value in _text(found)
        if self.test in {"=", "!="}:
            equal = found is not None and _same(found, self.value)
            return equal == (self.test == "=")
        if found is None:
            return False
        number = _number(self.value)
        if is_number(found) and number is not None:
            return _ORDERED[self.test](found, number)
        return not is_number(found) and _ORDERED[self.test](_text(found), self.value)


def parse_condition(text: str) -> Condition:
    """Read ``NAME=VALUE`` or the same with ``!= < <= > >= ~``; `UsageError` shows the grammar."""
    match = _CONDITION.match(text)
    if match is None:
        msg = f"{text!r} is no condition; write NAME=VALUE, or with != < <= > >= or ~ (contains): metrics.loss<0.3"
        raise UsageError(msg)
    return Condition(match[1], match[2], match[3])


def asks_envelopes(columns: Iterable[str], conditions: Iterable[Condition], sort: str | None) -> bool:
    """Tell whether the index alone cannot answer, so that each run's ``run.json`` must be read."""
    names = {*columns, *(condition.name for condition in conditions), *([sort.removeprefix("-")] if sort else [])}
    return not names <= _OF_ROWS


def cells_of(row: Row, envelope: Envelope | None = None) -> dict[str, Any]:
    """Return a run's cells; without its envelope those that its row holds."""
    found = {name: value for name in sorted(_OF_ROWS) if (value := getattr(row, name)) is not None}
    if envelope is not None:
        said = {name: envelope.producer.get(name) for name in _SAID}
        found |= flat({name: value for name, value in said.items() if value is not None})
    return found


def arrange(
    runs: Iterable[Cells], conditions: Sequence[Condition] = (), sort: str | None = None, limit: int | None = None
) -> Iterable[Cells]:
    """Return the runs that are wanted: in the order they came, one at a time, or by `sort` (``-NAME``: greatest first).

    Runs without the value that is sorted by come last. `limit` keeps the first so many where there is an order, and
    the last so many, which are the newest, where there is none.
    """
    found = (cells for cells in runs if all(condition.holds(cells) for condition in conditions))
    if sort is None:
        return found if limit is None else deque(found, limit)
    name, wanted = sort.removeprefix("-"), list(found)
    have = [cells for cells in wanted if cells.get(name) is not None]
    have.sort(key=lambda cells: _rank(cells[name]), reverse=sort.startswith("-"))
    return [*have, *(cells for cells in wanted if cells.get(name) is None)][:limit]


def columns_of(wanted: Sequence[str], runs: Iterable[Cells]) -> tuple[list[str], Iterable[Cells]]:
    """Return the columns to show, and the runs, which are gone through only where columns depend on them.

    ``metrics`` stands for every metric, ``params`` for the parameters that differ.
    """
    known = runs if _GROUPS.isdisjoint(wanted) else list(runs)
    found: list[str] = []
    for name in wanted:
        found += _group(name, known) if name in _GROUPS else [name]
    return list(dict.fromkeys(found)), known


def _group(name: str, runs: Iterable[Cells]) -> list[str]:
    inside = sorted({key for cells in runs for key in cells if key.startswith(f"{name}.")})
    if name == "metrics":
        return inside
    return [key for key in inside if len({_text(cells.get(key)) for cells in runs}) > 1]


def _rank(value: object) -> tuple[int, float, str]:
    """Numbers before texts, each in its own order."""
    return (0, float(value), "") if is_number(value) else (1, 0.0, _text(value))  # type: ignore[arg-type] # a number


def _same(found: object, value: str) -> bool:
    number = _number(value)
    if is_number(found) and number is not None:
        return found == number
    return _text(found) == value or (isinstance(found, list | tuple) and value in map(_text, found))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(msgspec.to_builtins(value), sort_keys=True)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
