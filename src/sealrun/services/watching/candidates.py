"""Memory of the unsettled candidates of one watch: what was seen, what is due, what was hinted at.

All of it can be lost at any time for the price of settling again. Hints come from any thread; whoever looks is one
thread. Nothing is called while the lock is held, so a hint never waits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import msgspec

from sealrun.domain.watches.settling import Watching


class Candidate(msgspec.Struct, gc=False):
    """One unsettled candidate. `due` and `next_allowed` are monotonic seconds: look then, and not before.

    `blocked_until`: as long as it looks the same it is not complete, until it is stale at this moment.
    """

    watching: Watching | None = None
    due: float = math.inf
    blocked_until: float = -math.inf
    next_allowed: float = -math.inf
    distrusted: frozenset[str] = frozenset()
    sealing: bool = False
    dirty: bool = False

    @property
    def next_look(self) -> float:
        """When to look; never while it is being sealed."""
        if self.sealing:
            return math.inf
        return min(self.due, self.next_allowed if self.dirty else math.inf)


class Candidates:
    """The candidates `depth` levels below `root`, by path."""

    def __init__(self, root: str, depth: int) -> None:
        """Remember nothing yet."""
        self._prefix = root.rstrip("/") + "/"
        self._depth = depth
        self._lock = threading.Lock()
        self._known: dict[str, Candidate] = {}
        self._all_wanted = False
        self._wake: Callable[[], None] | None = None
        self._soonest: float | None = math.inf
        """When there is something to look at; None: to be computed again."""

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def changed(self) -> None:
        """What `get` returned was changed: when the next look is due is computed again."""
        with self._lock:
            self._soonest = None

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Have `wake` called by `became_due`."""
        self._wake = wake

    def became_due(self) -> None:
        """What `get` returned was changed while nobody looks: whoever waits for the next look counts anew."""
        self.changed()
        if self._wake is not None:
            self._wake()

    def mark(self, path: str | None) -> None:
        """Take a hint that `path` changed, or None for "anything may have"."""
        parts = path.removeprefix(self._prefix).split("/") if path and path.startswith(self._prefix) else []
        with self._lock:
            if len(parts) < self._depth:
                self._all_wanted = True
                return
            candidate = self._prefix + "/".join(parts[: self._depth])
            self._known.setdefault(candidate, Candidate()).dirty = True
            self._soonest = None

    def next_look(self) -> float:
        """When there is something to look at; infinity if only a hint or a rescan will bring work."""
        with self._lock:
            if self._all_wanted:
                return -math.inf
            if self._soonest is None:
                self._soonest = min((memory.next_look for memory in self._known.values()), default=math.inf)
            return self._soonest

    def all_are_wanted(self) -> bool:
        """Tell whether a hint asked for a look at everything."""
        return self._all_wanted

    def due(self, now: float) -> list[str]:
        """Paths that are due or dirty at `now`, the one first that has been so for longest."""
        with self._lock:
            if self._soonest is not None and self._soonest > now:
                return []
            return [
                path for _, path in sorted((m.next_look, path) for path, m in self._known.items() if m.next_look <= now)
            ]

    def begin_all(self) -> bool:
        """Everything is about to be looked at; tell whether a hint asked for that."""
        with self._lock:
            wanted, self._all_wanted = self._all_wanted, False
            return wanted

    def begin(self, path: str) -> bool:
        """Tell whether `path` may be looked at now (it is not being sealed), and take its hints as answered."""
        with self._lock:
            memory = self._known.get(path)
            if memory is None:
                return True
            if not memory.sealing:
                memory.dirty = False
                self._soonest = None
            return not memory.sealing

    def get(self, path: str) -> Candidate:
        """What is remembered of `path`; remembered from now on. Whoever changes it calls `changed` after that."""
        with self._lock:
            return self._known.setdefault(path, Candidate())

    def restart(self, path: str, due: float) -> None:
        """Forget what was seen of `path` and look again at `due`."""
        with self._lock:
            self._known[path] = Candidate(due=due)
            self._soonest = None

    def hold_off(self, path: str, until: float) -> None:
        """Let hints not bring `path` up before `until`: some folders are written to all the time."""
        with self._lock:
            memory = self._known.get(path)
            if memory is not None:
                memory.next_allowed = until
                self._soonest = None

    def forget(self, path: str) -> None:
        """Drop `path`. Harmless twice."""
        with self._lock:
            if self._known.pop(path, None) is not None:
                self._soonest = None

    def paths(self) -> list[str]:
        """Everything that is remembered."""
        with self._lock:
            return list(self._known)

    def pause(self) -> None:
        """Nothing is due: the root is missing, and a rescan notices its return."""
        with self._lock:
            for memory in self._known.values():
                memory.due, memory.dirty = math.inf, False
            self._soonest = None
