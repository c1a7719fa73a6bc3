"""One step of the collection benchmark, in a process of its own: ``python -m benchmarks.collecting STEP URL LIST``.

Prints what it cost as a line of JSON. A process for each step, since memory that Python once had it keeps.
"""

from __future__ import annotations

import json
import os
import resource
import stat
import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import server
from benchmarks.measuring import sync_file_system
from benchmarks.places import Directory
from benchmarks.registries import Made, fill, fill_bucket
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.stores import open_remover, open_store
from sealrun.domain.address import ATTEMPTS, EXPERIMENTS, OBJECTS
from sealrun.ports import Store
from sealrun.services.collection.collecting import CollectionPolicy, Collector

ENDPOINT = "SEALRUN_BENCH_ENDPOINT"
_AT_ONCE = 1000
_POLICY = CollectionPolicy(grace_s=0.0)  # everything is new here; a tenth goes, less than the ratio that is the default

Facts = dict[str, Any]


def _store(url: str) -> Store:
    if not url.startswith("s3://"):
        return open_store(url)
    keys = {"key": server.ACCESS_KEY, "secret": server.SECRET_KEY, "endpoint_url": os.environ[ENDPOINT]}
    return open_store(url, keys)


def _collector(store: Store) -> Collector:
    return Collector(store, open_remover(store), SystemClock(), SystemEntropy(), "bench", _POLICY)


def build(url: str, spare: Path, objects: int) -> Facts:
    """Write the registry, and to `spare` what a plain deletion may take: as much as a collection takes, of others."""
    runs = retired = 0
    with spare.open("w") as listed:

        def note(made: Made) -> None:
            nonlocal runs, retired
            runs, retired = runs + 1, retired + made.retired
            if made.spare:
                links = () if url.startswith("s3://") else made.links
                listed.writelines(f"{key}\n" for key in (*made.lonely, *links))

        if url.startswith("s3://"):
            place = urlsplit(url)
            for made in fill_bucket(os.environ[ENDPOINT], place.netloc, objects):
                note(made)
        else:
            for made in fill(Directory(Path(url)), objects):
                note(made)
            sync_file_system(Path(url))
    return {"runs": runs, "retired": retired}


def walk(url: str, _spare: Path) -> Facts:
    """List recursively, with sizes and times: what anybody's collector does at least."""
    if url.startswith("s3://"):
        store = _store(url)  # by parts: of a bucket as a whole, servers that keep folders make it hold back a lot
        return {"objects": sum(1 for part in (OBJECTS, ATTEMPTS, EXPERIMENTS) for _ in store.list(part))}
    files = size = 0
    for folder, _, names in os.walk(url):
        for name in names:
            facts = os.stat(f"{folder}/{name}")  # noqa: PTH116 - a Path costs more than the call
            files, size = files + stat.S_ISREG(facts.st_mode), size + facts.st_size
    return {"objects": files}


def plan(url: str, _spare: Path) -> Facts:
    """Find what nothing needs, and look at all of it."""
    found = _collector(_store(url)).plan()
    return {"objects": found.objects, "deleted": sum(1 for _ in found.doomed), "refused": found.refused}


def sweep(url: str, _spare: Path) -> Facts:
    """Collect; the plan before it is not in the time, but in the memory."""
    collector = _collector(_store(url))
    found = collector.plan()
    wall, cpu = time.perf_counter(), time.process_time()
    report = collector.execute(found)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "objects": found.objects,
        "deleted": report.objects,
        "batches": report.batches,
        "also": report.tidied.links + report.tidied.records,
        "failures": len(report.failures) + len(report.tidied.failures),
    }


def delete(url: str, spare: Path) -> Facts:
    """Delete as many keys, one after the other or by the thousand, and ask nothing."""
    with spare.open() as lines:
        keys = (line.rstrip("\n") for line in lines)
        if not url.startswith("s3://"):
            gone = 0
            for key in keys:
                os.unlink(f"{url}/{key}")  # noqa: PTH108 - a Path costs more than the call
                gone += 1
            return {"deleted": gone}
        remover = open_remover(_store(url))
        gone = 0
        while some := list(islice(keys, _AT_ONCE)):
            gone += len(some) - len(remover.delete(some))  # type: ignore[arg-type] # keys read back from a list of keys
        return {"deleted": gone}


STEPS: Mapping[str, Callable[[str, Path], Facts]] = {"walk": walk, "plan": plan, "sweep": sweep, "delete": delete}


def main(argv: list[str]) -> None:
    """Do one step and say what it cost."""
    step, url, spare, *more = argv
    wall, cpu = time.perf_counter(), time.process_time()
    facts = build(url, Path(spare), int(more[0])) if step == "build" else STEPS[step](url, Path(spare))
    used = resource.getrusage(resource.RUSAGE_SELF)
    whole = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss_mib": used.ru_maxrss / 1024}
    print(json.dumps({**whole, **facts}))


if __name__ == "__main__":
    main(sys.argv[1:])
