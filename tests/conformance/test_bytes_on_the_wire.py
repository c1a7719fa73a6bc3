"""Reading a part of a large table from far away costs about that part, and few requests: counted on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from tests.builders.libraries import Library
from tests.servers.endpoint import Endpoint
from tests.servers.recording import RecordingProxy, recording_requests
from tests.servers.shared import shared_seaweedfs

from sealrun.fsspec_plugin import SealrunFileSystem

_ROWS, _GROUPS, _COLUMNS = 400_000, 8, 8
_COLUMN_BYTES = _ROWS * 8
_MIB = 1 << 20


class Far(NamedTuple):
    """A table of some 25 MiB behind a proxy that counts."""

    library: Library
    proxy: RecordingProxy
    ref: str

    def fs(self, *, cache: bool = False) -> SealrunFileSystem:
        options = self.library.options
        fs = SealrunFileSystem(**(options if cache else {**options, "cache": False}))
        assert fs.exists("train@latest/table.parquet")  # connections, records: what every reader pays once
        self.proxy.take()
        return fs

    def spent(self) -> tuple[int, int]:
        """Bytes received and requests made since the last look."""
        seen = self.proxy.take_exchanges()
        return sum(exchange.received for exchange in seen), len(seen)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    room = tmp_path_factory.mktemp("far")
    server = shared_seaweedfs()
    columns = np.random.default_rng(1).random((_COLUMNS, _ROWS))
    table = pa.table({f"c{at}": columns[at] for at in range(_COLUMNS)})
    (room / "run").mkdir()
    pq.write_table(
        table, room / "run" / "table.parquet", row_group_size=_ROWS // _GROUPS, compression="none", use_dictionary=False
    )
    for at in range(200):
        (room / "run" / f"small-{at:03}").write_bytes(bytes([at]) * 500)
    with recording_requests(server.endpoint_url) as proxy:
        endpoint = Endpoint(proxy.url, server.access_key, server.secret_key)
        library = Library(room, f"s3://{server.create_bucket()}/{uuid4().hex}", endpoint.storage_options)
        yield Far(library, proxy, library.publish(room / "run"))


def test_one_column_of_a_table_costs_about_that_column(far: Far) -> None:
    fs = far.fs()
    found = pq.read_table("train@latest/table.parquet", filesystem=fs, columns=["c3"])
    assert found.num_rows == _ROWS
    received, requests = far.spent()
    assert _COLUMN_BYTES <= received < _COLUMN_BYTES * 1.4
    assert requests <= _GROUPS + 4


def test_one_row_group_costs_about_that_row_group(far: Far) -> None:
    fs = far.fs()
    with fs.open("train@latest/table.parquet") as file:
        assert pq.ParquetFile(file).read_row_group(5).num_rows == _ROWS // _GROUPS
    received, requests = far.spent()
    group = _COLUMN_BYTES * _COLUMNS // _GROUPS
    assert group <= received < group * 1.4
    assert requests <= _COLUMNS + 4


def test_polars_that_scans_a_dataset_reads_what_it_needs(far: Far) -> None:
    fs = far.fs()
    scanned = pl.scan_pyarrow_dataset(ds.dataset("train@latest/table.parquet", filesystem=fs))
    assert scanned.select(pl.col("c0").count()).collect().item() == _ROWS
    received, _ = far.spent()
    assert received < _COLUMN_BYTES * 1.6


def test_a_range_costs_that_range(far: Far) -> None:
    fs = far.fs()
    size = fs.info("train@latest/table.parquet")["size"]
    assert len(fs.cat_file("train@latest/table.parquet", size // 2, size // 2 + 1000)) == 1000
    received, requests = far.spent()
    assert received < 1000 + 2000
    assert requests == 1


def test_many_ranges_that_lie_together_are_few_requests(far: Far) -> None:
    fs = far.fs()
    name = "train@latest/table.parquet"
    starts = [at * 2000 for at in range(100)]
    found = fs.cat_ranges([name] * 100, starts, [start + 1000 for start in starts])
    assert [len(piece) for piece in found] == [1000] * 100
    received, requests = far.spent()
    assert requests == 1
    assert received < 210_000


def test_small_files_in_a_pack_are_read_together(far: Far) -> None:
    fs = far.fs()
    found = fs.cat("train@latest/small-*")
    assert found == {f"train@latest/small-{at:03}": bytes([at]) * 500 for at in range(200)}
    _, requests = far.spent()
    assert requests <= 3


def test_a_whole_file_is_received_once_and_then_kept_on_this_machine(far: Far) -> None:
    fs = far.fs(cache=True)
    body = fs.cat_file("train@latest/table.parquet")
    first, _ = far.spent()
    assert len(body) <= first < len(body) * 1.05
    again = far.fs(cache=True)
    assert again.cat_file("train@latest/table.parquet") == body
    with again.open("train@latest/table.parquet") as file:
        file.seek(10 * _MIB)
        assert file.read(100) == body[10 * _MIB : 10 * _MIB + 100]
    assert far.spent() == (0, 0)


def test_a_kept_file_that_was_damaged_is_fetched_again(far: Far) -> None:
    fs = far.fs(cache=True)
    body = fs.cat_file("train@latest/small-007")
    digest = str(fs.ukey("train@latest/small-007"))
    kept = Path(far.library.options["cache"]) / "sha256" / digest[:2] / digest[2:]
    kept.chmod(0o644)
    kept.write_bytes(b"x" * 500)
    far.spent()
    assert fs.cat_file("train@latest/small-007") == body
    assert far.spent()[1] == 1
    assert kept.read_bytes() == body


def test_reading_a_file_from_end_to_end_needs_few_requests_and_no_second_look(far: Far) -> None:
    fs = far.fs()
    read = 0
    with fs.open("train@latest/table.parquet") as file:
        while chunk := file.read(100_000):
            read += len(chunk)
    received, requests = far.spent()
    assert read <= received < read * 1.02
    assert requests <= 14
