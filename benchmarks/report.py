"""From samples to a table: medians, and ratios within the round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.parties import BASES, Party, Target
from benchmarks.running import Sample

_WRITES = ("PUT", "POST", "COPY", "DELETE")
_HEADER = (
    "party",
    "wall ÷",
    "CPU ÷",
    "wall s (range)",
    "CPU s",
    "RSS MiB",
    "writes + reads",
    "new objects",
    "new MB",
    "others",
)


@dataclass(frozen=True)
class _Cell:
    """All samples of one target and workload, by party and round."""

    samples: dict[str, dict[int, Sample]]

    def ratio(self, party: str, base: str, of: Callable[[Sample], float]) -> float | None:
        """Median over rounds of a party's figure divided by the base's in the same round."""
        mine, theirs = self.samples.get(party, {}), self.samples.get(base, {})
        shared = [of(mine[i]) / of(theirs[i]) for i in mine.keys() & theirs.keys() if of(theirs[i]) > 0]
        return median(shared) if shared else None


def table(samples: Sequence[Sample], parties: Iterable[Party], targets: Iterable[Target], missing: set[str]) -> str:
    """Return Markdown: one table for each target and workload, with a row for each party that belongs there."""
    lines: list[str] = []
    cells = _cells(samples)
    everybody = list(parties)
    for target in targets:
        for workload in dict.fromkeys(sample.workload for sample in samples if sample.target == target):
            cell = cells[target, workload]
            lines += [f"### {'directory' if target == 'dir' else 'S3'}, {workload}", ""]
            lines += [f"| {' | '.join(_HEADER)} |", "|" + "---|" * len(_HEADER)]
            for party in everybody:
                if target in party.targets:
                    lines.append(_row(cell, party.name, BASES[target], absent=party.name in missing))
            lines.append("")
    lines.append(
        f"÷: by {BASES['dir']} (directory) or {BASES['s3']} (S3), the median of the ratios within each round. The sync "
        "that follows on a directory is part of everybody's wall time. Others: the share of the machine that "
        "everything else took meanwhile; where it is large, trust CPU."
    )
    return "\n".join(lines)


def _cells(samples: Iterable[Sample]) -> dict[tuple[Target, str], _Cell]:
    cells: dict[tuple[Target, str], _Cell] = {}
    for sample in samples:
        cell = cells.setdefault((sample.target, sample.workload), _Cell({}))
        cell.samples.setdefault(sample.party, {})[sample.round] = sample
    return cells


def _row(cell: _Cell, party: str, base: str, *, absent: bool) -> str:
    every = list(cell.samples.get(party, {}).values())
    good = [sample for sample in every if sample.usage.error is None]
    if not good:
        why = "not installed" if absent else next((s.usage.error for s in every if s.usage.error), "not run")
        return _line([party, *[""] * (len(_HEADER) - 2), why])
    passed = _Cell({name: _good(rounds) for name, rounds in cell.samples.items()})
    walls = [sample.usage.wall for sample in good]
    last = good[-1]
    return _line(
        [
            party if len(good) == len(every) else f"{party} ({len(every) - len(good)} failed)",
            _factor(passed.ratio(party, base, lambda sample: sample.usage.wall)),
            _factor(passed.ratio(party, base, lambda sample: sample.usage.cpu)),
            f"{median(walls):.2f} ({min(walls):.2f} to {max(walls):.2f})",
            f"{median(sample.usage.cpu for sample in good):.2f}",
            f"{max(sample.usage.rss_mib for sample in good):.0f}",
            _traffic(last),
            f"{last.objects:,}",
            f"{last.stored / 1e6:,.1f}",
            f"{median(sample.usage.foreign for sample in good):.0%}",
        ]
    )


def _good(rounds: dict[int, Sample]) -> dict[int, Sample]:
    return {number: sample for number, sample in rounds.items() if sample.usage.error is None}


def _factor(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _traffic(sample: Sample) -> str:
    if not sample.requests:
        return ""
    writes = sum(count for kind, count in sample.requests.items() if kind.split()[0] in _WRITES)
    return f"{writes:,} + {sum(sample.requests.values()) - writes:,}"


def _line(fields: Iterable[str]) -> str:
    return "| " + " | ".join(field.replace("|", "/").replace("\n", " ") for field in fields) + " |"
