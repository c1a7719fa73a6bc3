"""What was aimed at, and whether it was reached: plain lines that say pass or FAIL, with the figure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from benchmarks.parties import Party
from benchmarks.peers import BASE
from benchmarks.report import WHERE, Cell, cells_of, cpu, wall
from benchmarks.running import Sample
from benchmarks.workloads import MIB

_MINE = "sealrun"
_OF_FLOOR = 1.3
_PACK = 32 * MIB
_BESIDE_PACKS = 20
_UNCHANGED = 12
_MEMORY_MIB = 150.0
_OF_HASHING = 0.8
_RESTORERS = ("restic", "rclone", "dvc")


def verdicts(samples: Sequence[Sample], parties: Collection[Party], interpreter_mib: float) -> list[str]:
    """Return a line for each goal that the samples can judge; `interpreter_mib` is what a bare one peaks at."""
    lines: list[str] = []
    for cell in cells_of(samples):
        if cell.good.get(_MINE):
            where = f"{WHERE[cell.target]}, {cell.step}"
            lines += [f"{goal} ({where}): {text}" for goal, text in _judge(cell, parties, interpreter_mib)]
        elif cell.failed.get(_MINE):
            lines.append(f"every goal ({WHERE[cell.target]}, {cell.step}): FAIL, sealrun failed")
    return lines


def _judge(cell: Cell, parties: Collection[Party], interpreter_mib: float) -> Iterator[tuple[str, str]]:
    if cell.action == "publish":
        yield from _speed("goal 1", cell, [party.name for party in parties if party.peer])
        if cell.target == "s3":
            yield from _requests(cell)
    elif cell.action == "restore":
        yield from _speed("goal 5", cell, [party.name for party in parties if party.name in _RESTORERS])
    elif cell.action == "verify":
        share = cell.ratio(BASE, _MINE, wall)
        if share is not None and not cell.step.startswith("mixed"):
            yield "goal 7", _at_least(share, _OF_HASHING, "of hashing's limit, wall")
    elif cell.target == "s3":
        reads = _last(cell).requests.get("GET", 0)
        yield "goal 5", f"{reads} GET for one file: its bytes, and the records that lead to them"
    if cell.action in {"publish", "restore"}:
        peak = max(sample.usage.rss_mib for sample in cell.good[_MINE].values()) - interpreter_mib
        yield "goal 3", _at_most(peak, _MEMORY_MIB, "MiB above the interpreter")


def _speed(goal: str, cell: Cell, peers: Collection[str]) -> Iterator[tuple[str, str]]:
    for what, of in (("wall", wall), ("CPU", cpu)):
        ratio = cell.ratio(_MINE, BASE, of)
        if ratio is not None:
            yield goal, _at_most(ratio, _OF_FLOOR, f"times the packed floor's {what}")
    best = cell.best(peers)
    ratio = cell.ratio(_MINE, best, wall)
    if ratio is not None:
        yield goal, _at_most(ratio, 1.0, f"times the wall of the best peer, {best}")


def _requests(cell: Cell) -> Iterator[tuple[str, str]]:
    last = _last(cell)
    total = sum(last.requests.values())
    heads = last.requests.get("HEAD", 0)
    if cell.step == "small":
        yield "goal 2", _at_most(total, last.stored / _PACK + _BESIDE_PACKS, "requests")
    elif cell.step.endswith("unchanged"):
        yield "goal 2", _at_most(total, _UNCHANGED, f"requests, {heads} of them HEAD")


def _last(cell: Cell) -> Sample:
    rounds = cell.good[_MINE]
    return rounds[max(rounds)]


def _at_most(value: float, limit: float, what: str) -> str:
    return f"{'pass' if value <= limit else 'FAIL'}, {value:.4g} {what} (at most {limit:.4g})"


def _at_least(value: float, limit: float, what: str) -> str:
    return f"{'pass' if value >= limit else 'FAIL'}, {value:.4g} {what} (at least {limit:.4g})"
