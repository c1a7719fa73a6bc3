"""The first rows of a Parquet file, read in a process of its own: what a foreign file does to its reader stays there.

As a module it is that process: Parquet on standard input, JSON on standard output.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from typing import Any

from sealrun.domain.errors import UnavailableError, UsageError
from sealrun.domain.oversight.board import TablePreview
from sealrun.domain.oversight.previews import MOST_COLUMNS, MOST_ROWS, MOST_TEXT, shown_table

MOST_BYTES = 64 << 20
_PATIENCE_S = 30.0
_MEMORY = 2 << 30
_AT_ONCE = 2
_reading = threading.BoundedSemaphore(_AT_ONCE)


def can_read_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def parquet_table(path: str, body: bytes) -> TablePreview:
    """Show the first rows of a Parquet file; `UsageError` if it is none, or pyarrow is not installed."""
    if not can_read_parquet():
        msg = f"{path!r}: Parquet files are shown where pyarrow is installed: pip install 'sealrun[tables]'"
        raise UsageError(msg)
    if not _reading.acquire(timeout=_PATIENCE_S):
        raise UnavailableError("other Parquet files are being read; try again in a moment")
    # -P: no module is taken from the folder that the daemon happens to run in.
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(command, input=body, capture_output=True, timeout=_PATIENCE_S, check=True)  # noqa: S603 - our own interpreter and module
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        msg = f"{path!r} cannot be read as a Parquet file"
        raise UsageError(msg) from error
    finally:
        _reading.release()
    found = json.loads(done.stdout)
    return shown_table(found["columns"], found["rows"], more=found["total"] - len(found["rows"]), truncated=False)


def _read() -> dict[str, Any]:
    from pyarrow import BufferReader, parquet  # noqa: PLC0415 - heavy, and only here

    opened = parquet.ParquetFile(BufferReader(sys.stdin.buffer.read()))
    names = opened.schema_arrow.names[:MOST_COLUMNS]
    batch = next(opened.iter_batches(batch_size=MOST_ROWS, columns=names, use_threads=False), None)
    columns = [] if batch is None else [[_said(value) for value in column.to_pylist()] for column in batch.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return {"columns": names, "rows": rows, "total": opened.metadata.num_rows}


def _said(value: object) -> str:
    return "" if value is None else str(value)[: MOST_TEXT + 1]


def main() -> None:
    """Read standard input within bounds of memory, and print what was found."""
    import resource  # noqa: PLC0415 - of the process alone

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    json.dump(_read(), sys.stdout)


if __name__ == "__main__":
    main()
