"""Who records a run: what ``.sealrun/recording.json`` says while it is recorded, and the sign of life beside it.

Both files are the producer's, lie in ``.sealrun``, and are no part of the run. ``recording.json`` goes when the run has
ended; one that is left says that the producer died.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec

from sealrun.domain.ready import ready
from sealrun.domain.records import JsonObject

RECORDING_FILE = ".sealrun/recording.json"
"""Says that a folder is a run that is being recorded, or was when its producer died."""
HEARTBEAT_FILE = ".sealrun/heartbeat"
"""A line that the producer overwrites while it lives: the time by its clock, and a number that grows."""
MAX_RECORDING_BYTES = 64 << 10


class Recorder(msgspec.Struct, frozen=True, kw_only=True):
    """The process that records a run. What only Linux has is absent elsewhere, and in records of older versions.

    `boot` and `namespace` say in which system `process` is a number that means something, and `started` (clock ticks
    after the boot) that it is still the same process. `heartbeat_s`: how often it gives a sign of life; None for never.
    """

    process: int
    host: str = ""
    boot: str | None = None
    namespace: str | None = None
    started: int | None = None
    heartbeat_s: float | None = None

    def __str__(self) -> str:
        """``process 12 on host``."""
        return f"process {self.process} on {self.host or 'an unknown host'}"

    def to_json(self) -> JsonObject:
        """Return what ``recording.json`` says of it."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value is not None}


def read_recorder(body: bytes | None) -> Recorder | None:
    """Read ``recording.json``; None if it is not there or cannot be understood: then nothing is known of a producer."""
    if body is None:
        return None
    try:
        return msgspec.convert(json.loads(body), ready(Recorder))
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None


def pulse_line(now: datetime, number: int) -> bytes:
    """Return a sign of life. All are of one length, so that one replaces another in a single write."""
    return f"{now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z {number:010d}\n".encode()


def pulse_time(pulse: str) -> float | None:
    """Return when a sign of life was given, by its giver's clock: POSIX seconds; None if it does not say."""
    try:
        return datetime.fromisoformat(pulse.split(" ", 1)[0]).timestamp()
    except ValueError:
        return None
