"""``python -m benchmarks.idle``: what a daemon costs that has nothing to do, and how soon it notices that it has.

A tree of run folders is made, and a real ``sealrun daemon`` with a registry in a directory watches it, once with every
folder sealed long ago and once with every folder still waiting for a required file. Everything is measured from
outside, in ``/proc``. Prints a table, and JSON with ``--json``.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sealrun.adapters.journal import open_journal
from sealrun.adapters.journal.opening import JOURNAL_FILE
from sealrun.adapters.machine.clock import SystemClock, SystemEntropy
from sealrun.adapters.run_folders.run_folder import NoHashes
from sealrun.adapters.run_folders.sources import LocalFolderSource
from sealrun.domain.watches.settling import MARKER_GRACE_S
from sealrun.domain.watches.watch import WatchSpec
from sealrun.ports import FolderRecord
from sealrun.services.watching.detecting import fingerprint_of

AWAITED = "awaited.json"
STATES = ("sealed", "unsettled")
_PATIENCE_S = 120.0
_AGE_S = 7 * 86400
_CALM = 0.05
_CALM_SECONDS = 8
_PROBES = 5


@dataclass(frozen=True)
class Sample:
    """What one daemon cost. Seconds, MiB, and per cent of one core.

    `noticed_s` is from the rename that brings the completion marker to the record of the sealed run in the journal,
    without the grace that every marker waits for late files; of `probes` tries the median, and the longest.
    """

    folders: int
    files: int
    state: str
    watching_s: float
    watching_cpu_s: float
    calm_s: float
    calm_cpu_s: float
    rss_mib: float
    peak_mib: float
    threads: int
    idle_cpu_percent: float
    idle_cpu_windows: tuple[float, ...]
    noticed_s: float
    noticed_longest_s: float


def make_tree(root: Path, folders: int, files: int) -> list[Path]:
    """Write the run folders, dated a week ago as far as files let one."""
    then = time.time() - _AGE_S
    made = []
    for number in range(folders):
        folder = root / f"run-{number:06d}"
        folder.mkdir(parents=True)
        for inner in range(files):
            file = folder / f"f{inner}.txt"
            file.write_text(f"{number} {inner}\n" * 10)
            os.utime(file, (then, then))
        made.append(folder)
    return made


def write_settings(base: Path, root: Path, state: Path, *, awaited: bool) -> Path:
    """Write the settings of a daemon that watches `root`; with `awaited`, no run there is complete yet."""
    lines = [
        "version = 1",
        f"state = {json.dumps(str(state))}",
        "[registry.main]",
        f"url = {json.dumps(str(base / 'registry'))}",
        "create = true",
        "[[watch]]",
        'name = "runs"',
        f"path = {json.dumps(str(root))}",
        'experiment = "idle"',
        f"require = {json.dumps([AWAITED] if awaited else [])}",
    ]
    settings = state.parent / f"{state.name}.toml"
    settings.write_text("\n".join(lines) + "\n")
    return settings


def remember_sealed(root: Path, state: Path) -> None:
    """Write into a new journal that every folder below `root` was sealed as it is."""
    watch = WatchSpec(name="runs", path=str(root), experiment="idle", registries=("main",))
    source = LocalFolderSource(watch, NoHashes())
    journal = open_journal(state, SystemClock(), SystemEntropy())
    seal_time = time.time()
    journal.close()
    with sqlite3.connect(state / JOURNAL_FILE) as connection:
        for path in source.candidates() or ():
            record = FolderRecord(
                watch="runs",
                path=path,
                state="sealed",
                reason="quiet: no change for 30 s and no open writer",
                since=seal_time,
                fingerprint=fingerprint_of(source.open(path).survey()),
                run_id="20260117T143052Z-0123456789ab",
                manifest_sha256="0" * 64,
            )
            fields = {name: getattr(record, name) for name in record.__struct_fields__}
            marks = ", ".join("?" * len(fields))
            connection.execute(
                f"INSERT INTO folders ({', '.join(fields)}) VALUES ({marks})",  # noqa: S608 - our own columns
                list(fields.values()),
            )


class Daemon:
    """A process of ``sealrun daemon``, looked at from outside."""

    def __init__(self, settings: Path) -> None:
        """Start it."""
        self.started = time.perf_counter()
        self._lines: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        self._said: list[str] = []
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "sealrun", "--config", str(settings), "daemon"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self._lines.put((time.perf_counter(), line))
        self._lines.put((time.perf_counter(), ""))

    def wait_until_watching(self) -> float:
        """Wait for the line that says so; return the seconds since the start."""
        while True:
            at, line = self._lines.get(timeout=_PATIENCE_S)
            self._said.append(line)
            if not line:
                raise RuntimeError(f"the daemon ended: {''.join(self._said)}")
            if "folders, delivering to" in line:
                return at - self.started

    def wait_until_calm(self) -> float:
        """Wait for some seconds in a row with next to nothing done in each; return when they began, from the start.

        One such second is not enough: it may be a wait for the disk.
        """
        end, calm, began = time.monotonic() + _PATIENCE_S, 0, 0.0
        while time.monotonic() < end:
            before, at = self.cpu(), time.perf_counter()
            time.sleep(1)
            calm = calm + 1 if self.cpu() - before < _CALM else 0
            began = at if calm == 1 else began
            if calm == _CALM_SECONDS:
                return began - self.started
        raise RuntimeError("the daemon never came to rest")

    def cpu(self) -> float:
        """CPU seconds of the threads that live: to the nanosecond, where the process's own account counts in ticks."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        total = 0
        for task in tasks.iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread ended
        return total / 1e9

    def idle(self, seconds: float) -> float:
        """Let it idle; return per cent of a core."""
        before, since = self.cpu(), time.perf_counter()
        time.sleep(seconds)
        return 100 * (self.cpu() - before) / (time.perf_counter() - since)

    def memory(self) -> tuple[float, float, int]:
        """Resident now and at most, in MiB, and the number of threads."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        resident, peak = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return resident, peak, int(fields["Threads"])

    def stop(self) -> None:
        """End it, and wait for that."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(settings: Path) -> Iterator[Daemon]:
    """Run a daemon; it is gone afterwards."""
    daemon = Daemon(settings)
    try:
        yield daemon
    finally:
        daemon.stop()


