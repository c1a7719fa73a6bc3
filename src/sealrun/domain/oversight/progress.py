"""When is work that is under way taken for hung? Pure: what is seen, and the time, are given."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

PATIENCE_S = 900.0
"""How long work may show no progress at all before it counts as hung.

Longer than anything that ends by itself: a request that hangs is given up after 3 tries of at most 65 s and their
pauses, a journal that somebody holds after 30 s, a webhook after 15 s. What has no limit of its own has to fit in:
making everything durable that waits in memory (syncfs) on a slow disk takes minutes, a hung NFS mount for ever."""


class Work(msgspec.Struct, frozen=True):
    """Work under way: since when, and when it last got on (`-inf`: not yet), both in monotonic seconds."""

    name: str
    began: float
    moved: float
    thread: int


def hanging(works: Iterable[Work], now: float, patience_s: float = PATIENCE_S) -> tuple[Work, ...]:
    """Return the work that neither began nor got on within the patience; how long all of it takes does not count."""
    return tuple(work for work in works if now - max(work.began, work.moved) > patience_s)
