"""The records of a sealed run as files, for those who want to look at them before anything is published."""

from __future__ import annotations

from pathlib import Path

from sealrun.domain.errors import UsageError
from sealrun.domain.pieces import pieces_of
from sealrun.domain.runs.manifest import MANIFEST_FILE, RUN_FILE, SUMS_FILE
from sealrun.domain.runs.sealed import SealedRun


def write_records(run: SealedRun, output: Path) -> None:
    """Write a sealed run's three records into the folder `output`, which is made; existing ones are not overwritten."""
    output.mkdir(parents=True, exist_ok=True)
    for name, body in ((RUN_FILE, run.run_json), (MANIFEST_FILE, run.manifest_json), (SUMS_FILE, run.sums().body)):
        try:
            with (output / name).open("xb") as file:
                file.writelines(pieces_of(body))
        except FileExistsError as error:
            msg = f"{output / name}: exists already; choose another folder for --output"
            raise UsageError(msg) from error
