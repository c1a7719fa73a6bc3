"""Whether a watch root can be believed: one that is gone or has come up empty is an alarm, never a deletion."""

from __future__ import annotations

from collections.abc import Sequence

from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import FolderSource, Journal

ABSENT_STATES = {"gone", "reclaimed"}
"""States of candidates that are known not to be there."""


class WatchedRoot:
    """Lists the candidates of one watch, and alarms once when the listing cannot be believed."""

    def __init__(self, watch: WatchSpec, source: FolderSource, journal: Journal) -> None:
        """Believe in the root until it is seen to be missing."""
        self._watch = watch
        self._source = source
        self._journal = journal
        self.missing: str | None = None
        self._unreadable: frozenset[str] = frozenset()

    def candidates(self) -> Sequence[str] | None:
        """List the candidates; None if the root is gone, or is empty though runs were seen in it (see `missing`).

        A folder above the candidates that may not be listed is left out, unless runs were seen in it: those did not go.
        The same object as before means that nothing came and nothing went.
        """
        listed = self._source.candidates()
        missing = None
        if listed is None:
            missing = "the watch root is not there or cannot be listed"
        elif closed := self._runs_were_seen_in(self._source.unreadable):
            missing = f"{closed} may not be listed, though runs were seen in it"
        elif not listed and self._something_was_there():
            missing = "the watch root is empty, though runs were seen in it"
        events, name = self._journal.events, self._watch.name
        unreadable = frozenset(self._source.unreadable)
        for folder in sorted(unreadable - self._unreadable):
            events.record("watch.unreadable", folder, watch=name, reason="may not be listed: nothing in it is seen")
        self._unreadable = unreadable
        if missing and not self.missing:
            events.record("watch.missing", self._watch.path, watch=name, reason=missing)
        if self.missing and not missing:
            events.record("watch.returned", self._watch.path, watch=name)
        self.missing = missing
        return None if missing else listed

    def _something_was_there(self) -> bool:
        return any(record.state not in ABSENT_STATES for record in self._journal.folders.all(self._watch.name))

    def _runs_were_seen_in(self, folders: Sequence[str]) -> str | None:
        for folder in folders:
            for record in self._journal.folders.all(self._watch.name):
                if record.path.startswith(f"{folder}/") and record.state not in ABSENT_STATES:
                    return folder
        return None
