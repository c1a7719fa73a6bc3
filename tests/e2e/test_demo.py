"""``sealrun demo`` shows the main job with real processes and ends by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_demo_seals_a_run_that_is_being_written_and_ends_with_0_without_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sealrun", "demo", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was sealed" in done.stdout
    assert "artifacts/model.bin: OK" in done.stdout or "model.bin" in done.stdout
    assert "demo@latest" in done.stdout
