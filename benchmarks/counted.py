"""``python -m benchmarks.counted FACTS -- COMMAND...``: one sealrun command whose stores count.

What it cost goes to FACTS. The command runs as it always does, in this process, whose memory and CPU are its own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.counting import CountingRemover, CountingStore
from sealrun.adapters import stores
from sealrun.ports import Remover, Store


def count_everything() -> list[CountingStore]:
    """Have every store that is opened from now on count; return those, as they come."""
    opened: list[CountingStore] = []
    plain_store, plain_remover = stores.open_store, stores.open_remover

    def open_store(
        url: str, options: Mapping[str, Any] | None = None, *, make: bool = False, read_only: bool = False
    ) -> Store:
        opened.append(CountingStore(plain_store(url, options, make=make, read_only=read_only)))
        return opened[-1]

    def open_remover(store: Store) -> Remover:
        if not isinstance(store, CountingStore):
            return plain_remover(store)
        return CountingRemover(plain_remover(store.inner), store)

    from sealrun.bootstrap import registries  # noqa: PLC0415 - part of what is measured
    from sealrun.bootstrap.verbs import keeping  # noqa: PLC0415 - part of what is measured

    vars(registries)["open_store"] = open_store
    vars(keeping)["open_remover"] = open_remover
    return opened


def _peak_mib() -> float:
    """Return this program's peak; what getrusage says begins with that of whoever started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def main(argv: list[str]) -> int:
    """Run the command; return its exit code."""
    facts, _, *command = argv
    wall = time.perf_counter()
    opened = count_everything()

    from sealrun.cli.main import run  # noqa: PLC0415 - part of what is measured

    code = run(command)
    sys.stdout.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    counts = {kind: sum(store.counts[kind] for store in opened) for store in opened for kind in store.counts}
    parts = {part: sum(store.prefixes[part] for store in opened) for store in opened for part in store.prefixes}
    said = {
        "wall": time.perf_counter() - wall,
        "cpu": used.ru_utime + used.ru_stime,
        "rss_mib": _peak_mib(),
        "code": code,
        "requests": counts,
        "parts": parts,
    }
    Path(facts).write_text(json.dumps(said))
    return code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
