"""Parquet files are read in a process of their own: whatever they hold, whoever asks goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sealrun.adapters.content import parquet_rows
from sealrun.adapters.content.parquet_rows import parquet_table
from sealrun.domain.errors import UsageError
from sealrun.domain.oversight.previews import MOST_COLUMNS, MOST_ROWS


def a_file(columns: dict[str, list[object]]) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body)
    return body.getvalue()


def test_the_first_rows_are_shown_as_text() -> None:
    table = parquet_table("t.parquet", a_file({"a": [1, 2, None], "b": ["x", "ß", "y"]}))
    assert (table.columns, table.rows) == (["a", "b"], [["1", "x"], ["2", "ß"], ["", "y"]])
    assert (table.rows_total, table.truncated) == (3, False)


def test_a_large_table_is_cut() -> None:
    table = parquet_table("t.parquet", a_file({f"c{number}": list(range(1000)) for number in range(150)}))
    assert (len(table.columns), len(table.rows), table.rows_total, table.truncated) == (
        MOST_COLUMNS,
        MOST_ROWS,
        1000,
        True,
    )


@pytest.mark.parametrize("body", [b"", b"PAR1", b"PAR1" + b"\xff" * 1000 + b"PAR1"])
def test_what_is_no_parquet_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parquet_table("t.parquet", body)


def test_a_reader_that_dies_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "_PATIENCE_S", 0.0)
    with pytest.raises(UsageError, match="cannot be read"):
        parquet_table("t.parquet", a_file({"a": [1]}))


def test_where_pyarrow_is_not_installed_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "can_read_parquet", lambda: False)
    with pytest.raises(UsageError, match=r"sealrun\[tables\]"):
        parquet_table("t.parquet", b"")


def test_the_reader_takes_no_module_from_where_the_daemon_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert parquet_table("t.parquet", a_file({"a": [1]})).rows == [["1"]]
