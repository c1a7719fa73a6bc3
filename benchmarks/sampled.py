"""Run a module as a program while a thread samples where every thread is and what CPU it used.

``python -m benchmarks.sampled OUTPUT MODULE [ARGUMENT ...]`` writes one JSON object to OUTPUT when the program ends:
seconds by phase, `wall` of the main thread and `cpu` of all threads, and CPU by function. A phase is named by the first
entry of `PHASES` that occurs in a stack. It imports as little as it can, since imports are among what it measures.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from types import FrameType

_EVERY = 0.002

# First match wins, whatever its depth in the stack: a module below sealrun, or "module:function".
PHASES: tuple[tuple[str, str], ...] = (
    ("<frozen importlib", "imports"),
    ("adapters/run_folders/hashing", "hash and stage"),
    ("adapters/run_folders/run_folder", "scan"),
    ("adapters/run_folders/scanning", "scan"),
    ("adapters/journal/", "journal and hints"),
    ("services/publication/uploading", "bytes"),
    ("services/publication/packing", "bytes"),
    ("adapters/restoring/destinations", "write files"),
    ("adapters/run_folders/sources", "bytes"),
    ("services/publication/reusing", "reuse"),
    ("services/publication/announcing", "announce"),
    ("services/index/pointers", "announce"),
    ("services/index/indexing", "announce"),
    ("services/storage/opening", "open the registry"),
    ("services/storage/probing", "open the registry"),
    ("services/publication/placing", "records and outcome"),
    ("services/storage/certainty", "records and outcome"),
    ("services/storage/standing", "records and outcome"),
    ("services/publication/publishing", "records and outcome"),
    ("services/access/restoring", "restore"),
    ("services/access/reading", "read records"),
    ("services/mending/verifying", "verify"),
    ("services/watching/sealing", "seal"),
    ("services/delivery/staging", "seal"),
    ("domain/", "records in memory"),
    ("adapters/stores/s3", "S3 client"),
    ("aiobotocore/", "S3 client"),
    ("asyncio/", "S3 client"),
    ("adapters/stores/", "store"),
    ("benchmarks/floors.py:", "floor"),
    ("sealrun/settings/", "settings and wiring"),
    ("sealrun/bootstrap/", "settings and wiring"),
    ("sealrun/cli/", "settings and wiring"),
    ("sealrun/services/", "other services"),
)


def phase_of(stack: list[str]) -> str:
    """Name what a stack of ``path:function`` (innermost first) is doing."""
    text = "\n".join(stack)
    for mark, phase in PHASES:
        if mark in text:
            if phase != "floor":
                return phase
            return next(frame.rsplit(":", 1)[1] for frame in stack if mark in frame)
    return "interpreter"


def _stack(frame: FrameType | None) -> list[str]:
    frames: list[str] = []
    while frame is not None:
        frames.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    return frames


def _spent() -> dict[int, float]:
    """CPU seconds by thread of this process, those that are not Python's included."""
    spent: dict[int, float] = {}
    for name in os.listdir("/proc/self/task"):  # noqa: PTH208 - pathlib is not imported on purpose
        try:
            with open(f"/proc/self/task/{name}/schedstat", encoding="ascii") as file:  # noqa: PTH123 - the same
                spent[int(name)] = int(file.read().split()[0]) / 1e9
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return spent


class Sampler(threading.Thread):
    """Adds up samples until `stop` is set."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="sampler")
        self.stop = threading.Event()
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.functions: dict[str, float] = {}

    def run(self) -> None:
        """Take a sample every two milliseconds, as far as the interpreter's lock lets it."""
        main, before, then = threading.main_thread().native_id, _spent(), time.perf_counter()
        while not self.stop.wait(_EVERY):
            frames = sys._current_frames()  # noqa: SLF001 - the way to other threads' stacks
            known = {each.native_id: frames.get(each.ident or 0) for each in threading.enumerate()}
            spent, now = _spent(), time.perf_counter()
            for thread, cpu in spent.items():
                if thread == self.native_id:
                    continue
                used = cpu - before.get(thread, 0.0)
                stack = _stack(known.get(thread))
                phase = phase_of(stack) if stack else "threads without Python"
                if thread == main:
                    self.wall[phase] = self.wall.get(phase, 0.0) + now - then
                if used > 0:
                    self.cpu[phase] = self.cpu.get(phase, 0.0) + used
                    where = _short(stack[0]) if stack else phase
                    self.functions[where] = self.functions.get(where, 0.0) + used
            before, then = spent, now


def _short(frame: str) -> str:
    return "/".join(frame.rsplit("/", 3)[-2:])


def main(argv: list[str]) -> None:
    """Run the program under the sampler; its exit is passed on."""
    output, module, *arguments = argv
    sampler = Sampler()
    sampler.start()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sampler.stop.set()
        sampler.join()
        found = {"wall": sampler.wall, "cpu": sampler.cpu, "functions": sampler.functions}
        with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123 - see above
            json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1:])
