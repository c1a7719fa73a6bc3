"""The page on frameworks: its settings take recorded runs, which give the records it shows; it names every preset."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.builders.folders import BY_COMMAND, Station, Writers
from tests.builders.frameworks import ENDS, laid_out
from tests.docs.pages import DOCS, Fence, fences
from tests.fakes.clock import FakeClock

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.domain.presets import PRESETS
from sealrun.domain.watches.settling import SettleRules
from sealrun.services.watching.detecting import explain
from sealrun.services.watching.sealing import SealRequest, seal
from sealrun.settings import load_settings

_ALIASES = ("spark", "hadoop", "huggingface")
_PAGE = DOCS / "how-to" / "frameworks.md"
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "hydra": (("2026-11-21/17-37-00", "hydra/failed"),),
    "lightning": (("version_0", "lightning/objects"), ("version_1", "lightning/killed")),
    "hf-trainer": (("tuned", "hf-trainer/early"), ("begun", "hf-trainer/running")),
    "mlflow": (
        ("672024538819607652/838b977819064f42ba7980796ec751bb", "mlflow/child"),
        ("672024538819607652/07f74e8580134d50b41aa6ac8270b3a6", "mlflow/deleted"),
        ("672024538819607652/973c4b7d90d046a3b0908474cb500968", "mlflow/running"),
    ),
    "wandb": (
        ("offline-run-20261121_180226-3ercbc55", "wandb/grouped"),
        ("run-20261121_174304-xbswxu4n", "wandb/finished-0.16"),
        ("offline-run-20261121_175916-s3vm6869", "wandb/running"),
    ),
    "tensorboard": (("first", "tensorboard/hparams"),),
    "sacred": (("1", "sacred/completed"), ("2", "sacred/queued"), ("3", "sacred/running")),
    "nextflow": (("launch", "nextflow/failed"), ("other", "nextflow/running")),
    "snakemake": (("analysis", "snakemake/interrupted"), ("other", "snakemake/running")),
    "success-file": (("table", "success-file/parquet"), ("begun", "success-file/killed")),
    "submitit": (("jobs", "submitit/array"), ("job", "submitit/running")),
    "ray-tune": (("search", "ray-tune/objects"), ("killed", "ray-tune/killed")),
}
"""Where the runs of each framework lie below the folder that its section watches."""
NO_RUNS = {
    "mlflow": ("672024538819607652/datasets/d", "672024538819607652/models/m-838b977819064f42ba7980796ec751bb"),
    "sacred": ("_sources",),
    "lightning": ("other",),
}
"""Folders beside them that are none."""


def with_language(language: str) -> list[Fence]:
    return [fence for fence in fences(_PAGE) if fence.language == language]


def station_of(block: str, tmp_path: Path) -> Station:
    """A watch as a settings block describes it, of a folder in `tmp_path`."""
    root = tmp_path / "watched"
    text = re.sub(r'(?m)^path = "[^"]*"', f'path = "{root}"', block)
    (tmp_path / "sealrun.toml").write_text(text.replace("/srv/registry", str(tmp_path / "registry")))
    (watch,) = load_settings(tmp_path / "sealrun.toml", {}, tmp_path).watches
    plain: dict[str, Any] = msgspec.structs.asdict(watch) | {"name": "w"}
    return Station(Path(plain.pop("path")), **plain)


def contains(whole: object, part: object) -> bool:
    """Tell whether everything that `part` says `whole` says, too."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    return whole == part


@pytest.mark.parametrize("preset", sorted(PLACES))
def test_the_settings_of_a_section_take_recorded_runs_when_they_are_over(preset: str, tmp_path: Path) -> None:
    (block,) = [f.text for f in with_language("toml") if f'preset = "{preset}"' in f.text]
    station = station_of(block, tmp_path)
    for place, name in PLACES[preset]:
        laid_out(name, station.root / place)
    for place in NO_RUNS.get(preset, ()):
        (station.root / place).mkdir(parents=True)
        (station.root / place / "file").write_text("x")
    station.settle()
    station.rescan(station.watch.settle_s)
    for place, name in PLACES[preset]:
        assert station.state(place) == ("settling" if ENDS[name][0] == "running" else "sealed"), place
    taken = {place for place, name in PLACES[preset] if ENDS[name][0] != "running"}
    assert len(station.envelopes()) == len(taken)
    assert all(envelope.producer["framework"]["name"] == preset for envelope in station.envelopes())


def test_the_settings_that_take_killed_runs_take_one_as_interrupted(tmp_path: Path) -> None:
    (block,) = [fence.text for fence in with_language("toml") if "on_stale" in fence.text]
    station = station_of(block, tmp_path)
    laid_out("mlflow/running", station.root / "672024538819607652/973c4b7d90d046a3b0908474cb500968")
    station.settle()
    station.rescan(station.watch.stale_after_s)
    assert [envelope.status for envelope in station.envelopes()] == ["interrupted"]


def test_every_section_shows_a_record_and_every_record_is_what_a_recorded_run_gives(tmp_path: Path) -> None:
    shown = [fence for fence in fences(_PAGE) if fence.mark.startswith("run.json: ")]
    names = [fence.mark.removeprefix("run.json: ") for fence in shown]
    assert sorted(name.partition("/")[0] for name in names) == sorted(PLACES)
    for fence, name in zip(shown, names, strict=True):
        run = laid_out(name, tmp_path / name)
        sealing = seal(
            open_alone(str(run), NoHashes()), SealRequest(experiment="e", completion=BY_COMMAND, preset="auto")
        )
        assert contains(json.loads(sealing.run.run_json), json.loads(fence.text)), name


def test_what_the_page_shows_of_explain_is_what_it_says(tmp_path: Path) -> None:
    (fence,) = [fence for fence in fences(_PAGE) if fence.mark.startswith("explain: ")]
    run = laid_out(fence.mark.removeprefix("explain: "), tmp_path / "run")
    said = msgspec.to_builtins(explain(open_alone(str(run), NoHashes()), SettleRules(), Writers(), FakeClock()))
    for line in fence.text.splitlines():
        value = said[line[:18].strip().replace(" ", "_")]
        assert line[18:] == (value if isinstance(value, str) else ", ".join(value))


def test_the_table_of_frameworks_lists_every_preset_in_the_order_of_asking() -> None:
    page = (DOCS / "how-to" / "frameworks.md").read_text()
    listed = re.findall(r"(?m)^\| `([\w-]+)` \|", page)
    assert ("auto", "none", *listed, *_ALIASES) == PRESETS
    assert all(f"`{alias}`" in page for alias in _ALIASES)


def test_every_preset_has_a_section_with_settings() -> None:
    text = "\n".join(fence.text for fence in fences(DOCS / "how-to" / "frameworks.md") if fence.language == "toml")
    assert sorted(re.findall(r'(?m)^preset = "([\w-]+)"', text)) == sorted(set(PRESETS) - {"auto", "none", *_ALIASES})


def test_the_reference_of_settings_names_every_preset() -> None:
    (row,) = re.findall(r"(?m)^\| `preset` \|.*$", (DOCS / "reference" / "settings.md").read_text())
    assert {preset for preset in PRESETS if f'`"{preset}"`' in row} == set(PRESETS)
