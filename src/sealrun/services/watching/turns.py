"""Which of the folders that wait for nothing a rescan looks at.

Looking at every file of every folder that was ever sealed costs more with every run. So a rescan glances at folders'
own entries (a name that came, went or moved shows there) and looks at the files of those that changed. A change deeper
down, or of a file in place, shows nothing there: for these the folders take turns, the one first that was looked at
longest ago. As many are glanced at, and as many have their turn, as fit in a share of the time, and so many in any case
that none waits longer than the longest time: what a daemon that has nothing to do costs hardly grows with history.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet

from sealrun.ports import FolderSource

LONGEST_S = 3600.0
"""Every folder is looked at file by file at least so often, in seconds of rescans that come as they should."""
SHARE = 1 / 4000
"""Of the time may go to looks that nothing asks for, as long as no folder waits longer than `LONGEST_S`."""
GLANCED_S = 600.0
"""Every folder's own entry is glanced at at least so often, in seconds of rescans that come as they should."""
GLANCING = 1 / 2000
"""Of the time may go to glances, as long as no folder waits longer than `GLANCED_S`."""
_AT_ONCE = 256
"""So many are glanced at between two looks at the clock."""
_NEVER = 0
_FEW = 16


class Turns:
    """Remembers how each folder's entry looked when its files were last looked at. For one thread.

    Costs some hundred bytes for each folder. All of it can be lost at any time for the price of looking at everything.
    """

    def __init__(self, source: FolderSource) -> None:
        """Remember nothing yet."""
        self._source = source
        self._seen: dict[str, int] = {}  # in the order of the last look
        self._listed: Sequence[str] = ()
        self._last_glanced = ""
        self._glanced_at = self._taken_at = -math.inf

    def glance(self, path: str) -> int | None:
        """Stand for how `path` looks; take this before the look that it is remembered with."""
        return self._source.glance((path,))[0]

    def changed(
        self, listed: Sequence[str], now: float, monotonic: Callable[[], float], *, everything: bool = False
    ) -> list[str]:
        """Which of the `listed` (all there are, sorted) have to be looked at by the look of their own entries.

        Those that were never looked at, or not clearly; of the others, those that were glanced at and have changed.
        With `everything` all are glanced at, however long that takes.
        """
        passed = min(GLANCED_S, now - self._glanced_at)
        self._glanced_at = now
        known = self._seen.get
        unseen = [path for path in listed if known(path, _NEVER) == _NEVER]
        least = len(listed) if everything else math.ceil(len(listed) * passed / GLANCED_S)
        different = self._glanced(listed, least, passed * GLANCING, monotonic) if len(unseen) < len(listed) else []
        return sorted({*unseen, *different}) if different else unseen

    def _glanced(self, listed: Sequence[str], least: int, budget_s: float, monotonic: Callable[[], float]) -> list[str]:
        """Glance at the next ones, from where it ended the last time; return those that differ from what is known."""
        started, begin, done = monotonic(), bisect_right(listed, self._last_glanced), 0
        found: list[str] = []
        while done < len(listed) and (done < least or monotonic() - started < budget_s):
            at = (begin + done) % len(listed)
            paths = listed[at : at + min(_AT_ONCE, len(listed) - done)]
            looks = self._source.glance(paths)
            # What was never looked at is there again: it is in the answer anyway.
            found += [path for path, look in zip(paths, looks, strict=True) if look != self._seen.get(path, _NEVER)]
            done += len(paths)
            self._last_glanced = paths[-1]
        return found

    def looked(self, path: str, glance: int | None) -> None:
        """Remember a look that began after `glance`; None: the next rescan looks again."""
        self._seen.pop(path, None)
        self._seen[path] = _NEVER if glance is None else glance

    def forget(self, path: str) -> None:
        """Drop `path`. Harmless twice."""
        self._seen.pop(path, None)

    def lost(self, listed: Sequence[str]) -> AbstractSet[str]:
        """What is remembered and not `listed` any more. A listing that lacks nothing is gone through once."""
        if listed is self._listed:
            return frozenset()
        lost = self._seen.keys() - set(listed)
        if not lost:
            self._listed = listed
        return lost

    def take(self, now: float, monotonic: Callable[[], float], looked: int) -> Iterator[str]:
        """Yield the folders whose turn it is at `now`, each before it is looked at; `looked` were just looked at."""
        passed = min(LONGEST_S, now - self._taken_at)
        self._taken_at = now
        waiting = len(self._seen) - looked
        least = math.ceil(len(self._seen) * passed / LONGEST_S)
        started = monotonic()
        for taken in range(waiting):
            if taken >= least and monotonic() - started > passed * SHARE:
                return
            path = next(iter(self._seen))
            self._seen[path] = self._seen.pop(path)
            yield path


def absent_from(listed: Sequence[str], paths: Collection[str]) -> set[str]:
    """Which of `paths` are not in the sorted `listed`: without going through all of it for a few."""
    if len(paths) * _FEW > len(listed):
        return set(paths).difference(listed)
    return {path for path in paths if (at := bisect_left(listed, path)) == len(listed) or listed[at] != path}
