"""A process that forks many who ask for the same build, and says what each of them got.

``python -m tests.e2e.askers COUNT …`` in a folder with settings. It imports what they need, so that a thousand are
affordable; nothing is opened before they are apart. Every build adds one byte to ``calls``; whoever asked leaves
``answer-N``.
"""

# ruff: noqa: ANN401 - what the wrapped methods take
from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import sealrun.bootstrap.verbs.producing
import sealrun.services.publication.upkeep  # noqa: F401 - warm
from sealrun import build_once
from sealrun.adapters.stores.posix import PosixStore
from sealrun.bootstrap.products.content import Contents
from sealrun.services.curation.building import BuildLog

PLACES = ("building", "sealing", "telling", "returning")
"""Where the first builder may die: in the build, before it is sealed, when it is published, when that is told."""
_REASON = "the third column is missing"


def options() -> argparse.Namespace:
    """Read what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long a build takes")
    parser.add_argument("--machines", type=int, default=1, help="host names and state folders to share among them")
    parser.add_argument("--at-once", type=int, default=0, help="how many there are at a time; all")
    parser.add_argument("--dies", choices=PLACES, help="where the first builder is killed")
    parser.add_argument("--dies-each", action="store_true", help="asker N is killed before its Nth write")
    parser.add_argument("--fails", action="store_true", help="the build fails once all the others wait for it")
    parser.add_argument("--configs", type=int, default=1, help="how many configurations are asked for, in turn")
    parser.add_argument("--lease", type=float, default=20.0)  # on a busy machine the living may be silent for long
    parser.add_argument("--s3", action="store_true", help="import what S3 needs, too")
    return parser.parse_args()


def once(name: str) -> bool:
    """Tell whether we are the first to come here."""
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def die() -> None:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


class Asker:
    """One of them."""

    def __init__(self, number: int, said: argparse.Namespace) -> None:
        self.number = number
        self.said = said
        if said.machines > 1:
            machine = f"machine-{number % said.machines}"
            os.environ |= {"SEALRUN_HOME": str(Path(machine).absolute()), "SEALRUN_CACHE": f"{machine}-cache"}
            socket.gethostname = lambda: machine
        if said.dies is not None:
            self.die_at(said.dies)
        if said.dies_each:
            self.die_at_write(number)
        if said.fails:
            self.tell_who_waits()

    def die_at(self, place: str) -> None:
        """Let the first that comes to a place die there."""
        publish, conclude = Contents._publish, BuildLog.conclude

        def publishing(*arguments: Any) -> Any:
            if place == "sealing" and once("died"):
                die()
            return publish(*arguments)

        def concluding(*arguments: Any) -> Any:
            if place == "telling" and once("died"):
                die()
            done = conclude(*arguments)
            if place == "returning" and once("died"):
                die()
            return done

        Contents._publish = publishing  # type: ignore[method-assign, assignment] # its purpose
        BuildLog.conclude = concluding  # type: ignore[method-assign, assignment] # its purpose

    def die_at_write(self, last: int) -> None:
        """Die before a certain write to the registry."""
        made = [0]
        for name in ("create", "put", "put_many", "replace", "copy"):
            setattr(PosixStore, name, self._counted(getattr(PosixStore, name), made, last))

    def _counted(self, method: Any, made: list[int], last: int) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            made[0] += 1
            if made[0] > last:
                die()
            return method(*arguments, **options)

        return counted

    def tell_who_waits(self) -> None:
        """Leave a file once we have seen that somebody builds."""
        watch = BuildLog._watch

        def watching(*arguments: Any) -> Any:
            once(f"waits-{self.number}")
            return watch(*arguments)

        BuildLog._watch = watching  # type: ignore[method-assign, assignment] # its purpose

    def build(self, folder: Path) -> None:
        """Leave something that no other build would: so that two of them can be told apart."""
        calls = os.open("calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(calls, b".")
        os.close(calls)
        (folder / "model.bin").write_bytes(os.urandom(64))
        if self.said.dies == "building" and once("died"):
            die()
        if self.said.fails:
            while len(list(Path().glob("waits-*"))) < self.said.count - 1:
                time.sleep(0.02)
            raise ValueError(_REASON)
        time.sleep(self.said.seconds)

    def ask(self) -> NoReturn:
        """Ask, leave the answer in a file, and end."""
        code, answer = 1, Path(f"answer-{self.number}")
        try:
            done = build_once({"config": self.number % self.said.configs}, "model", self.build, lease=self.said.lease)
            answer.write_text(f"{done.urn} {done.reused} {(done.path / 'model.bin').read_bytes().hex()}")
            code = 0
        except Exception as error:
            answer.write_text(f"{type(error).__name__} {error}")
            raise
        finally:
            os._exit(code)


def main() -> None:
    """Fork them, let go of so many at once, and wait for them. The exit code counts those that did not end well."""
    said = options()
    if said.s3:
        import s3fs  # noqa: F401, PLC0415 - warm

        import sealrun.adapters.stores.s3  # noqa: F401, PLC0415 - warm
    failed, there = 0, 0
    reading, writing = os.pipe()
    for number in range(said.count):
        if there == (said.at_once or said.count):
            failed, there = failed + ended_badly(), there - 1
        child = os.fork()
        if child == 0:
            os.close(writing)
            if not said.at_once:
                os.read(reading, 1)  # until all are there
            Asker(number, said).ask()
        there += 1
    os.close(writing)
    failed += sum(ended_badly() for _ in range(there))
    sys.exit(min(failed, 100))


def ended_badly() -> bool:
    """Wait for one."""
    return os.waitstatus_to_exitcode(os.wait()[1]) != 0


if __name__ == "__main__":
    main()
