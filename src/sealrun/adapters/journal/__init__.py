"""The journal: one SQLite file in the state folder, one module for each of its rooms."""

from sealrun.adapters.journal.opening import JOURNAL_FILE, SqliteJournal, open_journal

__all__ = ["JOURNAL_FILE", "SqliteJournal", "open_journal"]
