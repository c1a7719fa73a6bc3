"""JSON files of many runs as one Parquet table: a row for each run. Needs pyarrow (``sealrun[tables]``).

Columns: ``ref`` and ``run_id`` of the run, ``of`` (the run that it is computed from, if it is), ``finished_at``,
parameters as ``params.…`` and metrics as ``metrics.…`` (of the run that it is computed from), and what its JSON files
hold, nested names joined by dots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealrun.domain.curation.comparing import flat

FILE = "table.parquet"
_PLAIN = (bool, int, float, str, type(None))


def derive(inputs: Path, output: Path, _mode: str) -> None:
    """Write ``table.parquet`` from the JSON files below `inputs`, a folder for each run.

    `ValueError` names a file that is no JSON object, and a name that two files of one run give.
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    runs = json.loads((inputs.parent / "inputs.json").read_text())
    rows = [row_of(run, inputs / run["run_id"]) for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: column([row.get(name) for row in rows]) for name in names}
    pq.write_table(pa.table(columns), output / FILE)


def row_of(run: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the row of one run, whose files are in `folder`."""
    row: dict[str, Any] = {
        "ref": run["ref"],
        "run_id": run["run_id"],
        "of": ", ".join(run["of"]) or None,
        "finished_at": run["finished_at"],
        **{name: _cell(item) for name, item in flat({"params": run["params"], "metrics": run["metrics"]}).items()},
    }
    for file in sorted(run["files"]):
        value = json.loads((folder / file).read_bytes())
        if not isinstance(value, dict):
            msg = f"{run['ref']}:{file}: is no JSON object"
            raise ValueError(msg)  # noqa: TRY004 - the file is wrong, not the caller
        found = {name: _cell(item) for name, item in flat(value).items()}
        twice = found.keys() & row.keys()
        if twice:
            msg = f"{run['ref']}:{file}: {min(twice)!r} is there already; rename it, or choose fewer files"
            raise ValueError(msg)
        row |= found
    return row


def _cell(item: object) -> object:
    """Return what a cell can hold: lists become their JSON."""
    return item if isinstance(item, _PLAIN) else json.dumps(item, sort_keys=True)


def column(values: list[Any]) -> list[Any]:
    """Return values of one kind: numbers stay numbers; where kinds are mixed all become text."""
    kinds = {_kind(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return [
            float(value) if kinds == {"number"} and value is not None and _mixed(values) else value for value in values
        ]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def _mixed(values: list[Any]) -> bool:
    return any(isinstance(value, float) for value in values)
