"""What something takes in memory, counted by the interpreter."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

SOME = 3_000
_FEW = (
    "domain.runs.contents.FEW",
    "domain.runs.manifest.FEW",
    "domain.runs.sorted_digests.FEW",
    "domain.registry.publication.FEW",
    "domain.registry.place_records._MANY_BYTES",
    "domain.registry.object_places.FEW",
    "domain.registry.hinting.FEW",
    "domain.registry.columns._NEAR_ROWS",
)


def take_few_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep in columns, and on shelves where there are some, what would be kept as objects where there is little."""
    for name in _FEW:
        monkeypatch.setattr(f"sealrun.{name}", 100)
    monkeypatch.setattr("sealrun.domain.shelves._NEAR", 1)
    monkeypatch.setattr("sealrun.domain.runs.sorted_digests._HEAP_NEAR", 4 * 32)


def peak(act: Callable[[], object]) -> int:
    """Return how many bytes were held at most while `act` went on, beyond those held before."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = act()
        held = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return held


def per_file(act: Callable[[int], Callable[[], object]]) -> float:
    """Return what each further file, or run, costs: from so many to three times as many."""
    few, many = act(SOME), act(3 * SOME)
    few()  # caches that are filled once do not count
    return (peak(many) - peak(few)) / (2 * SOME)
