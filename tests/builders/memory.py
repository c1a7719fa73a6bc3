"""What something takes in memory, counted by the interpreter."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

SOME = 3_000


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
