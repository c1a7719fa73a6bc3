"""Readers in processes of their own, each reading in its own way for as long as runs come, move and go."""

from __future__ import annotations

import errno
import io
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from sealrun import open_registry
from sealrun.domain.errors import ConflictError, NotFoundError
from sealrun.fsspec_plugin import SealrunFileSystem

ROWS = 120_000
PARTS = 3
_LINES = 300_000
_REST_S = 0.1


class Told(msgspec.Struct, frozen=True):
    """What one reader has seen: runs read as a whole, in this order, and how often one went away meanwhile."""

    kind: str
    numbers: list[int]
    gone: int
    wrong: str | None = None


def files_of(number: int) -> dict[str, bytes | str]:
    """A run whose every value is its number; the parts are large enough to be read by ranges."""
    table = pa.table({"number": np.full(ROWS, number), "noise": np.random.default_rng(number).random(ROWS)})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=ROWS // 4, use_dictionary=False, compression="none")
    parts: dict[str, bytes | str] = {f"parts/{part}.parquet": out.getvalue() for part in range(PARTS)}
    return {**parts, "table.csv": table_of(number), "first": f"{number}", "last": f"{number}"}


def table_of(number: int) -> str:
    """A table of more than a MiB."""
    return "a,b\n" + f"{number},{number}\n" * _LINES


def one(values: set[int]) -> int:
    """Return the number that all of them are."""
    if len(values) != 1:
        msg = f"bytes of several runs: {values}"
        raise AssertionError(msg)
    return next(iter(values))


def by_pandas(options: Mapping[str, Any], _room: Path) -> int:
    """Read by URL, in chunks: every call looks the pointer up."""
    storage = {"storage_options": dict(options)}
    seen: set[int] = set()
    rows = 0
    for chunk in pd.read_csv("sealrun://train@latest/table.csv", chunksize=70_000, **storage):
        rows += len(chunk)
        seen |= {*chunk["a"], *chunk["b"]}
    assert rows == _LINES
    column = pd.read_parquet("sealrun://train@latest/parts/0.parquet", columns=["number"], **storage)["number"]
    assert len(column) == ROWS
    assert one(set(column)) >= one(set(seen))  # it was asked for later
    return one(seen)


def by_dataset(options: Mapping[str, Any], _room: Path) -> int:
    """Read a folder of files with one file system, which means one run throughout."""
    fs = SealrunFileSystem(**options)
    first = int(fs.cat_file("train@latest/first"))
    table = ds.dataset("train@latest/parts", filesystem=fs, format="parquet").to_table(columns=["number"])
    assert table.num_rows == ROWS * PARTS
    return one({first, *table["number"].unique().to_pylist(), int(fs.cat_file("train@latest/last"))})


def by_registry(options: Mapping[str, Any], _room: Path) -> int:
    """Resolve once, and read by ranges and as a whole."""
    with open_registry(**options) as registry:
        run = registry.resolve("train@latest")
        seen = {int(run.read_text("first"))}
        with run.open("parts/1.parquet") as file:
            table = pq.ParquetFile(file)
            for group in range(4):
                seen |= set(table.read_row_group(group, columns=["number"])["number"].to_pylist())
        return one({*seen, int(run.read_text("last"))})


def slowly(options: Mapping[str, Any], _room: Path) -> int:
    """Read one file piece by piece, for longer than its run may be there."""
    with open_registry(**options) as registry:
        run = registry.resolve("train@latest")
        number = int(run.read_text("first"))
        pieces = []
        with run.open("parts/2.parquet") as file:
            while piece := file.read(50_000):
                pieces.append(piece)
                time.sleep(_REST_S)
        assert b"".join(pieces) == files_of(number)["parts/2.parquet"]
        return number


def by_get(options: Mapping[str, Any], room: Path) -> int:
    """Restore the whole run."""
    with open_registry(**options) as registry:
        try:
            there = registry.get("train@latest", room / "restored")
            seen = {int((there / name).read_text()) for name in ("first", "last")}
            for part in range(PARTS):
                seen |= set(pq.read_table(there / f"parts/{part}.parquet")["number"].to_pylist())
            assert (there / "table.csv").read_text() == table_of(one(seen))
            return one(seen)
        finally:
            shutil.rmtree(room / "restored", ignore_errors=True)


WAYS: dict[str, Callable[[Mapping[str, Any], Path], int]] = {
    "pandas": by_pandas,
    "dataset": by_dataset,
    "registry": by_registry,
    "get": by_get,
    "slowly": slowly,
}


def read_on(kind: str, options: Mapping[str, Any], room: Path, over: Event, answers: Queue[Told]) -> None:
    """Read until it is over, and once more; tell what was seen."""
    numbers: list[int] = []
    gone, wrong, last = 0, None, False
    room.mkdir(parents=True)
    while not last and wrong is None:
        last = over.wait(_REST_S)  # or the publisher has no turn
        try:
            numbers.append(WAYS[kind](options, room))
        except (OSError, ConflictError, NotFoundError) as error:
            if isinstance(error, ConflictError) or getattr(error, "errno", None) == errno.ESTALE:
                gone += 1
            else:
                wrong = traceback.format_exc()
        except Exception:  # noqa: BLE001 - told to the test
            wrong = traceback.format_exc()
    answers.put(Told(kind, numbers, gone, wrong))
