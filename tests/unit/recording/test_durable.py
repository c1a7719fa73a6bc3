from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sealrun.domain.errors import ConfigurationError, UsageError
from sealrun.recording import RunWriter, write_bytes, write_json, write_parquet, write_text


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_written_whole_and_its_size_returned(tmp_path: Path) -> None:
    written = write_text(tmp_path / "new/deep/a.txt", "é\r\n")
    assert (tmp_path / "new/deep/a.txt").read_bytes() == b"\xc3\xa9\r\n"
    assert (written.bytes, written.rows, written.path) == (4, None, tmp_path / "new/deep/a.txt")
    assert written.created_at.endswith("Z")
    assert names_below(tmp_path) == {"new/deep/a.txt"}


def test_json_is_canonical_and_a_repeat_replaces_it(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    write_json(tmp_path / "a.json", {"b": [1.5, float("inf")], "a": Path("x"), "ü": {2, 1}})
    text = '{\n  "a": "x",\n  "b": [\n    1.5,\n    "Infinity"\n  ],\n  "\\u00fc": [\n    1,\n    2\n  ]\n}\n'
    assert (tmp_path / "a.json").read_text() == text


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names_below(tmp_path) == {"a"}


def test_the_order_is_write_sync_rename_sync_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def noted_sync(descriptor: int) -> None:
        done.append("sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")  # noqa: PTH112
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        rename(self, target)
        return target

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_bytes(tmp_path / "a", b"x")
    assert done == ["sync file", "rename", "sync folder"]


def test_in_a_run_the_temporary_file_is_where_it_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunWriter("P", root=tmp_path)
    run.start()
    seen: list[Path] = []
    replace = Path.replace

    def noted(self: Path, target: Path) -> Path:
        seen.append(self.relative_to(run.run_dir))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    write_text(run.artifacts / "deep/a.txt", "x")
    assert [path.parts[:2] for path in seen] == [(".sealrun", "tmp")]
    run.finish()
    assert names_below(run.run_dir / ".sealrun") == {"done.json"}
    assert not (run.run_dir / ".sealrun/tmp").exists()


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": [1, 2, 3]}),
        pl.LazyFrame({"a": [1, 2, 3]}),
        pa.table({"a": [1, 2, 3]}),
        pd.DataFrame({"a": [1, 2, 3]}),
        [{"a": 1}, {"a": 2}, {"a": 3}],
        {"a": [1, 2, 3]},
    ],
    ids=["polars", "polars-lazy", "arrow", "pandas", "rows", "columns"],
)
def test_any_table_becomes_parquet_and_its_rows_are_counted(tmp_path: Path, frame: object) -> None:
    written = write_parquet(tmp_path / "t.parquet", frame)
    assert written.rows == 3
    assert written.bytes == (tmp_path / "t.parquet").stat().st_size
    assert pl.read_parquet(tmp_path / "t.parquet")["a"].to_list() == [1, 2, 3]


def test_rows_become_parquet_by_arrow_where_there_is_no_polars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    assert write_parquet(tmp_path / "t.parquet", [{"a": 1}]).rows == 1
    assert write_parquet(tmp_path / "u.parquet", {"a": [1, 2]}).rows == 2


def test_without_a_library_for_tables_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="pip install"):
        write_parquet(tmp_path / "t.parquet", [{"a": 1}])
    with pytest.raises(UsageError, match="cannot write a str"):
        write_parquet(tmp_path / "t.parquet", "text")
    assert names_below(tmp_path) == set()


def test_sections_are_the_declared_ones_and_others_are_refused(tmp_path: Path) -> None:
    run = RunWriter("P", root=tmp_path)
    run.start()
    for section in ("lab/tidy", "lab/probes", "lab/policy", "lab/audit", "world", "mind"):
        assert run.section(section) == run.run_dir / "artifacts" / section
    written = run.write_parquet("t.parquet", {"a": [1]}, section="lab/tidy")
    assert written.path == run.run_dir / "artifacts/lab/tidy/t.parquet"
    for unknown in ("lab", "lab/other", "../x"):
        with pytest.raises(UsageError, match="unknown section"):
            run.section(unknown)
    own = RunWriter("P", root=tmp_path, sections=["train", "eval/plots"])
    own.start()
    assert own.section("eval/plots").is_dir()
    with pytest.raises(UsageError, match="train, eval/plots"):
        own.write_text("a", "", section="world")


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../b", "", "a//b", "./a"])
def test_no_path_leads_out_of_the_run(tmp_path: Path, path: str) -> None:
    run = RunWriter("P", root=tmp_path)
    run.start()
    with pytest.raises(UsageError):
        run.write_text(path, "x")
