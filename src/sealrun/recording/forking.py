"""What forked children may go on using gets fresh locks: another thread may have held them when the fork happened."""

from __future__ import annotations

import abc
import os
import weakref


class Forked(abc.ABC):
    """Something with locks. Call `remember` once they are made."""

    @abc.abstractmethod
    def renew_locks(self) -> None:
        """Make the locks anew; called in a forked child, where this is the only thread."""

    def remember(self) -> None:
        """Have `renew_locks` called in children that are forked from now on, while this lives."""
        _KNOWN.add(self)


_KNOWN: weakref.WeakSet[Forked] = weakref.WeakSet()


def _renew() -> None:
    for each in list(_KNOWN):
        each.renew_locks()


os.register_at_fork(after_in_child=_renew)
