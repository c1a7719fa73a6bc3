"""A process that forks many who ask for the same build at the same moment, and says what each of them got.

``python -m tests.e2e.askers COUNT [SECONDS]``: in a folder with settings. Every build adds one byte to ``calls``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from sealrun import build_once

CONFIG = {"learning rate": 0.1, "layers": [64, 64]}


def build(folder: Path) -> None:
    """Leave something that no other build would: so that two of them can be told apart."""
    calls = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(calls, b".")
    os.close(calls)
    (folder / "model.bin").write_bytes(os.urandom(64))
    time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)


def ask(number: int) -> NoReturn:
    """Ask, leave the answer in a file, and end."""
    code = 1
    try:
        done = build_once(CONFIG, "model", build, lease=2.0)
        Path(f"answer-{number}").write_text(f"{done.urn} {done.reused} {(done.path / 'model.bin').read_bytes().hex()}")
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Fork them all, let them go at once, and wait for them."""
    reading, writing = os.pipe()
    children = []
    for number in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            ask(number)
        children.append(child)
    os.close(writing)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
