"""The producer's side: record a run into a folder. Needs no settings, no registry and no daemon.

`RunWriter` and `RunContext` record runs of programs in Python, `record_command` (``sealrun exec``) runs any command,
and `mark_complete` (``sealrun mark``) declares a folder complete that something else wrote.
"""

from sealrun.recording.checks import CHECK_STATUSES
from sealrun.recording.completing import mark_complete, seal_in_place
from sealrun.recording.context import RunContext
from sealrun.recording.durable import Written, write_bytes, write_json, write_parquet, write_text
from sealrun.recording.ending import Terminated
from sealrun.recording.places import Paths
from sealrun.recording.sections import DEFAULT_SECTIONS
from sealrun.recording.triggers import Trigger, detect_trigger
from sealrun.recording.wrapping import record_command
from sealrun.recording.writer import RunWriter

__all__ = [
    "CHECK_STATUSES",
    "DEFAULT_SECTIONS",
    "Paths",
    "RunContext",
    "RunWriter",
    "Terminated",
    "Trigger",
    "Written",
    "detect_trigger",
    "mark_complete",
    "record_command",
    "seal_in_place",
    "write_bytes",
    "write_json",
    "write_parquet",
    "write_text",
]
