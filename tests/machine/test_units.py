"""systemd reads the units and drop-ins that come along, and complains of no line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.machine

DEPLOY = Path(__file__).parents[2] / "deploy" / "systemd"


@pytest.mark.parametrize("name", ["sealrun.service", "sealrun-user.service"])
def test_systemd_understands_every_line_of_the_units(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text().replace("/opt/sealrun/bin/sealrun", "/bin/true")
    (tmp_path / name).write_text(text.replace("%h/.local/bin/sealrun", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(["--user"] if "user" in name else []), tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in done.stderr.splitlines() if name in line] == []


@pytest.mark.parametrize("drop_in", sorted(path.name for path in (DEPLOY / "drop-ins").iterdir()))
def test_systemd_understands_every_drop_in(drop_in: str, tmp_path: Path) -> None:
    text = (DEPLOY / "sealrun.service").read_text().replace("/opt/sealrun/bin/sealrun", "/bin/true")
    (tmp_path / "sealrun.service").write_text(text)
    folder = tmp_path / "sealrun.service.d"
    folder.mkdir()
    shutil.copy(DEPLOY / "drop-ins" / drop_in, folder)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "sealrun.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if drop_in in line]
    assert [line for line in said if "Restart" not in line] == []  # older ones do not know the keys of backoff.conf
