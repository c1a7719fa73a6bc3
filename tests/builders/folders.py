"""Run folders on a real disk, and an intake that watches them on a clock under the test's control."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal

from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.runs.recorder import Recorder
from sealrun.domain.runs.run import Completion, Envelope
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import Journal, OpenWriters, RunFolder, Watcher
from sealrun.services.watching.accepting import Acceptor, Sealer
from sealrun.services.watching.intake import Intake
from sealrun.services.watching.rounds import IntakeReport
from sealrun.services.watching.sealing import Sealing, SealRequest, seal

BY_COMMAND = Completion("command", "seal", "declared")
A_MOMENT = 1_768_660_252
"""2026-01-17T14:30:52Z, as POSIX seconds."""


def a_folder(path: Path, files: Mapping[str, bytes | str], *, at: float | None = A_MOMENT) -> Path:
    """Write `files` below `path`; with `at`, all dated that moment."""
    for name, body in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body.encode() if isinstance(body, str) else body)
        if at is not None:
            os.utime(file, (at, at))
    path.mkdir(parents=True, exist_ok=True)
    return path


def sha256sum(folder: Path, *words: str) -> bytes:
    """Run the real tool in `folder` and return what it prints; it must succeed."""
    command = ["sha256sum", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


class Writers:
    """`ports.OpenWriters` that says what the test says."""

    def __init__(self) -> None:
        self.writing: list[str] = []
        self.living: bool | None = None
        self.asked = 0

    def writers(self, path: str) -> Sequence[str]:  # noqa: ARG002 - the port's signature
        self.asked += 1
        return self.writing

    def lives(self, recorder: Recorder) -> bool | None:  # noqa: ARG002 - the port's signature
        return self.living


class CountingSealer:
    """Seals, counts, and does what the test wants done just before and just after."""

    def __init__(self) -> None:
        self.calls = 0
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None

    def __call__(self, folder: RunFolder, about: SealRequest) -> Sealing:
        self.calls += 1
        if self.before is not None:
            before, self.before = self.before, None
            before()
        sealing = seal(folder, about)
        if self.after is not None:
            after, self.after = self.after, None
            after()
        return sealing


class Station:
    """A watch root, its intake and everything around it."""

    def __init__(
        self,
        root: Path,
        *,
        watcher: Watcher | None = None,
        writers: OpenWriters | None = None,
        settle_now: bool = False,
        journal: FakeJournal | None = None,
        **settings: object,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.clock = FakeClock(datetime.now(UTC))
        self.journal = journal or FakeJournal()
        self.writers = Writers()
        self.sealer = CountingSealer()
        plain = {"name": "w", "path": str(root), "experiment": "train", "registries": ("main", "cloud"), **settings}
        self.watch = msgspec.convert(plain, WatchSpec)
        rooms = cast("Journal", self.journal)  # its rooms are fakes, which tests look into
        source = LocalFolderSource(self.watch, self.journal.hashes)
        sealer: Sealer = self.sealer
        acceptor = Acceptor(self.watch, source, rooms, self.clock, sealer=sealer)
        self.intake = Intake(acceptor, writers or self.writers, watcher=watcher, settle_now=settle_now)

    def rescan(self, after: float = 0.0) -> IntakeReport:
        """Let time pass, then look at everything."""
        self.clock.advance(after)
        return self.intake.rescan(self.clock.monotonic())

    def look(self, after: float = 0.0) -> IntakeReport:
        """Let time pass, then look at what is due or was hinted at."""
        self.clock.advance(after)
        return self.intake.look(self.clock.monotonic())

    def settle(self) -> None:
        """Look, wait out the settle time, look again."""
        self.rescan()
        self.rescan(self.watch.settle_s)

    def state(self, name: str) -> str:
        """What the journal says of a candidate."""
        record = self.journal.folders.get("w", str(self.root / name))
        return "unknown" if record is None else record.state

    def reason(self, name: str) -> str:
        """Why."""
        record = self.journal.folders.get("w", str(self.root / name))
        return "" if record is None else record.reason

    def envelopes(self) -> list[Envelope]:
        """Envelopes of the accepted runs, oldest first."""
        ids = sorted({delivery.sealed for delivery in self.journal.deliveries.all()})
        return [self.journal.deliveries.run(number).envelope() for number in ids]
