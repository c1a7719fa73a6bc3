"""Now, by the store's own clock: ages of stored things are never measured with ours."""

from __future__ import annotations

from sealrun.domain.address import PROBES, Key
from sealrun.ports import Clock, Entropy, Store


def store_time(store: Store, clock: Clock, entropy: Entropy) -> float:
    """Return POSIX seconds: the time of a key just written. A crash leaves the key to the collector."""
    key = Key(f"{PROBES}{entropy.hex(16)}/time")
    try:
        store.put(key, b"")
        found = store.stat(key)
    finally:
        store.discard(key)
    return clock.now().timestamp() if found is None else found.modified
