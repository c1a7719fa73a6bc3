"""Types that several threads may be the first to read: msgspec takes each apart once, and one thread does it.

msgspec looks at the fields of a class when it first reads one, and remembers the class before it has seen them all.
Another thread that reads the same class meanwhile follows what is not there yet, and the process dies of it (seen with
msgspec 0.22 on Python 3.11; ``tests/unit/domain/test_ready.py`` shows it). So whatever is read goes through `ready`.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")
_lock = threading.Lock()
_seen: set[object] = set()


def ready(kind: type[T]) -> type[T]:
    """Return `kind`, once everything is known of it that reading it takes. Cheap when it is; any thread may ask."""
    if kind not in _seen:
        with _lock:
            msgspec.json.Decoder(kind)
            _seen.add(kind)
    return kind
