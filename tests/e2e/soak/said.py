"""What was acknowledged to the machines of a soak, and what their runs hold, which their names tell."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from tests.builders.runs import Sources, a_run

from sealrun.domain.registry.publication import AttemptTicket
from sealrun.domain.runs.sealed import SealedRun

EXPERIMENTS = ("train", "backfill")
_POOL = 24


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work, durable before it begins: a machine that is killed does it again when it is back.

    `ahead` is the attempt that has sent the bytes of the run before anything was durable of it.
    """

    op: str
    serial: int
    tries: int = 0
    begun_at: str = ""
    ref: str = ""
    pointer: str = ""
    ahead: AttemptTicket | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One acknowledgement: this is what the registry answered. `state` is what that makes of a run."""

    op: str
    serial: int = -1
    ref: str = ""
    state: str = ""
    count: int = 0
    note: str = ""


class Acknowledged:
    """The acknowledgements of one machine, in the order in which it got them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "acknowledged.jsonl"

    def add(self, said: Said) -> None:
        """Append one; a machine that is killed afterwards has still said so."""
        with self._path.open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(said) + b"\n")

    def __iter__(self) -> Iterator[Said]:
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                yield msgspec.json.decode(line, type=Said)

    def states(self) -> dict[str, Said]:
        """The last word on every run: ``live``, ``retired``, or ``unsure`` where a kill fell into the decision."""
        return {said.ref: said for said in self if said.state}


def write_atomically(path: Path, body: bytes) -> None:
    """Replace a file."""
    path.with_suffix(".new").write_bytes(body)
    path.with_suffix(".new").replace(path)


def files_of(machine: str, serial: int) -> dict[str, bytes]:
    """Return what a run holds: bytes that many runs share, and mostly some of its own."""
    dice = random.Random(f"{machine}:{serial}")
    shared = dice.sample(range(_POOL), dice.randint(1, 4))
    files = {f"shared/{number}.bin": random.Random(number).randbytes(200 * (number + 1)) for number in shared}
    if dice.random() < 0.7:
        files["own.bin"] = dice.randbytes(dice.randint(1, 3000))
    return files


def run_of(machine: str, serial: int, finished_at: str) -> tuple[SealedRun, Sources]:
    """Return a machine's run."""
    names = {"own.bin": "newest.bin"} if serial % 7 == 0 and "own.bin" in files_of(machine, serial) else None
    return a_run(
        files_of(machine, serial),
        experiment=EXPERIMENTS[serial % len(EXPERIMENTS)],
        name=f"{machine}-{serial}",
        finished_at=finished_at,
        publish_names=names,
    )


def total(said: Iterable[Said], op: str) -> int:
    """Count the acknowledgements of one kind."""
    return sum(1 for one in said if one.op == op)
