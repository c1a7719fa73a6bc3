"""The derivers that come along: what they make of traces and of tables, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import arviz
import numpy as np
import pyarrow.parquet as pq
import pytest

from sealrun.derivers import mcmc, table


def _normal(mean: float, chains: int = 4, draws: int = 300) -> list[list[float]]:
    found: list[list[float]] = np.random.default_rng(7).normal(mean, 1.0, (chains, draws)).tolist()
    return found


def _analysed(tmp_path: Path, traces: dict[str, Any], mode: str = "light") -> Path:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/traces_raw.json").write_text(json.dumps(traces))
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "sealrun.derivers", "sealrun.derivers.mcmc:derive", "in", "out", mode],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


@pytest.mark.slow
def test_traces_become_what_arviz_reads_estimates_and_plots(tmp_path: Path) -> None:
    work = [[10.0 * step for step in range(1, 301)]] * 4
    out = _analysed(tmp_path, {"llc": _normal(3.0), "energy": _normal(0.0), "cumulative_fge": work}, "full")
    data: Any = cast("Any", arviz).from_netcdf(out / "trace.nc")
    assert data.posterior["llc"].shape == (4, 300)
    assert set(data.sample_stats.data_vars) == {"energy", "cumulative_fge"}
    analysis = json.loads((out / "analysis.json").read_text())
    known = analysis["quantities"]["llc"]
    assert set(analysis["quantities"]) == {"llc"}
    assert known["mean"] == pytest.approx(3.0, abs=0.15)
    assert known["sd"] == pytest.approx(1.0, abs=0.1)
    assert known["r_hat"] == pytest.approx(1.0, abs=0.02)
    assert 600 < known["ess_bulk"] < 2000
    assert analysis["work"] == {"cumulative_fge": 12000.0}
    plots = {path.name: path.read_bytes() for path in (out / "diagnostics").iterdir()}
    assert set(plots) == {"trace.png", "rank.png", "energy.png", "convergence.png", "wnv.png"}
    assert all(body.startswith(b"\x89PNG") and len(body) > 5000 for body in plots.values())


@pytest.mark.slow
def test_the_same_traces_give_the_same_bytes(tmp_path: Path) -> None:
    made = [_analysed(tmp_path / name, {"x": _normal(0.0)}) for name in ("one", "other")]
    files = [
        {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} for out in made
    ]
    assert files[0] == files[1]
    assert "wnv.png" not in {Path(path).name for path in files[0]}


@pytest.mark.slow
def test_what_needs_more_chains_or_draws_is_null(tmp_path: Path) -> None:
    one_chain = json.loads((_analysed(tmp_path / "a", {"x": _normal(0.0, 1)}) / "analysis.json").read_text())
    assert one_chain["quantities"]["x"]["r_hat"] is None
    assert one_chain["quantities"]["x"]["ess_bulk"] > 50


@pytest.mark.parametrize(
    ("traces", "reason"),
    [
        ([], "is not an object of arrays"),
        ({}, "is not an object of arrays"),
        ({"x": 1}, r"'x' has the shape \(\)"),
        ({"x": [[[1.0]]]}, r"'x' has the shape \(1, 1, 1\)"),
        ({"x": [[1.0], [2.0, 3.0]]}, "'x' is not an array of numbers"),
        ({"x": [["a"]]}, "'x' is not an array of numbers"),
        ({"x": [[1.0, 2.0]], "y": [[1.0]]}, "chains and draws differ: x 1 x 2, y 1 x 1"),
        ({"x": [[1e999]]}, "'x' holds values that are not finite"),
    ],
)
def test_traces_that_cannot_be_meant_are_refused(tmp_path: Path, traces: object, reason: str) -> None:
    path = tmp_path / "traces_raw.json"
    path.write_text(json.dumps(traces))
    with pytest.raises(ValueError, match=reason):
        mcmc.read_traces(path)


def _tabled(tmp_path: Path, *runs: tuple[dict[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    inputs, output = tmp_path / "inputs", tmp_path / "out"
    output.mkdir()
    listed = []
    for number, (about, files) in enumerate(runs):
        run_id = f"r{number}"
        for name, value in files.items():
            (inputs / run_id).mkdir(parents=True, exist_ok=True)
            (inputs / run_id / name).write_text(json.dumps(value))
        plain = {"params": {}, "metrics": {}, "of": [], "finished_at": "2026-01-01T00:00:00Z"}
        listed.append({"ref": f"e/{run_id}", "run_id": run_id, "files": dict.fromkeys(files, "x"), **plain, **about})
    (tmp_path / "inputs.json").write_text(json.dumps(listed))
    table.derive(inputs, output, "light")
    rows: list[dict[str, Any]] = pq.read_table(output / table.FILE).to_pylist()
    return rows


def test_json_files_become_a_row_for_each_run(tmp_path: Path) -> None:
    rows = _tabled(
        tmp_path,
        ({"params": {"o": {"lr": 1}}, "metrics": {"loss": 2}, "of": ["e/x"]}, {"a.json": {"q": {"m": 1.5}, "l": [1]}}),
        ({"params": {"o": {"lr": 0.5}}}, {"a.json": {"q": {"m": 2}, "flag": True}, "b.json": {"n": None}}),
    )
    assert rows[0]["params.o.lr"] == 1.0
    assert rows[1]["params.o.lr"] == 0.5
    assert [row["q.m"] for row in rows] == [1.5, 2.0]
    assert (rows[0]["l"], rows[1]["l"]) == ("[1]", None)
    assert (rows[0]["of"], rows[1]["of"]) == ("e/x", None)
    assert (rows[0]["metrics.loss"], rows[1]["flag"]) == (2, True)


def test_a_column_of_mixed_kinds_is_text(tmp_path: Path) -> None:
    rows = _tabled(tmp_path, ({}, {"a.json": {"lr": 0.5}}), ({}, {"a.json": {"lr": "auto"}}))
    assert [row["lr"] for row in rows] == ["0.5", "auto"]


def test_what_cannot_be_one_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"e/r0:b\.json: 'x' is there already"):
        _tabled(tmp_path / "a", ({}, {"a.json": {"x": 1}, "b.json": {"x": 2}}))
    with pytest.raises(ValueError, match=r"e/r0:a\.json: is no JSON object"):
        _tabled(tmp_path / "b", ({}, {"a.json": [1]}))


def test_a_function_that_is_not_there_or_fails_says_so(tmp_path: Path) -> None:
    def called(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sealrun.derivers", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert called("a").returncode == 2
    missing = called("sealrun.derivers.mcmc:nothing", "in", "out", "light")
    assert (missing.returncode, "has no attribute 'nothing'" in missing.stderr) == (2, True)
    failed = called("sealrun.derivers.table:derive", "in", "out", "light")
    assert (failed.returncode, "FileNotFoundError" in failed.stderr) == (1, True)
