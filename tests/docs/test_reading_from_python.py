"""The page on reading from Python: what it shows runs, one fence after the other, as a reader would try it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, fences, reader_environment, shell

_PREPARE = """
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import xarray as xr

run = Path("run-1")
run.mkdir()
table = pa.table({"step": [1, 2, 3, 4], "loss": [0.4, 0.3, 0.2, 0.1], "part": [0, 1, 0, 1]})
(run / "metrics.csv").write_text("step,loss\\n1,0.4\\n")
(run / "settings.json").write_text(json.dumps({"rate": 0.1}))
pq.write_table(table, run / "table.parquet")
ds.write_dataset(table, run / "parts", format="parquet", partitioning=["part"], partitioning_flavor="hive")
xr.Dataset({"t": (("y", "x"), np.ones((2, 2)))}).to_zarr(run / "cube.zarr", zarr_format=3, consolidated=False)
"""
_CHECK = """
assert metrics["loss"].tolist() == [0.4], metrics
assert table["loss"].min() == best == 0.1
assert sorted(small["step"].to_pylist()) == [2, 4]
assert rows == [(4,)]
assert corner == 1.0
assert settings == {"rate": 0.1}
"""


def test_the_page_on_reading_from_python_runs_as_it_is_written(tmp_path: Path) -> None:
    environ = reader_environment(tmp_path / "home")
    here = tmp_path / "here"
    here.mkdir()
    subprocess.run([sys.executable, "-c", _PREPARE], cwd=here, env=environ, check=True)
    shell("sealrun init . > /dev/null\nsealrun publish run-1 --experiment training > /dev/null", here, environ)
    page = DOCS / "how-to" / "read-from-python.md"
    examples = [fence.text for fence in fences(page) if fence.language == "python"]
    assert len(examples) == 5
    script = "\n".join([*examples, _CHECK])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "training@latest/metrics.csv" in done.stdout
    assert "{'training@latest': 'training/" in done.stdout
    assert (here / "restored" / "metrics.csv").read_text() == "step,loss\n1,0.4\n"


def test_every_option_of_the_file_system_is_described() -> None:
    import inspect  # noqa: PLC0415 - with the next, what only this test needs

    from sealrun.fsspec_plugin import SealrunFileSystem  # noqa: PLC0415 - loads fsspec

    text = (ROOT / "docs" / "how-to" / "read-from-python.md").read_text()
    taken = [name for name in inspect.signature(SealrunFileSystem.__init__).parameters if not name.startswith("_")]
    for name in taken:
        assert name in {"self", "options"} or f"| `{name}` |" in text, name
