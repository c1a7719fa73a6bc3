"""The journal as one value: its file, its rooms, and the identity of the state folder."""

from __future__ import annotations

from pathlib import Path

from sealrun.adapters.journal.claims import Claims
from sealrun.adapters.journal.deliveries import DeliveryRoom
from sealrun.adapters.journal.events import EventRoom, FactRoom
from sealrun.adapters.journal.file import JournalFile
from sealrun.adapters.journal.folders import FolderRoom
from sealrun.adapters.journal.hashes import HashRoom
from sealrun.adapters.journal.hints import HintRoom
from sealrun.adapters.journal.moments import MomentRoom
from sealrun.ports import Clock, Deliveries, Entropy, Events, Facts, Folders, HashCache, Hints, Moments

JOURNAL_FILE = "journal.sqlite"
_STATE_ID_DIGITS = 32


class SqliteJournal:
    """`ports.Journal` in one SQLite file. Safe to use from many threads, and beside other processes."""

    def __init__(self, file: JournalFile, clock: Clock, entropy: Entropy) -> None:
        """Use `file`, which is open; a new one gets its identity now, for ever."""
        self._file = file
        self.folder = str(file.path.parent)
        self.state_id = _identity(file, clock, entropy)
        self._claims = Claims(self.state_id)
        self._hashes = HashRoom(file, clock)
        self._deliveries = DeliveryRoom(file, self._claims, clock)
        self.hashes: HashCache = self._hashes
        self.hints: Hints = HintRoom(file)
        self.folders: Folders = FolderRoom(file)
        self.deliveries: Deliveries = self._deliveries
        self.events: Events = EventRoom(file, clock)
        self.facts: Facts = FactRoom(file)
        self.moments: Moments = MomentRoom(file)

    def tidy(self) -> None:
        """Drop what is not needed any more. Harmless at any time, and to repeat."""
        self._hashes.prune()
        self._deliveries.prune()

    def close(self) -> None:
        """Close the file. Claims that are still held are free. Harmless twice."""
        self._claims.drop_all()
        self._file.close()


def open_journal(state: Path, clock: Clock, entropy: Entropy) -> SqliteJournal:
    """Open the journal in the folder `state`; both are made if they are not there.

    `UnsupportedFormatError`: the file is damaged, foreign or of a newer version, and the message says what to do.
    `ConfigurationError`: the folder cannot be used. `NoSpaceError`: the disk is full.
    """
    file = JournalFile(state / JOURNAL_FILE)
    try:
        return SqliteJournal(file, clock, entropy)
    except BaseException:
        file.close()
        raise


def _identity(file: JournalFile, clock: Clock, entropy: Entropy) -> str:
    with file.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO identity (only, state_id, created) VALUES (1, ?, ?)",
            (entropy.hex(_STATE_ID_DIGITS), clock.now().timestamp()),
        )
        row = connection.execute("SELECT state_id FROM identity").fetchone()
    return str(row[0])
