"""Which of the folders that wait for nothing a rescan looks at file by file.

Looking at every file of every folder that was ever sealed costs more with every run. So a rescan glances at each
folder's own entry (a name that came, went or moved shows there) and looks at the files of those where it changed. A
change deeper down, or of a file in place, shows nothing there: for these the folders take turns, the one first that
was looked at longest ago. As many get their turn as fit in `SHARE` of the time, and so many in any case that each has
its turn at least every `LONGEST_S`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

LONGEST_S = 3600.0
"""Every folder is looked at file by file at least so often, in seconds of rescans that come as they should."""
SHARE = 1 / 2000
"""Of the time may go to looks that nothing asks for, as long as no folder waits longer than `LONGEST_S`."""
_NEVER = 0


@runtime_checkable
class Glancing(Protocol):
    """A source of folders that can tell cheaply that a folder's own entry is the same."""

    def glance(self, path: str) -> int | None:
        """Stand for how the entry looks now; None if that cannot be told. Reads neither a listing nor a file."""
        ...


class Turns:
    """Remembers how each folder's entry looked when its files were last looked at. For one thread.

    Costs some hundred bytes for each folder. All of it can be lost at any time for the price of looking at everything.
    """

    def __init__(self, source: object) -> None:
        """Remember nothing yet; where `source` cannot glance, everything is looked at always."""
        self._source = source if isinstance(source, Glancing) else None
        self._seen: dict[str, int] = {}  # in the order of the last look
        self._since = -math.inf

    def glance(self, path: str) -> int | None:
        """Stand for how `path` looks; take this before the look that it is remembered with."""
        return None if self._source is None else self._source.glance(path)

    def is_changed(self, path: str) -> bool:
        """Tell whether `path` may have changed by the look of its own entry; so it is if it was never looked at."""
        seen = self._seen.get(path, _NEVER)
        return seen == _NEVER or self.glance(path) != seen

    def looked(self, path: str, glance: int | None) -> None:
        """Remember a look that began after `glance`; None: the next rescan looks again."""
        self._seen.pop(path, None)
        self._seen[path] = _NEVER if glance is None else glance

    def forget(self, path: str) -> None:
        """Drop `path`. Harmless twice."""
        self._seen.pop(path, None)

    def paths(self) -> list[str]:
        """Everything that is remembered."""
        return list(self._seen)

    def take(self, now: float, monotonic: Callable[[], float], looked: int) -> Iterator[str]:
        """Yield the folders whose turn it is at `now`, each before it is looked at; `looked` were just looked at."""
        passed = min(LONGEST_S, now - self._since)
        self._since = now
        waiting = len(self._seen) - looked
        least = math.ceil(len(self._seen) * passed / LONGEST_S)
        started = monotonic()
        for taken in range(waiting):
            if taken >= least and monotonic() - started > passed * SHARE:
                return
            path = next(iter(self._seen))
            self._seen[path] = self._seen.pop(path)
            yield path
