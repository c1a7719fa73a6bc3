"""Measuring one command: wall and CPU time of its whole process tree, peak memory, and who else used the machine."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_CPUS = os.cpu_count() or 1
_QUIET = 0.12
_TOUCHED = 512 << 20


@dataclass(frozen=True)
class Usage:
    """What one command cost. Seconds and MiB; `foreign` is the share of the machine that everything else took.

    `rss_mib` is that of the biggest process of the tree, and never below the harness's own (the kernel hands a
    process's peak on through exec).
    """

    wall: float
    cpu: float
    rss_mib: float
    server_cpu: float
    foreign: float
    error: str | None = None


def sync_file_system(path: Path) -> None:
    """Wait until everything written to the file system of `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs", str(path))
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> Iterator[str]:
    """Yield every file's path. One at a time: what this process holds shows in its children's peaks."""
    for inner, _, names in os.walk(folder):
        for name in names:
            yield f"{inner}/{name}"


def read_all(folder: Path) -> None:
    """Read a folder once, so that every party finds it in the page cache."""
    buffer = bytearray(1 << 20)
    for path in files_below(folder):
        with Path(path).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def wait_for_quiet(limit: float) -> None:
    """Wait, `limit` seconds at most, until a second passes in which the machine is nearly idle."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, since = _busy(), time.monotonic()
        time.sleep(1)
        if _busy() - busy < _QUIET * _CPUS * (time.monotonic() - since):
            return


def touch_memory() -> None:
    """Have free memory written to, so that whoever takes it next does not wait for it.

    Under a hypervisor memory that was free for a second may belong to the host again. To touch a GiB of it then takes
    seconds, which the party that comes first would pay. A process of its own does it, since its peak would be ours.
    """
    if (child := os.fork()) == 0:
        try:
            pages = mmap.mmap(-1, min(_TOUCHED, os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE // 2))
            for at in range(0, len(pages), mmap.PAGESIZE):
                pages[at] = 1
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def measure(
    argv: Sequence[str], env: Mapping[str, str], sync: Path | None, server: int | None, timeout: float
) -> Usage:
    """Run a command and say what it cost; with `sync`, until that file system holds everything on disk."""
    touch_memory()
    with tempfile.TemporaryFile() as log:
        busy, served, start = _busy(), _cpu_of(server), time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - a party's own command
            argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        alarm = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
        alarm.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # the harness itself is being stopped
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if sync is not None:
            sync_file_system(sync)
        wall = time.perf_counter() - start
        cpu, served = used.ru_utime + used.ru_stime, _cpu_of(server) - served
        log.seek(max(0, log.seek(0, os.SEEK_END) - 400))
        said = log.read().decode(errors="replace").strip().rsplit("\n", 1)[-1]
    return Usage(
        wall=wall,
        cpu=cpu,
        rss_mib=used.ru_maxrss / 1024,
        server_cpu=served,
        foreign=max(0.0, _busy() - busy - cpu - served) / (wall * _CPUS),
        error=f"exit {process.returncode}: {said}" if process.returncode else None,
    )


def _busy() -> float:
    """CPU seconds that all processors spent since boot, idling and waiting for disks left out."""
    user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(rest)) / _TICK


def _cpu_of(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
