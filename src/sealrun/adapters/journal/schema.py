"""The tables of the journal, as a list of migrations: entry n leads from version n to version n + 1.

An entry is never edited once it was released; a change is a new entry.
"""

from __future__ import annotations

APPLICATION_ID = 0x5EA14B00
"""Marks the file as a journal of sealrun (``PRAGMA application_id``)."""

_FIRST = (
    "CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 1), state_id TEXT NOT NULL, created REAL NOT NULL)",
    # Names of folders are bytes: what the file system calls them need not be text.
    "CREATE TABLE hashes (folder BLOB PRIMARY KEY, seen REAL NOT NULL, digests BLOB NOT NULL)",
    "CREATE TABLE registries (id INTEGER PRIMARY KEY, registry_id TEXT NOT NULL UNIQUE)",
    """CREATE TABLE hints (
         registry INTEGER NOT NULL REFERENCES registries (id), digest BLOB NOT NULL,
         place TEXT NOT NULL, size INTEGER NOT NULL,
         PRIMARY KEY (registry, digest)) WITHOUT ROWID""",
    # A run's two records are compressed, and dropped (NULL) some time after every registry has them.
    """CREATE TABLE sealed_runs (
         id INTEGER PRIMARY KEY AUTOINCREMENT, identity BLOB NOT NULL UNIQUE, folder TEXT NOT NULL,
         accepted REAL NOT NULL, run_json BLOB, manifest_json BLOB)""",
    "CREATE INDEX sealed_runs_by_folder ON sealed_runs (folder)",
    """CREATE TABLE folders (
         watch TEXT NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL,
         fingerprint TEXT NOT NULL, run_id TEXT, manifest_sha256 TEXT, sealed INTEGER REFERENCES sealed_runs (id),
         PRIMARY KEY (watch, path)) WITHOUT ROWID""",
    """CREATE TABLE deliveries (
         id INTEGER PRIMARY KEY AUTOINCREMENT, sealed INTEGER NOT NULL REFERENCES sealed_runs (id),
         registry TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL, due REAL NOT NULL, error TEXT,
         attempt TEXT, nonce TEXT, attempt_created_at TEXT, published TEXT, claim TEXT,
         UNIQUE (sealed, registry))""",
    "CREATE INDEX deliveries_by_due ON deliveries (registry, state, due)",
    """CREATE TABLE events (
         id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
         fields TEXT NOT NULL)""",
    "CREATE INDEX events_by_kind ON events (kind)",
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)

_PUBLISHED_AT = (
    "ALTER TABLE deliveries ADD COLUMN published_at REAL",
    # When is not known of what was published before: whoever waits for a time after it waits from now.
    "UPDATE deliveries SET published_at = CAST(strftime('%s', 'now') AS REAL) WHERE state = 'published'",
)

_PACKS = (
    # Keys of packs and names of attempts, each of which thousands of hints share.
    "CREATE TABLE named (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "ALTER TABLE hints ADD COLUMN offset INTEGER",
    "ALTER TABLE hints ADD COLUMN pack INTEGER REFERENCES named (id)",
    "ALTER TABLE hints ADD COLUMN sealed_by INTEGER REFERENCES named (id)",
    "CREATE TABLE sizes (registry INTEGER NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (registry, size)) WITHOUT ROWID",
    "INSERT INTO sizes SELECT DISTINCT registry, size FROM hints",
)

_HASH_BLOCKS = (
    # A folder's digests, some thousand files to a row: of a million they do not fit into memory several times over.
    """CREATE TABLE hash_blocks (
         folder BLOB NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (folder, number))""",
    # What was one value for each folder is a cache: it is made again.
    "DELETE FROM hashes",
)

_COUNTS = (
    # What is asked for again and again, of journals with very many runs: counts, and a page of what waits.
    "ALTER TABLE sealed_runs ADD COLUMN size INTEGER",
    "CREATE INDEX folders_by_state ON folders (watch, state, since)",
    "CREATE INDEX deliveries_by_moment ON deliveries (registry, published_at)",
)

_MANIFEST_PIECES = (
    # A long manifest in pieces, beside a run whose own is empty: as one value it would be in memory more than once.
    """CREATE TABLE manifest_pieces (
         sealed INTEGER NOT NULL REFERENCES sealed_runs (id), number INTEGER NOT NULL, body BLOB NOT NULL,
         PRIMARY KEY (sealed, number))""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _PUBLISHED_AT, _PACKS, _HASH_BLOCKS, _COUNTS, _MANIFEST_PIECES)
VERSION = len(MIGRATIONS)
