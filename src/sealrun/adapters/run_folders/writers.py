"""Who still has files open for writing, from one pass over ``/proc`` (see proc(5)).

Best effort: only processes of our own user are visible unless we are privileged, and nothing at all on other systems
or for writers on other machines. Not seeing a writer is never taken as proof; quiet is asked for as well.
"""

# ruff: noqa: PTH115, PTH123, PTH208 - names go to and from the kernel as they are

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import msgspec

from sealrun.adapters.machine.processes import lives
from sealrun.domain.runs.recorder import Recorder

FRESH_S = 0.5
"""That nobody writes into a folder may have been seen so long ago: a fraction of what a marker waits for late files."""
_WRITING = os.O_WRONLY | os.O_RDWR


class OpenFiles(msgspec.Struct, frozen=True):
    """Files that were open for writing at one moment: (path, process) pairs, sorted by path."""

    pairs: tuple[tuple[str, str], ...]

    def writers(self, path: str) -> Sequence[str]:
        """Names of processes that had `path`, or something below it, open for writing."""
        below = path.rstrip("/") + "/"
        return sorted({process for file, process in self.pairs if file == path or file.startswith(below)})


class ProcWriters:
    """`ports.OpenWriters` for this machine. One thread."""

    def __init__(self, proc: str = "/proc", max_age_s: float = 0.0) -> None:
        """Read the process table below `proc`.

        A look at most `max_age_s` old is good enough to see nobody: a table takes milliseconds, and a thousand folders
        may ask at once. Whoever is seen is looked for again.
        """
        self._proc = proc
        self._max_age_s = max_age_s
        self._seen: tuple[float, OpenFiles] | None = None

    def writers(self, path: str) -> Sequence[str]:
        """Names of processes that write below `path` now; see the port."""
        real, began = os.path.realpath(path), time.monotonic()
        if self._seen is not None and began - self._seen[0] < self._max_age_s and not self._seen[1].writers(real):
            return []
        self._seen = began, self.snapshot()
        return self._seen[1].writers(real)

    def lives(self, recorder: Recorder) -> bool | None:
        """Whether that very process lives; see the port."""
        return lives(recorder, self._proc)

    def snapshot(self) -> OpenFiles:
        """Look once for many folders. Paths are real paths."""
        pairs: list[tuple[str, str]] = []
        try:
            processes = [name for name in os.listdir(self._proc) if name.isdigit()]
        except OSError:
            return OpenFiles(())  # no process table here: nothing to see
        for process in processes:
            pairs.extend((file, self._name(process)) for file in self._written_by(process))
        return OpenFiles(tuple(sorted(pairs)))

    def _written_by(self, process: str) -> list[str]:
        """Files open for writing in one process; none if it ended or is not ours to look into."""
        found: list[str] = []
        table = f"{self._proc}/{process}/fd"
        try:
            descriptors = os.listdir(table)
        except OSError:
            return found
        for descriptor in descriptors:
            try:
                file = os.readlink(f"{table}/{descriptor}")
                if _is_a_file(file) and self._writes(process, descriptor):
                    found.append(file)
            except (OSError, ValueError):
                continue  # closed meanwhile
        return found

    def _writes(self, process: str, descriptor: str) -> bool:
        with open(f"{self._proc}/{process}/fdinfo/{descriptor}", encoding="ascii", errors="replace") as info:
            for line in info:
                if line.startswith("flags:"):
                    return bool(int(line.split()[1], 8) & _WRITING)
        return False

    def _name(self, process: str) -> str:
        try:
            with open(f"{self._proc}/{process}/comm", encoding="utf-8", errors="backslashreplace") as comm:
                return f"{comm.read().strip()}[{process}]"
        except OSError:
            return f"[{process}]"


def _is_a_file(path: str) -> bool:
    """Not a pipe or socket, which have no path, nor a device; ``/dev/shm`` holds files like any other folder."""
    return path.startswith("/") and (not path.startswith("/dev/") or path.startswith("/dev/shm/"))  # noqa: S108 - only compared
