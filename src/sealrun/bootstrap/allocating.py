"""How this process gives memory back."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8
_ARENAS = 2
_LARGE = 8 << 20


def return_large_buffers() -> None:
    """Have buffers of 8 MiB or more returned to the system as soon as they are free, and smaller ones kept.

    Threads share two heaps. Harmless twice.

    glibc by itself raises that threshold to the largest buffer ever freed, up to 32 MiB, and from then on keeps such
    buffers in a heap for each thread (mallopt(3), M_MMAP_THRESHOLD): uploads in parts of 16 MiB then hold twice the
    memory that they use. A threshold that is set ends that, but heaps are then trimmed from 128 KiB on: each MiB of a
    pack would be given back and faulted in again, page by page (M_TRIM_THRESHOLD). It also gives up to eight heaps
    to each processor, so that no thread waits for another one's, and in each stays what its busiest moment took; ours
    wait for the interpreter's lock long before (M_ARENA_MAX). Other C libraries have no such call, and no need of it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, _ARENAS)


def return_freed_memory() -> None:
    """Give back to the system what is free in the heaps: for after work that took much of it and is seldom done.

    Harmless at any time; it takes as long as there are heaps to look through (malloc_trim(3)).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
