"""How a run begins: a folder of its own, and fields of the record that nobody else may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from sealrun.domain.errors import ConflictError
from sealrun.domain.records import JsonObject
from sealrun.recording import capturing
from sealrun.recording.batch import capture_batch
from sealrun.recording.durable import make_folders, sync_folder

SCHEMA = "1"
KEPT_FIELDS = frozenset({"experiment", "algo", "tag", "phase", "command"})
"""Fields that are set once."""
OWN_FIELDS = frozenset(
    {"schema", "run_id", "pipeline_id", "pipeline_version", "status", "started_at", "finished_at", "machine", "git"}
    | {"arguments", "inputs", "outputs", "trigger", "required_env", "checks", "versions", "reason", "artifacts"}
    | {"batch", "logs"}
)
"""Fields that only the writer sets."""
_TRIES = 20


def claim_folder(root: Path, name: Callable[[int], str]) -> Path:
    """Make the run's folder below `root`, under the first of the names `name` (0), (1), … that is free.

    Whoever makes the folder has the id, on any number of machines. A crash here leaves an empty folder, which is no
    run. `ConflictError` if no name is free.
    """
    make_folders(root)
    for number in range(_TRIES):
        folder = root.absolute() / name(number)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        sync_folder(root)
        return folder
    msg = f"{folder}: there is a run of this id already: leave the id to sealrun, or choose another"
    raise ConflictError(msg)


def first_record(
    run_id: str, pipeline: JsonObject, started: datetime, git: JsonObject | None, environ: Mapping[str, str]
) -> JsonObject:
    """Return what ``run.json`` says of any run from its first moment on."""
    said: JsonObject = {
        "schema": SCHEMA,
        "run_id": run_id,
        **pipeline,
        "status": "running",
        "started_at": f"{started.replace(microsecond=0, tzinfo=None).isoformat()}Z",
        "machine": capturing.capture_machine(environ),
        "batch": capture_batch(environ),
        "git": git,
        "arguments": capturing.capture_arguments(environ),
        "inputs": [],
        "outputs": [],
    }
    return {name: value for name, value in said.items() if value is not None}
