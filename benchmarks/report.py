"""From samples to tables: medians, and ratios within the round."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.parties import Party, Target
from benchmarks.peers import BASE
from benchmarks.running import Sample

_HEADER = (
    "party",
    "wall ÷ floor",
    "CPU ÷ floor",
    "wall ÷ best peer",
    "wall s (range)",
    "CPU s",
    "RSS MiB",
    "requests",
    "new objects",
    "new MB",
    "others",
)
WHERE: Mapping[Target, str] = {"dir": "directory", "s3": "S3"}


@dataclass(frozen=True)
class Cell:
    """All samples of one target and step that succeeded, by party and round."""

    target: Target
    step: str
    action: str
    good: dict[str, dict[int, Sample]]
    failed: dict[str, list[Sample]]

    def ratio(self, party: str, base: str | None, of: Callable[[Sample], float]) -> float | None:
        """Median over rounds of a party's figure divided by the base's in the same round."""
        mine, theirs = self.good.get(party, {}), self.good.get(base or "", {})
        shared = [of(mine[i]) / of(theirs[i]) for i in mine.keys() & theirs.keys() if of(theirs[i]) > 0]
        return median(shared) if shared else None

    def middle(self, party: str, of: Callable[[Sample], float]) -> float | None:
        """Median over rounds."""
        mine = self.good.get(party, {}).values()
        return median(of(sample) for sample in mine) if mine else None

    def best(self, peers: Iterable[str]) -> str | None:
        """The peer with the lowest median wall time."""
        walls = {name: wall_s for name in peers if (wall_s := self.middle(name, wall)) is not None}
        return min(walls, key=lambda name: walls[name]) if walls else None


def wall(sample: Sample) -> float:
    """Wall seconds."""
    return sample.usage.wall


def cpu(sample: Sample) -> float:
    """CPU seconds, user and system."""
    return sample.usage.cpu


def cells_of(samples: Iterable[Sample]) -> list[Cell]:
    """Group samples by target and step, in the order of their first samples."""
    cells: dict[tuple[Target, str], Cell] = {}
    for sample in samples:
        cell = cells.setdefault(
            (sample.target, sample.step), Cell(sample.target, sample.step, sample.action, good={}, failed={})
        )
        if sample.usage.error is None:
            cell.good.setdefault(sample.party, {})[sample.round] = sample
        else:
            cell.failed.setdefault(sample.party, []).append(sample)
    return sorted(cells.values(), key=lambda cell: cell.target)


def tables(samples: Sequence[Sample], parties: Collection[Party], missing: Collection[tuple[str, Target]]) -> str:
    """Return Markdown: one table for each target and step, with a row for each party that belongs there."""
    lines: list[str] = []
    peers = [party.name for party in parties if party.peer]
    for cell in cells_of(samples):
        best = cell.best(peers)
        lines += [f"### {WHERE[cell.target]}, {cell.step}", "", _line(_HEADER), "|" + "---|" * len(_HEADER)]
        for party in parties:
            if cell.target in party.targets:
                lines.append(_row(cell, party.name, best, absent=(party.name, cell.target) in missing))
        lines.append("")
    lines.append(
        f"Floor: {BASE}. Ratios are the medians of the ratios within each round; best peer: the lowest median "
        "(sealrun and the floors are no peers). The sync that follows a publication to a directory or a restoration is "
        "part of everybody's wall time. Others: the share of the machine that everything else took meanwhile; where it "
        "is large, trust CPU."
    )
    return "\n".join(lines)


def _row(cell: Cell, party: str, best: str | None, *, absent: bool) -> str:
    good, failed = list(cell.good.get(party, {}).values()), cell.failed.get(party, [])
    if not good:
        why = next(
            (s.usage.error for s in failed if s.usage.error), "not installed" if absent else "does no such thing"
        )
        return _line([party, *[""] * (len(_HEADER) - 2), why])
    walls = [sample.usage.wall for sample in good]
    last = good[-1]
    rounds = max(len(each) for each in cell.good.values())
    return _line(
        [
            party + _remark(len(good), len(failed), rounds),
            _factor(cell.ratio(party, BASE, wall)),
            _factor(cell.ratio(party, BASE, cpu)),
            _factor(cell.ratio(party, best, wall)),
            f"{median(walls):.2f} ({min(walls):.2f} to {max(walls):.2f})",
            f"{median(sample.usage.cpu for sample in good):.2f}",
            f"{max(sample.usage.rss_mib for sample in good):.0f}",
            " ".join(f"{kind} {count:,}" for kind, count in sorted(last.requests.items())),
            f"{last.objects:,}" if last.action == "publish" else "",
            f"{last.stored / 1e6:,.1f}" if last.action == "publish" else "",
            f"{median(sample.usage.foreign for sample in good):.0%}",
        ]
    )


def _remark(good: int, failed: int, rounds: int) -> str:
    if failed:
        return f" ({failed} failed)"
    return f" ({good} of {rounds} rounds)" if good < rounds else ""


def _factor(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(field.replace("|", "/").replace("\n", " ") for field in fields) + " |"
