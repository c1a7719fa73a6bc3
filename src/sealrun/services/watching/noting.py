"""What intake writes down about the candidates of one watch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

from sealrun.ports import FolderRecord, FolderState
from sealrun.services.watching.accepting import Acceptor


class FolderNotes:
    """The records of one watch's candidates in the journal, by path."""

    def __init__(self, acceptor: Acceptor) -> None:
        """Write as the acceptor's watch."""
        self._acceptor = acceptor
        self._watch = acceptor.watch.name
        self._folders = acceptor.journal.folders

    def of(self, path: str) -> FolderRecord | None:
        """What is known of a candidate: one query."""
        return self._folders.get(self._watch, shown(path))

    def all(self) -> Mapping[str, FolderRecord]:
        """Everything known, by path as the journal holds it: one query that costs as much as the watch is long."""
        return {record.path: record for record in self._folders.all(self._watch)}

    def lost(
        self, missed: Iterable[str], listed: Iterable[str], records: Mapping[str, FolderRecord] | None
    ) -> Mapping[str, FolderRecord | None]:
        """Find the records of what is `missed`, and where all `records` were read, of what else is not `listed`."""
        if records is None:
            return {path: self.of(path) for path in missed}
        names = {shown(path) for path in listed}
        return dict.fromkeys(missed) | {path: record for path, record in records.items() if path not in names}

    def write(self, record: FolderRecord | None, path: str, state: FolderState, reason: str, looks: str) -> None:
        """Write a candidate's new state."""
        self._folders.set(self._acceptor.record(record, path, state, reason, looks))

    def write_waiting(
        self, path: str, record: FolderRecord | None, reasons: tuple[str, ...], looks: str, *, new: bool
    ) -> None:
        """Write down what is awaited when that changes; a folder that grows does not write at every look."""
        reason = "; ".join(reasons)
        same = record is not None and (record.state, record.reason) == ("settling", reason)
        if not same or (new and record is not None and record.fingerprint != looks):
            self.write(record, path, "settling", reason, looks)

    def reject(self, path: str, record: FolderRecord | None, reason: str, looks: str) -> bool:
        """Write that a candidate is not taken while it looks like this; False if that is written already."""
        if record is not None and record.state == "rejected" and record.fingerprint == looks:
            return False
        self._acceptor.refuse(shown(path), "rejected", "run.rejected", reason, looks)
        return True


def shown(path: str) -> str:
    """Path as the journal can hold it: names that are not UTF-8 are escaped. Such a path is never opened."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def digest_of(text: str) -> str:
    """Stand for how a candidate looks that nothing but `text` is known of."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
