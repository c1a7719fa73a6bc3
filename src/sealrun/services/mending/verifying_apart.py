"""Verify on an engine: one process lists and compares what is derived, workers read records and bytes.

The report is the one that `Verifier` gives, in the same order. In this process stay a fingerprint for each object, the
ids of the runs of experiments that are being looked at, and whatever is damaged; nothing of a run stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor

import msgspec

from sealrun.domain.address import AttemptId, runs_prefix
from sealrun.domain.grouping import in_groups
from sealrun.domain.registry.pointing import Target
from sealrun.domain.registry.publication import Stored
from sealrun.domain.upkeep.damage import Damage, VerifyReport
from sealrun.services.access.reading import Reader
from sealrun.services.mending.comparing import every_pointer
from sealrun.services.mending.looking import Known, Noted
from sealrun.services.mending.portions import (
    Answer,
    AttemptPortion,
    BytesPortion,
    Depth,
    PointersPortion,
    Portion,
    RunsPortion,
    cut_bytes,
)
from sealrun.services.mending.rereading import Advance, Unseen
from sealrun.services.mending.verifying import Verifier
from sealrun.services.threads.spreading import Waiting, spread

_RUNS = 32
_POINTERS = 32
_LAST = 1 << 62
_Place = tuple[int, int]


class _Going:
    """An experiment that is being looked at: its runs that stand, and how many portions of it are out."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sealed: set[str] = set()
        self.out = 0
        self.listed = False


class Engine(msgspec.Struct, frozen=True):
    """Where portions are verified: `call` goes to the `executor`, with at most `width` portions in flight."""

    executor: Executor
    call: Callable[[Portion], Answer]
    width: int


class SpreadVerifier:
    """Verifies runs of one registry on an engine, whose workers look as closely as `depth` says. For one report."""

    def __init__(
        self,
        reader: Reader,
        engine: Engine,
        depth: Depth,
        advance: Advance | None = None,
        *,
        afresh: Reader | None = None,
    ) -> None:
        """List with `reader`; `advance` is told bytes.

        If `reader` answers from what was listed before, damage may be what has changed since: then the records are
        looked at once more `afresh`, and that counts.
        """
        self._reader = reader
        self._afresh = afresh
        self._engine = engine
        self._depth = depth
        self._advance = advance
        self._unseen = Unseen(depth.window, depth.outside)
        self._urgent = Waiting[Portion]()
        self._broken: dict[Stored, Damage] = {}
        self._found: dict[_Place, list[Damage]] = {}
        self._kept: set[AttemptId] = set()
        self._runs = 0
        self._bytes_read = 0

    def run(self, target: Target) -> VerifyReport:
        """Verify one run as one attempt holds it: its seal, its refs, and every object."""
        for _, answer in self._answers([AttemptPortion(target)]):
            self._note((0, 0), answer.damages)
        return self._report(lambda verifier: verifier.run(target))

    def everything(self, experiments: Iterable[str] | None = None) -> VerifyReport:
        """Verify every run, pointer and index row, of some experiments or of all.

        Where bytes are damaged, the records are read a second time, here, to name each file that has them.
        """
        names = None if experiments is None else list(dict.fromkeys(experiments))
        self._experiments(self._reader.experiments() if names is None else names)
        self._pointers(names)
        return self._report(lambda verifier: verifier.everything(names))

    def _report(self, again: Callable[[Verifier], VerifyReport]) -> VerifyReport:
        damages = tuple(damage for place in sorted(self._found) for damage in self._found[place])
        if self._broken or (damages and self._afresh is not None):
            damages = again(Verifier(self._afresh or self._reader, objects=Known(self._broken))).damages
        return VerifyReport(
            runs=self._runs, objects=len(self._unseen.seen), bytes_read=self._bytes_read, damages=damages
        )

    def _experiments(self, names: list[str]) -> None:
        going: dict[str, _Going] = {name: _Going(number) for number, name in enumerate(names)}

        def portions() -> Iterator[Portion]:
            for name in names:
                first = 0
                for group in in_groups(self._reader.store.list_folders(runs_prefix(name)), _RUNS):
                    going[name].out += 1
                    yield RunsPortion(name, first, tuple(group))
                    first += len(group)
                going[name].listed = True
                self._compare(name, going)

        for portion, answer in self._answers(portions()):
            if not isinstance(portion, RunsPortion):
                continue
            state = going[portion.experiment]
            self._note((state.number, portion.first), answer.damages)
            state.sealed |= answer.sealed
            if answer.left:
                first = portion.first + len(portion.run_ids) - len(answer.left)
                self._urgent.append(RunsPortion(portion.experiment, first, answer.left))
            else:
                state.out -= 1
                self._compare(portion.experiment, going)

    def _compare(self, experiment: str, going: dict[str, _Going]) -> None:
        """Compare the index once all runs of an experiment were looked at."""
        state = going.get(experiment)
        if state is None or not state.listed or state.out:
            return
        del going[experiment]
        self._note((state.number, _LAST), Verifier(self._reader, objects=Noted()).index(experiment, state.sealed))

    def _pointers(self, names: list[str] | None) -> None:
        """Check pointers after every run was looked at: whichever is retired in between is found by one of the two."""

        def portions() -> Iterator[Portion]:
            first = 0
            for group in in_groups(every_pointer(self._reader.store, names), _POINTERS):
                yield PointersPortion(first, tuple(group))
                first += len(group)

        for portion, answer in self._answers(portions()):
            if isinstance(portion, PointersPortion):
                for at, damage in zip(answer.at, answer.damages, strict=True):
                    self._note((_LAST, portion.first + at), [damage])
                for at, target in answer.kept:
                    if target.attempt not in self._kept:
                        self._kept.add(target.attempt)
                        self._urgent.append(AttemptPortion(target, portion.first + at))
            elif isinstance(portion, AttemptPortion):
                self._note((_LAST, portion.place), answer.damages)

    def _answers(self, portions: Iterable[Portion]) -> Iterator[tuple[Portion, Answer]]:
        """Hand out portions, and the bytes that their runs need before any more of them."""
        engine = self._engine
        for portion, answer in spread(engine.executor, engine.call, portions, engine.width, self._urgent):
            self._runs += answer.runs
            self._bytes_read += answer.bytes_read
            self._broken.update(answer.broken)
            if self._advance is not None and answer.bytes_read:
                self._advance(answer.bytes_read)
            self._urgent.follow(cut_bytes(answer.objects, self._unseen, self._depth))
            if not isinstance(portion, BytesPortion):
                yield portion, answer

    def _note(self, place: _Place, damages: Iterable[Damage]) -> None:
        found = list(damages)
        if found:
            self._found.setdefault(place, []).extend(found)
