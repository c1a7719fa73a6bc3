"""``python -m benchmarks.week``: a week's load in an hour, and whether anything of the daemon grows that should not.

A real ``sealrun daemon`` watches one folder and publishes to a directory and to a SeaweedFS server, with retention, the
collector, verification, source folders that are reclaimed, and the status page. A thousand runs a day are dropped,
most of them small; some are rejected, some change after they were sealed. Meanwhile the server hangs now and then, the
settings are reloaded, and the page and the metrics are read. Memory, descriptors, threads, CPU and the journal are
looked at from outside. In the end everything that was complete must be published in both, and verify.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.daemons import daemon
from benchmarks.server import ACCESS_KEY, SECRET_KEY, SeaweedFS

_RUNS_A_DAY = 1000
_LOOK_S = 5.0
_PATIENCE_S = 900.0
_PAGES = ("/", "/runs", "/metrics", "/api/v1/overview", "/registries/cloud")
_SETTINGS = """\
version = 1
state = {state}

[http]
listen = "127.0.0.1:{port}"

[registry.main]
url = {directory}

[registry.cloud]
url = "s3://week/registry"
storage_options = {{ key = "{key}", secret = "{secret}", client_kwargs = {{ endpoint_url = "{endpoint}" }} }}

[[watch]]
name = "week"
path = {watched}
experiment = "week"
settle = "5s"
reclaim = {{ after = "1m", copies = 1 }}

[retention.default]
keep_last = 200

[gc]
schedule = "*/3 * * * *"
grace = "1m"
max_delete_ratio = 1.0

[verify]
schedule = "*/5 * * * *"
subset = "2%"
"""


@dataclass(frozen=True)
class Look:
    """The daemon at one moment, from outside: seconds since the start, CPU seconds, MiB; and the runs until then."""

    at_s: float
    cpu_s: float
    rss_mib: float
    descriptors: int
    threads: int
    journal_mib: float
    dropped: int
    published: int


def drop(watched: Path, aside: Path, number: int, chance: random.Random) -> str:
    """Make one run and move it into place; return what is to become of it: published or rejected."""
    made = aside / f"run-{number:06d}"
    made.mkdir(parents=True)
    kind = chance.random()
    count, size = (5, 2048) if kind < 0.8 else (50, 20_000) if kind < 0.97 else (2, 8 << 20)  # noqa: PLR2004 - the mix
    for inner in range(count):
        (made / f"file-{inner}.bin").write_bytes(chance.randbytes(size))
    (made / "same.csv").write_text("epoch,loss\n1,0.5\n" * 500)
    fate = "published"
    if chance.random() < 0.02:  # noqa: PLR2004 - the mix
        (made / "outwards").symlink_to("/etc/hostname")
        fate = "rejected"
    (made / "_SUCCESS").touch()
    made.rename(watched / made.name)
    return fate


class Visitor(threading.Thread):
    """Somebody who keeps the page open: asks for one page after another, and counts what is not answered with 200."""

    def __init__(self, port: int) -> None:
        """Ask at `port` on loopback."""
        super().__init__(name="visitor", daemon=True)
        self._port = port
        self.stopping = threading.Event()
        self.asked = 0
        self.failed: dict[str, int] = {}

    def run(self) -> None:
        """Ask until told to stop."""
        while not self.stopping.wait(1.0):
            page = _PAGES[self.asked % len(_PAGES)]
            self.asked += 1
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{page}", timeout=60) as answer:
                    answer.read()
            except OSError as error:
                text = f"{page}: {error}"
                self.failed[text] = self.failed.get(text, 0) + 1


def look(pid: int, began: float, journal: Path, dropped: int) -> Look:
    """Look at a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    cpu = sum(int(tick) for tick in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])
    return Look(
        at_s=round(time.monotonic() - began, 1),
        cpu_s=round(cpu / os.sysconf("SC_CLK_TCK"), 1),
        rss_mib=round(int(status["VmRSS"].split()[0]) / 1024, 1),
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
        journal_mib=round(sum(path.stat().st_size for path in journal.parent.glob(f"{journal.name}*")) / (1 << 20), 1),
        dropped=dropped,
        published=_count(journal, "SELECT count(*) FROM deliveries WHERE state = 'published'"),
    )


