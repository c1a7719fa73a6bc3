"""Last values out of tables that grow line by line: CSV, and one JSON object per line."""

from __future__ import annotations

import csv
import math
import re

from sealrun.domain.presets.looking import Look, text_of
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import read_json

_PART_BYTES = 64 << 10
_MAX_COLUMNS = 1000
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")


def number_of(text: str) -> float | int | str:
    """Read a number; what is none, or not finite, stays text."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    return int(text) if _WHOLE.match(text) else value


def last_of_csv(look: Look, path: str) -> JsonObject | None:
    """Return the last value of every column; None if it is no table. Only its beginning and its end are read."""
    start, end = look.start(path, _PART_BYTES), look.end(path, _PART_BYTES)
    if not start or end is None:
        return None
    try:
        head = next(csv.reader([text_of(start).split("\n", 1)[0].rstrip("\r")], strict=True), [])
        lines = text_of(end).splitlines()[1:]
        rows = [row for row in csv.reader(lines) if len(row) == len(head)]
    except csv.Error:
        return None
    if not rows or len(head) > _MAX_COLUMNS:
        return None
    found: JsonObject = {}
    for row in rows:
        found |= {name: number_of(cell) for name, cell in zip(head, row, strict=True) if name and cell}
    return found or None


def last_of_json_lines(look: Look, path: str) -> JsonObject | None:
    """Return the last line that is a JSON object."""
    for line in reversed((look.end(path, _PART_BYTES) or b"").splitlines()):
        value = read_json(line)
        if isinstance(value, dict):
            return value
    return None
