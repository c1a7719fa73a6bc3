"""Makes the sample registry beside this file: ``python -m tests.docs.make_sample``, in the checkout.

Time and chance stand still, so it comes out the same byte for byte, which `test_format.py` checks. Also puts the
sample's records into docs/format.md, as examples.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.fakes.clock import FakeClock, FakeEntropy
from tests.fakes.hints import FakeHints

from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import open_alone
from sealrun.adapters.stores.posix import PosixStore
from sealrun.adapters.stores.posix_removal import PosixRemover
from sealrun.domain.address import AttemptId, attempt_id, quarantine_key, refs_key
from sealrun.domain.errors import UnavailableError
from sealrun.domain.registry.publication import AttemptTicket, Refs
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.run import Completion
from sealrun.domain.runs.sealed import Published
from sealrun.domain.upkeep.keeping import Quarantined
from sealrun.ports import Source
from sealrun.services.access.reading import Reader
from sealrun.services.collection.batches import Batches
from sealrun.services.collection.collecting import CollectionPolicy, Collector
from sealrun.services.index.indexing import Index
from sealrun.services.index.moving import PointerMover
from sealrun.services.keeping.pinning import Pins
from sealrun.services.keeping.retiring import Retirer
from sealrun.services.publication.publishing import Publisher
from sealrun.services.storage.certainty import Certainty
from sealrun.services.storage.opening import create_registry
from sealrun.services.watching.sealing import SealRequest, seal

SAMPLE = Path(__file__).parent / "sample-registry"
PAGE = Path(__file__).parents[2] / "docs" / "format.md"
EXPERIMENT = "training"
_STATE = "1f0e2d3c4b5a69788796a5b4c3d2e1f0"
_FINISHED = 1_768_660_252  # 2026-01-17T14:30:52Z
_BY_MARKER = Completion("marker", "_SUCCESS", "declared")
_BY_QUIET = Completion("quiet", "no change for 30 s and no open writer", "inferred")
_WEIGHTS = bytes(range(256)) * 8
_RECORD = """{
  "run_id": "20260117T143052Z-ridge-a1b2c3",
  "algo": "ridge",
  "created": "2026-01-17T14:02:11Z",
  "inputs": [{"path": "data/train.csv", "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"}],
  "tags": ["release"]
}
"""
_FIRST: Mapping[str, bytes] = {
    "_SUCCESS": b"",
    "manifest.json": _RECORD.encode(),
    "metrics.json": b'{"loss": 0.125, "steps": 300}\n',
    "model/weights.bin": _WEIGHTS,
    "notes with a space.txt": b"kept\n",
    "predict.sh": b"#!/bin/sh\nexec cat model/current.bin\n",
    "tables/back\\slash.csv": b"a,b\n1,2\n",
    "tables/naïve.csv": b"a,b\n1,2\n",
}


def make_sample(root: Path) -> None:
    """Make the sample registry at `root`, which must not exist."""
    clock, entropy = FakeClock(), FakeEntropy(1)
    store = PosixStore(root, make=True)
    with tempfile.TemporaryDirectory() as scratch:
        machine = _Machine(store, clock, entropy, Path(scratch))
        machine.publish_first()
        clock.advance(3600)
        machine.publish("nightly", {"metrics.json": b'{"loss": 0.25}\n', "weights.bin": _WEIGHTS}, _FINISHED + 3600)
        Index(store, clock, entropy, EXPERIMENT).compact()
        clock.advance(3600)
        machine.publish_first(metrics=b'{"loss": 0.0625, "steps": 600}\n', at=_FINISHED + 7200)
        machine.point("best")
        clock.advance(3600)
        machine.die("interrupted", {"model.bin": b"never uploaded\n"}, _FINISHED + 10_800)
        clock.advance(3600)
        machine.keep()
        discarded = machine.publish(
            "discarded", {"notes.txt": b"a mistake\n", "weights.bin": _WEIGHTS}, _FINISHED - 7200
        )
        broken = machine.publish("broken", {"table.csv": b"1;2;3\n"}, _FINISHED - 3600)
        clock.advance(3600)
        machine.retire(discarded, "not worth keeping")
        machine.collect()
        clock.advance(3600)
        machine.quarantine(broken, "table.csv")
        machine.retire(broken, "the disk damaged it; done again")
        machine.begin_to_collect()
    store.close()
    shutil.rmtree(root / ".sealrun")
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # what was deleted leaves empty folders, which no checkout has
            folder.rmdir()


class _Machine:
    """One state folder that publishes to the sample."""

    def __init__(self, store: PosixStore, clock: FakeClock, entropy: FakeEntropy, scratch: Path) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._scratch = scratch
        record = create_registry(store, clock, entropy)
        self._publisher = Publisher(store, record.registry_id, FakeHints(), clock, entropy, _STATE)

    def publish_first(self, metrics: bytes | None = None, at: int = _FINISHED) -> None:
        """Publish the run that names itself, again with other `metrics`: then it becomes a revision."""
        files = dict(_FIRST) | ({} if metrics is None else {"metrics.json": metrics})
        folder = self._scratch / f"first-{at}" / "20260117T143052Z-ridge-a1b2c3"
        _write(folder, files, at)
        (folder / "predict.sh").chmod(0o755)
        (folder / "plots").mkdir()
        (folder / "model" / "current.bin").symlink_to("weights.bin")
        self._deliver(folder, _BY_MARKER, names={"metrics.json": "training-metrics.json"})

    def publish(self, name: str, files: Mapping[str, bytes], at: int) -> Published:
        """Publish a folder that does not name itself."""
        folder = self._scratch / name
        _write(folder, files, at)
        return self._deliver(folder, _BY_QUIET)

    def die(self, name: str, files: Mapping[str, bytes], at: int) -> None:
        """Leave an attempt whose registry went away before its first upload: an intent and nothing else."""
        folder = self._scratch / name
        _write(folder, files, at)
        with contextlib.suppress(UnavailableError):
            self._deliver(folder, _BY_QUIET, dying=True)

    def point(self, pointer: str) -> None:
        """Move a pointer by command to the oldest run, and on to the newest."""
        mover = PointerMover(self._store, self._clock, self._entropy, _STATE, "ada@example")
        reader = Reader(self._store, self._clock, self._entropy)
        runs = reader.runs(EXPERIMENT)
        for row, why in ((runs[0], "the first one"), (runs[-1], "half the loss")):
            target = reader.resolve(f"{EXPERIMENT}/{row.run_id}")
            mover.execute(mover.plan_set(EXPERIMENT, pointer, target, why))

    def keep(self) -> None:
        """Pin the run that names itself, and hold it, but only for a while."""
        pins = Pins(self._store, self._clock, self._entropy, "ada@example")
        run_id = Reader(self._store, self._clock, self._entropy).runs(EXPERIMENT)[0].run_id
        pins.pin(EXPERIMENT, run_id, "cited in the report", "2027-01-17T00:00:00Z")
        pins.pin(EXPERIMENT, run_id, "under review", hold=True)
        self._clock.advance(60)
        pins.lift(EXPERIMENT, run_id, "reviewed", holds=True)
        pins.pin(EXPERIMENT, run_id, "cited in the report", "2028-01-17T00:00:00Z")

    def retire(self, run: Published, why: str) -> None:
        """Retire a run by command."""
        retirer = Retirer(self._store, self._clock, self._entropy, _STATE, "ada@example")
        retirer.execute(retirer.plan_runs([(EXPERIMENT, run.run_id)], why))

    def collect(self) -> None:
        """Delete what nothing needs."""
        collector = self._collector()
        collector.execute(collector.plan())

    def begin_to_collect(self) -> None:
        """Die as a collector that has condemned what nothing needs, and not decided."""
        (batch,) = self._collector().plan().doomed.batches(1000)
        certainty = Certainty(self._store, self._clock, self._entropy)
        Batches(self._store, certainty, self._clock, self._entropy, _STATE).condemn(batch)

    def quarantine(self, run: Published, path: str) -> None:
        """Say of a run's file what ``repair`` says of one that it cannot restore."""
        reader = Reader(self._store, self._clock, self._entropy)
        view = reader.load(reader.resolve(run.ref))
        (digest,) = (entry.sha256 for entry in view.manifest.entries if entry.path == path)
        at = refs_key(AttemptId(run.attempt))
        damaged = Refs.decode(self._store.read(at), at).objects[digest].key
        record = Quarantined(
            key=damaged,
            ref=run.ref,
            path=path,
            found_at=self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            by=_STATE,
            detail="the bytes have another sha256",
        )
        self._store.create(quarantine_key(damaged), record.encode())

    def _collector(self) -> Collector:
        remover = PosixRemover(self._store.root)
        policy = CollectionPolicy(grace_s=0.0, max_delete_ratio=1.0)
        return Collector(self._store, remover, self._clock, self._entropy, _STATE, policy)

    def _deliver(
        self, folder: Path, completion: Completion, *, names: Mapping[str, str] | None = None, dying: bool = False
    ) -> Published:
        request = SealRequest(experiment=EXPERIMENT, completion=completion, names=names or {})
        sealing = seal(open_alone(str(folder), NoHashes()), request)
        now = self._clock.now()
        ticket = AttemptTicket(
            attempt=attempt_id(now.strftime("%Y%m%dT%H%M%SZ"), self._entropy.hex(16)),
            nonce=self._entropy.hex(32),
            created_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            owner=_STATE,
        )
        return self._publisher.publish(sealing.run, ticket, _lost if dying else sealing.source)


def _lost(entry: Entry) -> Source:
    raise UnavailableError(f"{entry.path}: the registry went away")


def _write(folder: Path, files: Mapping[str, bytes], at: int) -> None:
    for path, body in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        os.utime(file, (at, at))


def with_examples(page: str, root: Path) -> str:
    """Return `page` with every fence that follows ``<!-- sample: KEY -->`` showing what is under KEY."""

    def shown(match: re.Match[str]) -> str:
        return f"{match[1]}{(root / match[2]).read_text()}{match[3]}"

    return re.sub(r"(?s)(<!-- sample: ([^\n]+) -->\n```[a-z]*\n).*?(```\n)", shown, page)


if __name__ == "__main__":
    shutil.rmtree(SAMPLE, ignore_errors=True)
    make_sample(SAMPLE)
    PAGE.write_text(with_examples(PAGE.read_text(), SAMPLE))
