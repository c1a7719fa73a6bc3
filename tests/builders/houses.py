"""A daemon that does not run: its composition, a registry in a directory with runs of every kind, and a watch.

What its board shows is real: published by the real producer, read by the real readers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sealrun.adapters.journal import SqliteJournal, open_journal
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.bootstrap.board.composed import DaemonBoard
from sealrun.bootstrap.daemon.composition import Composition
from sealrun.bootstrap.registries import RegistrySpec
from sealrun.bootstrap.verbs.producing import Producer
from sealrun.domain.registry.packing import PackOptions
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import FolderRecord
from sealrun.services.daemon.running import Parts
from sealrun.settings.resolved import KeepingSettings

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LARGE = 9 << 20

A_RUN: Mapping[str, bytes] = {
    "metrics.json": json.dumps({"loss": 0.25}).encode(),
    "params.json": b"{}",
    "checks.json": json.dumps(
        {"checks": [{"name": "converged", "status": "pass"}, {"name": "finite", "status": "fail", "detail": "NaN"}]}
    ).encode(),
    "table.csv": b"epoch,loss\n1,0.5\n2,0.25\n",
    "rows.jsonl": b'{"a": 1, "b": "x"}\n{"a": 2}\n',
    "log.txt": "training started\nß done\n".encode(),
    "plots/loss.png": PNG,
    "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "page.html": b"<script>alert(1)</script>",
    "fake.png": b"<html>not a picture</html>",
    'a "name"; with ; ünïcode\u2028.bin': bytes(range(256)),
}


class House:
    """A state folder, the registry `main` in a directory, and `cold`, which is not there. Close it."""

    def __init__(self, folder: Path, keeping: KeepingSettings | None = None) -> None:
        self.folder = folder
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        (folder / "drops").mkdir()
        self.journal: SqliteJournal = open_journal(folder / "state", self.clock, self.entropy)
        self.main = RegistrySpec(name="main", url=str(folder / "main"), packs=PackOptions(least=1))
        self.cold = RegistrySpec(name="cold", url=str(folder / "cold"), create=False)
        self.watch = WatchSpec(
            name="drops", path=str(folder / "drops"), experiment="train", registries=("main", "cold")
        )
        self.composition = Composition(folder / "state", self.journal, self.clock, self.entropy)
        self.parts: Parts = self.composition.parts(
            {"main": self.main, "cold": self.cold}, [self.watch], (), keeping or KeepingSettings()
        )
        self._producer = Producer(self.journal, {"main": self.main}, [], self.clock, self.entropy)
        self._runs = 0

    @property
    def board(self) -> DaemonBoard:
        """What is shown."""
        return self.composition.board

    def publish(self, files: Mapping[str, bytes] = A_RUN, experiment: str = "train", **declared: object) -> str:
        """Publish a run; return its reference. `declared` is what the run says of itself."""
        self._runs += 1
        run = self.folder / f"run-{self._runs}"
        for path, body in {**files, "number": str(self._runs).encode()}.items():
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / path).write_bytes(body)
        (run / ".sealrun").mkdir()
        said = {"finished_at": f"2026-01-17T00:{self._runs // 60:02d}:{self._runs % 60:02d}Z", "status": "success"}
        (run / ".sealrun" / "done.json").write_text(json.dumps({**said, **declared}))
        return self._producer.publish(str(run), experiment).ref

    def settle(self, name: str, state: str = "settling", reason: str = "waits for its marker") -> None:
        """Have the watch know of a candidate."""
        record = {"watch": "drops", "path": f"{self.folder}/drops/{name}", "state": state, "reason": reason}
        self.journal.folders.set(FolderRecord(**record, since=self.clock.now().timestamp()))  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go of everything."""
        self._producer.close()
        self.board.close()
        self.parts.watcher.close()
        with suppress(Exception):
            self.parts.pool.stop()
        self.journal.close()
