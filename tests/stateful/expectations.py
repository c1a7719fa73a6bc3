"""What must have become of every run, as far as that can be known from what was acknowledged, and in which order."""

from __future__ import annotations

from typing import Literal

State = Literal["unknown", "live", "retired"]


class Deed:
    """Something that is being done to one run."""

    def __init__(self, run: int, aims_at: State) -> None:
        self.run = run
        self.aims_at = aims_at
        self.alone = True
        self.disturbed = False


class Expectations:
    """``live`` and ``retired`` are promises; where deeds overlap or die, nothing is promised until the next one."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}
        self._open: list[Deed] = []

    def of(self, run: int) -> State:
        """Return what is promised of a run."""
        return self._states.get(run, "unknown")

    def begin(self, run: int, aims_at: State) -> Deed:
        """Somebody begins: what is promised holds only if nobody does the opposite meanwhile."""
        deed = Deed(run, aims_at)
        for other in self._open:
            if other.run == run:
                deed.alone = other.alone = False
                if other.aims_at != aims_at:
                    deed.disturbed = other.disturbed = True
        if self.of(run) != aims_at:
            self._states[run] = "unknown"
        self._open.append(deed)
        return deed

    def done(self, deed: Deed, *, certain: bool = True) -> None:
        """It was acknowledged. Not `certain` if it may have been done long ago, and undone since."""
        self._open.remove(deed)
        if deed.disturbed or not certain:
            self._states[deed.run] = "unknown"
        else:
            self._states[deed.run] = deed.aims_at

    def dropped(self, deed: Deed, before: State) -> None:
        """It certainly did nothing, and ended."""
        self._open.remove(deed)
        if deed.alone:
            self._states[deed.run] = before

    def died(self, deed: Deed) -> None:
        """It may have done anything, or nothing."""
        self._open.remove(deed)
