"""``limit``, ``quiet_hours`` and ``timezone`` of a registry."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sealrun.bootstrap.describing import described_registries
from sealrun.domain.errors import ConfigurationError
from sealrun.domain.oversight.quiet_hours import Quiet, parse_quiet_hours
from sealrun.settings import Settings, load_settings


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "sealrun.toml"
    file.write_text('version = 1\n[registry.main]\nurl = "registry"\n' + text)
    return load_settings(file, {}, folder)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ('"20 MB/s"', 20_000_000),
        ('"20MiB/s"', 20 << 20),
        ('"500 kB/s"', 500_000),
        ('"1.5 GB/s"', 1_500_000_000),
        ("65536", 65_536),
    ],
)
def test_a_limit_is_bytes_per_second(tmp_path: Path, written: str, rate: int) -> None:
    settings = settings_of(tmp_path, f"limit = {written}\n")
    assert settings.registries["main"].limit == rate
    assert described_registries(settings)["main"].limit == rate
    assert settings.shown()["registry"]["main"]["limit"] == rate


@pytest.mark.parametrize("written", ['"20 MB"', '"fast"', '"20 MB/min"', '""', '"-1 MB/s"', "-5", '"10 kB/s"', "0"])
def test_a_limit_that_is_none_or_too_small_to_work_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[registry.main\] limit"):
        settings_of(tmp_path, f"limit = {written}\n")


def test_without_limits_there_are_none(tmp_path: Path) -> None:
    registry = settings_of(tmp_path, "").registries["main"]
    assert (registry.limit, registry.quiet) == (None, None)


def test_quiet_hours_go_by_the_zone_that_is_named_or_by_this_machine(tmp_path: Path) -> None:
    hours = 'quiet_hours = ["Mon-Fri 08:00-18:00", "22:00-06:00"]\n'
    read = (parse_quiet_hours("Mon-Fri 08:00-18:00"), parse_quiet_hours("22:00-06:00"))
    assert settings_of(tmp_path, hours).registries["main"].quiet == Quiet(read)
    settings = settings_of(tmp_path, hours + 'timezone = "Europe/Berlin"\n')
    assert settings.registries["main"].quiet == Quiet(read, ZoneInfo("Europe/Berlin"))
    assert described_registries(settings)["main"].quiet == settings.registries["main"].quiet
    assert settings.shown()["registry"]["main"]["quiet_hours"]["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('quiet_hours = ["8-18"]\n', "expected hours such as"),
        ('quiet_hours = ["00:00-12:00", "12:00-24:00"]\n', "no time of the week"),
        ('quiet_hours = ["08:00-18:00"]\ntimezone = "Mars/Olympus"\n', "no time zone"),
        ('quiet_hours = ["08:00-18:00"]\ntimezone = "../../etc/passwd"\n', "no time zone"),
        ('timezone = "Europe/Berlin"\n', "there are none"),
    ],
)
def test_quiet_hours_that_cannot_be_meant_are_refused(tmp_path: Path, written: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        settings_of(tmp_path, written)