def _count(journal: Path, query: str) -> int:
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def trouble(pid: int, server: SeaweedFS, second: int) -> None:
    """What goes wrong in a week: every seven minutes the server hangs for half of one; reloads every four."""
    if second % 420 == 200:  # noqa: PLR2004 - seconds of the hour
        os.kill(server.pid, signal.SIGSTOP)
    if second % 420 == 230:  # noqa: PLR2004 - as above
        os.kill(server.pid, signal.SIGCONT)
    if second % 240 == 100:  # noqa: PLR2004 - as above
        os.kill(pid, signal.SIGHUP)


def _sealrun(settings: Path, *arguments: str) -> str:
    argv = [sys.executable, "-m", "sealrun", *arguments, "--config", str(settings)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)  # noqa: S603 - our own command
    if done.returncode:
        raise RuntimeError(f"{arguments}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


class Week:
    """One week in a folder of its own."""

    def __init__(self, room: Path, server: SeaweedFS, minutes: float, days: float, seed: int) -> None:
        """Write the settings of so many `days`, to be lived through in so many `minutes`."""
        self._room, self._server = room, server
        self._seconds = int(minutes * 60)
        self._runs = int(days * _RUNS_A_DAY)
        self._chance = random.Random(seed)  # noqa: S311 - a workload, repeatable
        self._watched, self._aside = room / "outbox", room / "aside"
        self._watched.mkdir()
        self.journal = room / "state" / "journal.sqlite"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        server.create_bucket("week")
        self.settings = room / "sealrun.toml"
        self.settings.write_text(
            _SETTINGS.format(
                state=json.dumps(str(room / "state")),
                port=self.port,
                directory=json.dumps(str(room / "registry")),
                key=ACCESS_KEY,
                secret=SECRET_KEY,
                endpoint=server.endpoint,
                watched=json.dumps(str(self._watched)),
            )
        )
        self.settings.chmod(0o600)
        self.fates: dict[str, int] = {"published": 0, "rejected": 0}
        self.looks: list[Look] = []

    def run(self) -> Visitor:
        """Live through it."""
        visitor = Visitor(self.port)
        with daemon(self.settings, self._room / "log") as pid:
            began = time.monotonic()
            visitor.start()
            for second in range(self._seconds):
                self._drop_due(second)
                trouble(pid, self._server, second)
                if second % _LOOK_S == 0:
                    self._look(pid, began)
                time.sleep(max(0.0, began + second + 1 - time.monotonic()))
            os.kill(self._server.pid, signal.SIGCONT)
            end = time.monotonic() + _PATIENCE_S
            while self.looks[-1].published < 2 * self.fates["published"] and time.monotonic() < end:
                time.sleep(_LOOK_S)
                self._look(pid, began)
            visitor.stopping.set()
            visitor.join(120)
        return visitor

    def _drop_due(self, second: int) -> None:
        due = self._runs * (second + 1) // self._seconds
        for number in range(sum(self.fates.values()), due):
            self.fates[drop(self._watched, self._aside, number, self._chance)] += 1

    def _look(self, pid: int, began: float) -> None:
        with suppress(sqlite3.OperationalError):
            self.looks.append(look(pid, began, self.journal, sum(self.fates.values())))


def quarters(looks: Sequence[Look]) -> str:
    """Lay out the medians of each quarter of the time."""
    size = max(1, len(looks) // 4)
    parts = [looks[start : start + size] for start in range(0, 4 * size, size)]
    lines = []
    for field in fields(Look):
        values = [statistics.median(asdict(each)[field.name] for each in part) for part in parts if part]
        lines.append(f"{field.name:12}" + "".join(f"{value:>12.1f}" for value in values))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a week, print it, and fail if anything is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.week", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--days", type=float, default=7.0, help="of a thousand runs each (7)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write every look to this file")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sealrun-week-") as temporary:
        room = Path(temporary)
        with SeaweedFS(room / "server") as server:
            week = Week(room, server, options.minutes, options.days, options.seed)
            visitor = week.run()
            damaged = [
                name for name in ("main", "cloud") if not _sealrun(week.settings, "verify", "--all", "--registry", name)
            ]
            rejected = _count(week.journal, "SELECT count(*) FROM folders WHERE state = 'rejected'")
    print(quarters(week.looks))
    last = week.looks[-1]
    print(f"runs: {week.fates}; published in both: {last.published // 2}; rejected: {rejected}; damaged: {damaged}")
    print(f"pages: {visitor.asked} asked, not answered: {visitor.failed or 'none'}")
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in week.looks]))
    whole = last.published == 2 * week.fates["published"] and rejected == week.fates["rejected"]
    return 0 if whole and not damaged and not visitor.failed else 1


if __name__ == "__main__":
    raise SystemExit(main())