def time_to_seal(state: Path, folder: Path, act: Callable[[], object]) -> float:
    """Do what completes `folder`; return after how many seconds its record says sealed."""
    connection = sqlite3.connect(f"file:{state / JOURNAL_FILE}?mode=ro", uri=True)
    started = time.perf_counter()
    act()
    try:
        while time.perf_counter() - started < _PATIENCE_S:
            row = connection.execute("SELECT state FROM folders WHERE path = ?", (str(folder),)).fetchone()
            if row == ("sealed",):
                return time.perf_counter() - started
            time.sleep(0.005)
    finally:
        connection.close()
    raise RuntimeError(f"{folder} was never sealed")


def measure(
    base: Path, root: Path, folders: Sequence[Path], files: int, state: str, window: float, windows: int
) -> Sample:
    """Start a daemon over the tree, watch it idle for so many `windows` of seconds, then complete a few folders."""
    journal = base / f"state-{state}"
    settings = write_settings(base, root, journal, awaited=state == "unsettled")
    if state == "sealed":
        remember_sealed(root, journal)
    with running(settings) as daemon:
        watching = daemon.wait_until_watching()
        watching_cpu = daemon.cpu()
        calm = daemon.wait_until_calm()
        calm_cpu = daemon.cpu()
        idle = [daemon.idle(window) for _ in range(windows)]
        resident, peak, threads = daemon.memory()
        noticed = [_probe(base, root, folders, journal, state, number) for number in range(_PROBES)]
    return Sample(
        folders=len(folders),
        files=len(folders) * files,
        state=state,
        watching_s=round(watching, 2),
        watching_cpu_s=round(watching_cpu, 2),
        calm_s=round(calm, 2),
        calm_cpu_s=round(calm_cpu, 2),
        rss_mib=round(resident, 1),
        peak_mib=round(peak, 1),
        threads=threads,
        idle_cpu_percent=round(statistics.median(idle), 3),
        idle_cpu_windows=tuple(round(percent, 3) for percent in idle),
        noticed_s=round(statistics.median(noticed), 3),
        noticed_longest_s=round(max(noticed), 3),
    )


def _probe(base: Path, root: Path, folders: Sequence[Path], journal: Path, state: str, number: int) -> float:
    """Complete one folder: a new one where all are sealed, else one of those that wait."""
    if state == "sealed":
        made = base / f"made-{number}"
        make_tree(made.parent / f"{made.name}-files", 1, 10)
        inner = made.parent / f"{made.name}-files" / "run-000000"
        (inner / "_SUCCESS").touch()
        folder = root / f"new-{number}"
        taken = time_to_seal(journal, folder, lambda: inner.rename(folder))
    else:
        folder = folders[(number * 7919 + 5000) % len(folders)]
        (folder / "_SUCCESS").touch()
        time.sleep(3)  # so that what completes it is the required file, seen at its own look
        aside = base / f"awaited-{number}"
        aside.write_text("{}")
        taken = time_to_seal(journal, folder, lambda: aside.rename(folder / AWAITED))
    return taken - MARKER_GRACE_S


def import_times() -> dict[str, float]:
    """CPU seconds of small commands, the least of seven; what the interpreter takes by itself is among them."""
    commands = {
        "python -c pass": ["-c", "pass"],
        "import sealrun": ["-c", "import sealrun"],
        "sealrun --help": ["-m", "sealrun", "--help"],
    }
    return {name: round(min(_cpu_of(arguments) for _ in range(7)), 3) for name, arguments in commands.items()}


def _cpu_of(arguments: Sequence[str]) -> float:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} failed")
    return used.ru_utime + used.ru_stime


def table(samples: Sequence[Sample]) -> str:
    """Lay the samples out, a state per column."""
    rows = {name: [_cell(asdict(sample)[name]) for sample in samples] for name in Sample.__dataclass_fields__}
    return "\n".join(f"{name:20}" + "".join(f"{value:>22}" for value in values) for name, values in rows.items())


def _cell(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def main(argv: Sequence[str]) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=10, help="in each folder (10)")
    parser.add_argument("--window", type=float, default=130, help="seconds of idling (130: two rescans)")
    parser.add_argument("--windows", type=int, default=3, help="so many of them, one after the other (3)")
    parser.add_argument("--states", default=",".join(STATES), help="sealed, unsettled or both")
    parser.add_argument("--json", type=Path, help="also write the samples to this file")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sealrun-idle-") as temporary:
        base = Path(temporary)
        root = base / "runs"
        folders = make_tree(root, options.folders, options.files)
        samples = [
            measure(base, root, folders, options.files, state, options.window, options.windows)
            for state in options.states.split(",")
        ]
    times = import_times()
    print(table(samples))
    for name, seconds in times.items():
        print(f"{name:20}{seconds:>14}  CPU seconds")
    if options.json:
        document = {"samples": [asdict(sample) for sample in samples], "commands": times}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
