"""What was made from a run: runs say what they were made from, so every one has to be asked, once.

A registry may hold very many, so a call asks some more, the newest first, and says how many were asked so far.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sealrun.domain.address import run_key
from sealrun.domain.curation.lineage import Source, sources_of
from sealrun.domain.errors import IntegrityError, NotFoundError
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.ports import Store
from sealrun.services.oversight.run_lists import Listed
from sealrun.services.threads.fanning import fan_out

ASKED_AT_ONCE = 200
_WIDTH = 16


class Descendants:
    """What runs of one registry say that they were made from, as far as they were asked. Any thread."""

    def __init__(self, store: Store, most: int = ASKED_AT_ONCE) -> None:
        """Ask at most so many runs in one call."""
        self._store = store
        self._most = most
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._made: dict[str, list[tuple[str, str]]] = {}

    def of(self, names: Sequence[str], rows: Sequence[tuple[str, Listed]]) -> tuple[list[tuple[str, str]], int]:
        """Ask some more of `rows`; return who was made from what goes by one of `names`, as what, and how many said so.

        Each is a reference with the role in which it used the run.
        """
        with self._lock:
            new = [each for each in rows if each[1].attempt not in self._asked][: self._most]
            width = min(_WIDTH, self._store.capabilities.parallel)
            for (_, row), (ref, sources) in zip(new, fan_out(self._ask, new, width), strict=True):
                self._asked.add(row.attempt)
                for source in sources:
                    self._made.setdefault(source.text, []).append((ref, source.role))
            standing = {f"{experiment}/{row.run_id}" for experiment, row in rows}
            found = [made for name in names for made in self._made.get(name, ()) if made[0] in standing]
            return list(dict.fromkeys(found)), sum(row.attempt in self._asked for _, row in rows)

    def _ask(self, each: tuple[str, Listed]) -> tuple[str, Sequence[Source]]:
        experiment, row = each
        key = run_key(experiment, row.run_id, RUN_FILE)
        try:
            return f"{experiment}/{row.run_id}", sources_of(Envelope.decode(self._store.read(key), key))
        except (NotFoundError, IntegrityError):
            return f"{experiment}/{row.run_id}", ()  # retired meanwhile, or damaged: its own page says so
