"""``[metrics]`` as it is read, and what is wrong with it as it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import Settings, load_settings

_REST = 'version = 1\nregistry.main.url = "registry"\n'


def loaded(folder: Path, table: str) -> Settings:
    (folder / "sealrun.toml").write_text(_REST + table)
    return load_settings(None, {}, folder)


def test_without_the_table_nothing_is_written(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").metrics.textfile is None
    assert loaded(tmp_path, "[metrics]\n").metrics.textfile is None


def test_a_path_counts_from_the_settings_file_and_an_interval_is_a_duration(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[metrics]\ntextfile = "out/a.prom"\ninterval = "2m"\nlabels = { user = "ada" }\n').metrics
    assert (found.textfile, found.interval_s) == (tmp_path / "out/a.prom", 120.0)
    assert found.labels == {"user": "ada"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('textfile = "a.txt"', r"\[metrics\] textfile: .*ends in \.prom"),
        ('textfile = ".prom"', r"\[metrics\] textfile"),
        ('textfile = ""', r"\[metrics\] textfile"),
        ('interval = "0.5s"', r"\[metrics\] interval: .*at least 1s"),
        ('interval = "often"', r"\[metrics\] interval"),
        ('file = "a.prom"', "metrics"),
        ('labels = { registry = "a" }', r"\[metrics\] labels: 'registry' cannot be one"),
        ('labels = { "a b" = "c" }', r"\[metrics\] labels"),
        ('labels = { __a = "c" }', r"\[metrics\] labels"),
    ],
)
def test_a_mistake_is_told_with_the_setting(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        loaded(tmp_path, f"[metrics]\n{table}\n")


def test_nobody_who_shows_no_metrics_loads_what_writes_them() -> None:
    rooms = "sealrun.bootstrap.daemon.running, sealrun.bootstrap.parts, sealrun.bootstrap.metering, sealrun.cli.main"
    program = f"import sys, {rooms}; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
