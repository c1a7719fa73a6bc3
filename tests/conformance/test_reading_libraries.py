"""The libraries that people read with, on a directory and on a server: each gets exactly what was published."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dask.config
import dask.dataframe as dd
import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from dask.base import compute
from dask.bytes.core import read_bytes
from tests.builders.libraries import Library
from tests.conformance.libraries import KINDS, a_library

from sealrun.fsspec_plugin import SealrunFileSystem

_ROWS = 3000


class Published(NamedTuple):
    """A run with a file of each kind, and one before it that has none of them."""

    library: Library
    ref: str
    before: str

    @property
    def options(self) -> dict[str, Any]:
        return self.library.options

    @property
    def fs(self) -> SealrunFileSystem:
        return SealrunFileSystem(**self.options)


def table() -> pa.Table:
    return pa.table(
        {"step": list(range(_ROWS)), "loss": [1 / (1 + at) for at in range(_ROWS)], "part": [0, 1, 2] * 1000}
    )


def _fill(room: Path) -> None:
    (room / "plain").mkdir(parents=True)
    pd.DataFrame({"step": range(_ROWS), "name": [f"n{at}" for at in range(_ROWS)]}).to_csv(
        room / "plain" / "metrics.csv", index=False
    )
    pq.write_table(table(), room / "plain" / "table.parquet", row_group_size=500)
    ds.write_dataset(table(), room / "parts", format="parquet", partitioning=["part"], partitioning_flavor="hive")
    grid = np.arange(40 * 60, dtype="f8").reshape(40, 60)
    cube = xr.Dataset({"t": (("y", "x"), grid)}, coords={"y": range(40), "x": range(60)})
    cube.to_zarr(room / "cube.zarr", zarr_format=3, consolidated=False, encoding={"t": {"chunks": (10, 20)}})
    cube.to_zarr(room / "old.zarr", zarr_format=2, consolidated=True)


@pytest.fixture(scope="module", params=KINDS)
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    library = a_library(request.param, tmp_path_factory.mktemp(request.param))
    room = library.room / "run-results"
    before = library.publish({"other": "x"})
    _fill(room)
    return Published(library, library.publish(room, names={"plain/metrics.csv": "metrics.csv"}), before)


def test_pandas_reads_csv_by_pointer_by_run_and_by_published_name(published: Published) -> None:
    expected = pd.read_csv(published.library.room / "run-results" / "plain" / "metrics.csv")
    for name in ("train@latest/plain/metrics.csv", f"{published.ref}/plain/metrics.csv", "metrics.csv"):
        found = pd.read_csv(f"sealrun://{name}", storage_options=published.options)
        pd.testing.assert_frame_equal(found, expected)


def test_pandas_reads_parquet_files_and_folders(published: Published) -> None:
    found = pd.read_parquet("sealrun://train@latest/plain/table.parquet", storage_options=published.options)
    assert found["step"].tolist() == list(range(_ROWS))
    whole = pd.read_parquet("sealrun://train@latest/parts", storage_options=published.options)
    assert sorted(whole["step"]) == list(range(_ROWS))


def test_pyarrow_reads_partitioned_datasets(published: Published) -> None:
    found = ds.dataset("train@latest/parts", filesystem=published.fs, format="parquet", partitioning="hive")
    assert found.count_rows() == _ROWS
    part = found.to_table(filter=ds.field("part") == 1, columns=["step"])
    assert sorted(part["step"].to_pylist()) == list(range(1, _ROWS, 3))
    assert pq.read_table("train@latest/plain/table.parquet", filesystem=published.fs).equals(table())


def test_polars_reads_files_and_scans_datasets(published: Published) -> None:
    with published.fs.open("train@latest/plain/metrics.csv") as file:
        assert pl.read_csv(file).height == _ROWS
    with published.fs.open("train@latest/plain/table.parquet") as file:
        assert pl.read_parquet(file, columns=["step"])["step"].sum() == sum(range(_ROWS))
    scanned = pl.scan_pyarrow_dataset(ds.dataset("train@latest/parts", filesystem=published.fs, partitioning="hive"))
    assert scanned.filter(pl.col("part") == 2).select(pl.col("step").max()).collect().item() == _ROWS - 1


def test_duckdb_queries_files_and_globs(published: Published) -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(published.fs)
        one = connection.sql("SELECT sum(step) FROM read_parquet('sealrun://train@latest/plain/table.parquet')")
        assert one.fetchall() == [(sum(range(_ROWS)),)]
        many = connection.sql("SELECT count(*) FROM read_parquet('sealrun://train@latest/parts/*/*.parquet')")
        assert many.fetchall() == [(_ROWS,)]
        lines = connection.sql("SELECT count(*) FROM read_csv('sealrun://metrics.csv')")
        assert lines.fetchall() == [(_ROWS,)]


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns at nearly every step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_duckdb_gets_right_answers_though_its_threads_share_one_open_file(published: Published) -> None:
    query = "SELECT sum(step), min(step), max(step) FROM read_parquet('sealrun://train@latest/plain/table.parquet')"
    for _ in range(30):
        with duckdb.connect(config={"threads": 4}) as connection:
            connection.register_filesystem(published.fs)
            assert connection.sql(query).fetchall() == [(sum(range(_ROWS)), 0, _ROWS - 1)]


@pytest.mark.parametrize("name", ["cube.zarr", "old.zarr"])
def test_xarray_opens_zarr_of_both_formats(published: Published, name: str) -> None:
    options = published.options
    consolidated = name == "old.zarr"
    with xr.open_zarr(f"sealrun://train@latest/{name}", storage_options=options, consolidated=consolidated) as found:
        assert found["t"].dims == ("y", "x")
        np.testing.assert_array_equal(found["t"].values, np.arange(2400, dtype="f8").reshape(40, 60))
        assert float(found["t"].isel(y=39, x=59)) == 2399.0


def test_zarr_opens_a_group_for_reading_and_refuses_to_write(published: Published) -> None:
    options = published.options
    group = zarr.open_group("sealrun://train@latest/cube.zarr", mode="r", storage_options=options)
    array = group["t"]
    assert isinstance(array, zarr.Array)
    assert array.shape == (40, 60)
    assert np.asarray(array[12, 34]) == 12 * 60 + 34
    with pytest.raises(OSError, match="read-only"):
        zarr.open_group("sealrun://train@latest/new.zarr", mode="w", storage_options=options)


def test_fsspec_opens_text_lines_and_compressed_files(published: Published) -> None:
    url = "sealrun://train@latest/plain/metrics.csv"
    with fsspec.open(url, "rt", **published.options) as file:
        assert next(iter(file)) == "step,name\n"
        assert sum(1 for _ in file) == _ROWS
    (opened,) = fsspec.open_files("sealrun://train@latest/plain/*.csv", "rb", **published.options)
    with pickle.loads(pickle.dumps(opened)) as file:  # noqa: S301 - made in this line
        assert io.TextIOWrapper(file).readline() == "step,name\n"


def test_dask_reads_in_processes_the_run_that_it_began_with(published: Published) -> None:
    """The client looks the pointer up, and the tasks, which are pickled, go by that."""
    library, options = published.library, published.options
    library.point(published.ref, "best")
    frame = dd.read_parquet("sealrun://train@best/parts", storage_options=options, columns=["step"])
    url = "sealrun://train@best/plain/metrics.csv"
    (lines,) = read_bytes(url, blocksize=2000, **options)[1]  # type: ignore[no-untyped-call] # Dask has few types
    assert len(lines) > 2
    library.point(published.before, "best")
    with dask.config.set(scheduler="processes", num_workers=2):
        assert int(frame["step"].sum().compute()) == sum(range(_ROWS))
        blocks = compute(*lines)  # type: ignore[no-untyped-call] # the same
    assert b"".join(blocks) == (library.room / "run-results" / "plain" / "metrics.csv").read_bytes()


def test_fsspecs_own_caches_can_be_put_in_front(published: Published, tmp_path: Path) -> None:
    url = "filecache::sealrun://train@latest/plain/metrics.csv"
    with fsspec.open(url, "rb", sealrun=published.options, filecache={"cache_storage": str(tmp_path)}) as file:
        assert file.read(4) == b"step"


# fsspec's map of the file leaves closing it to whoever collects garbage.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
def test_fsspecs_cache_of_blocks_fetches_each_once(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "blockcache::sealrun://train@latest/plain/metrics.csv"
    fetched: list[str] = []
    ranges = SealrunFileSystem.cat_ranges

    def counted(self: SealrunFileSystem, paths: list[str], *args: Any, **options: Any) -> Any:  # noqa: ANN401 - fsspec's
        fetched.extend(paths)
        return ranges(self, paths, *args, **options)

    monkeypatch.setattr(SealrunFileSystem, "cat_ranges", counted)
    whole = published.fs.cat("train@latest/plain/metrics.csv")
    for _ in range(2):
        cache = {"cache_storage": str(tmp_path)}
        with fsspec.open(url, "rb", sealrun=published.options, blockcache=cache) as file:
            file.seek(100)
            assert file.read(50) == whole[100:150]
            assert file.read() == whole[150:]
            file.seek(0)
            assert file.read() == whole
        assert file.closed
    assert len(fetched) == 1
