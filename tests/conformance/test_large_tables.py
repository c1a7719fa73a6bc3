"""What of a large table goes over the wire is what a library asks for, however large the table is.

A reader of one column of one row group asks for that and for the footer, so a table of 50 GB costs what one of 50 MB
does. Two tables that differ in nothing but their number of row groups are read alike; with
``SEALRUN_TEST_TABLE_GROUPS=800`` the larger one has so many, of 8 MiB each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zarr
from tests.builders.libraries import Library
from tests.servers.endpoint import Endpoint
from tests.servers.recording import RecordingProxy, recording_requests
from tests.servers.shared import shared_seaweedfs

from sealrun.fsspec_plugin import SealrunFileSystem
from sealrun.services.access.opened import OpenFile

_GROUP_ROWS, _COLUMNS = 1 << 17, 8
_CHUNK = _GROUP_ROWS * 8
"""Bytes of one column of one row group."""
_SMALL, _LARGE = 2, int(os.environ.get("SEALRUN_TEST_TABLE_GROUPS", "6"))
_FOOTERS = 600_000
"""Libraries read a footer once or twice, and guess how long it is: by 64 KiB, DuckDB by up to 256."""
_OF_FOOTER = 300
"""Bytes, read twice, of a footer for each column of a row group."""
_HEAD = 1000
"""Bytes of HTTP around one answer."""
_WINDOW, _MOST_AHEAD = 64 << 10, 8 << 20


class Cost(NamedTuple):
    """What a library asked an open file for, and what went over the wire for it."""

    asked: int
    received: int
    requests: int


class Far:
    """A registry behind a proxy that counts."""

    def __init__(self, library: Library, proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.options = {**library.options, "cache": False}
        self._proxy = proxy
        self._asked = 0
        read = OpenFile.read

        def counting(file: OpenFile, size: int | None = -1, /) -> bytes:
            body = read(file, size)
            self._asked += len(body)
            return body

        monkeypatch.setattr(OpenFile, "read", counting)

    def cost(self, groups: int, call: Callable[[SealrunFileSystem, str], object]) -> Cost:
        """Tell what a call costs beyond connections and records, which every reader pays once."""
        fs = SealrunFileSystem(**self.options)
        path = f"tables-{groups}@latest"
        assert fs.exists(f"{path}/table.parquet")
        self._proxy.take()
        self._asked = 0
        call(fs, path)
        seen = self._proxy.take_exchanges()
        return Cost(self._asked, sum(exchange.received for exchange in seen), len(seen))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Library, RecordingProxy]]:
    server = shared_seaweedfs()
    with recording_requests(server.endpoint_url) as proxy:
        room = tmp_path_factory.mktemp("tables")
        endpoint = Endpoint(proxy.url, server.access_key, server.secret_key)
        library = Library(room, f"s3://{server.create_bucket()}/{uuid4().hex}", endpoint.storage_options)
        for groups in (_SMALL, _LARGE):
            library.publish(_run(room / str(groups), groups), f"tables-{groups}")
        yield library, proxy


@pytest.fixture
def far(published: tuple[Library, RecordingProxy], monkeypatch: pytest.MonkeyPatch) -> Far:
    return Far(*published, monkeypatch)


def _run(folder: Path, groups: int) -> Path:
    """Make a table, an array of so many chunks, and a long file of text."""
    folder.mkdir()
    noise = np.random.default_rng(groups)
    fields: list[tuple[str, pa.DataType]] = [
        ("id", pa.int64()),
        *((f"c{at}", pa.float64()) for at in range(1, _COLUMNS)),
    ]
    schema = pa.schema(fields)
    with pq.ParquetWriter(folder / "table.parquet", schema, compression="none", use_dictionary=False) as writer:
        for group in range(groups):
            ids = np.arange(group * _GROUP_ROWS, (group + 1) * _GROUP_ROWS)
            columns = [ids, *(noise.random(_GROUP_ROWS) for _ in range(1, _COLUMNS))]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=_GROUP_ROWS)
    cube = zarr.create_array(
        str(folder / "cube.zarr"), shape=(groups, _GROUP_ROWS), chunks=(1, _GROUP_ROWS), dtype="f8", compressors=None
    )
    for group in range(groups):
        cube[group] = noise.random(_GROUP_ROWS)
    lines = "".join(f"{row},{row * 0.5},{row % 7}\n" for row in range(100_000))
    with (folder / "table.csv").open("w") as file:
        file.write("a,b,c\n")
        for _ in range(groups):
            file.write(lines)
    return folder


def arrow(fs: SealrunFileSystem, path: str) -> None:
    with fs.open(f"{path}/table.parquet") as file:
        assert pq.ParquetFile(file).read_row_group(1, columns=["c3"]).num_rows == _GROUP_ROWS


def dataset(fs: SealrunFileSystem, path: str) -> None:
    field = ds.field("id")
    wanted = (field >= _GROUP_ROWS) & (field < 2 * _GROUP_ROWS)
    table = ds.dataset(f"{path}/table.parquet", filesystem=fs).to_table(columns=["c3"], filter=wanted)
    assert table.num_rows == _GROUP_ROWS


def polars(fs: SealrunFileSystem, path: str) -> None:
    scanned = pl.scan_pyarrow_dataset(ds.dataset(f"{path}/table.parquet", filesystem=fs))
    wanted = (pl.col("id") >= _GROUP_ROWS) & (pl.col("id") < 2 * _GROUP_ROWS)
    assert scanned.filter(wanted).select("c3").collect().height == _GROUP_ROWS


def pandas(fs: SealrunFileSystem, path: str) -> None:
    wanted = [("id", ">=", _GROUP_ROWS), ("id", "<", 2 * _GROUP_ROWS)]
    frame = pd.read_parquet(f"{path}/table.parquet", filesystem=fs, columns=["c3"], filters=wanted)
    assert len(frame) == _GROUP_ROWS


def duck(fs: SealrunFileSystem, path: str) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        where = f"id >= {_GROUP_ROWS} AND id < {2 * _GROUP_ROWS}"
        found = connection.sql(f"SELECT sum(c3) FROM 'sealrun://{path}/table.parquet' WHERE {where}").fetchall()  # noqa: S608 - numbers
    assert 0 < found[0][0] < _GROUP_ROWS


@pytest.mark.parametrize("groups", [_SMALL, _LARGE])
@pytest.mark.parametrize(("read", "chunks"), [(arrow, 1), (dataset, 2), (polars, 2), (pandas, 2), (duck, 2)])
def test_one_column_of_one_row_group_costs_that_and_the_footer(
    far: Far, groups: int, read: Callable[[SealrunFileSystem, str], None], chunks: int
) -> None:
    cost = far.cost(groups, read)  # those that look for rows read their ids, too
    assert cost.received <= cost.asked + cost.requests * _HEAD  # nothing is read ahead
    assert chunks * _CHUNK <= cost.received <= chunks * _CHUNK + _FOOTERS + _OF_FOOTER * _COLUMNS * groups
    assert cost.requests <= 8


def test_what_is_read_does_not_grow_with_the_table(far: Far) -> None:
    for read in (arrow, dataset, polars, pandas):
        small, large = far.cost(_SMALL, read), far.cost(_LARGE, read)
        assert large.requests <= small.requests + 2  # a footer that is longer than guessed
        assert abs(large.received - small.received) < _OF_FOOTER * _COLUMNS * _LARGE


@pytest.mark.parametrize("groups", [_SMALL, _LARGE])
def test_the_first_rows_of_a_text_cost_one_request(far: Far, groups: int) -> None:
    def head(fs: SealrunFileSystem, path: str) -> None:
        with fs.open(f"{path}/table.csv") as file:
            assert len(pd.read_csv(file, nrows=5)) == 5

    cost = far.cost(groups, head)
    assert cost.requests == 1
    assert cost.received <= max(cost.asked, _WINDOW) + _HEAD


@pytest.mark.parametrize("chunks", [1, 3, 10])
def test_chunks_of_a_text_cost_at_most_twice_what_is_taken(far: Far, chunks: int) -> None:
    def read(fs: SealrunFileSystem, path: str) -> None:
        with fs.open(f"{path}/table.csv") as file, pd.read_csv(file, chunksize=20_000) as frames:
            assert sum(len(next(frames)) for _ in range(chunks)) == 20_000 * chunks

    cost = far.cost(_LARGE, read)
    assert cost.received <= cost.asked + min(cost.asked, _MOST_AHEAD) + _WINDOW + cost.requests * _HEAD


@pytest.mark.parametrize("groups", [_SMALL, _LARGE])
def test_one_chunk_of_an_array_costs_that_chunk(far: Far, groups: int) -> None:
    def read(_fs: SealrunFileSystem, path: str) -> None:
        array = zarr.open_array(f"sealrun://{path}/cube.zarr", storage_options=far.options, mode="r")
        assert 0 <= float(array[1, 5]) < 1  # type: ignore[arg-type] # one value

    cost = far.cost(groups, read)
    assert _CHUNK <= cost.received <= _CHUNK + 20_000
    assert cost.requests <= 10
