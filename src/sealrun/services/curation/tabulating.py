"""Runs of an experiment with what they say of themselves, read a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sealrun.domain.address import run_key
from sealrun.domain.errors import NotFoundError
from sealrun.domain.registry.indexing import Row
from sealrun.domain.runs.manifest import RUN_FILE
from sealrun.domain.runs.run import Envelope
from sealrun.ports import Store
from sealrun.services.threads.fanning import fan_through

_AT_ONCE = 16


def with_envelopes(store: Store, rows: Sequence[Row]) -> Iterator[tuple[Row, Envelope | None]]:
    """Yield each row with its ``run.json``, in order; None for a run that was retired and collected meanwhile.

    One request a run; what is read is what the registry shows, not verified against the seal (``sealrun verify``).
    """

    def read(row: Row) -> tuple[Row, Envelope | None]:
        key = run_key(row.experiment, row.run_id, RUN_FILE)
        try:
            return row, Envelope.decode(store.read(key), key)
        except NotFoundError:
            return row, None

    return fan_through(read, rows, _AT_ONCE)
