"""The consumer's side of the parts: list, resolve, restore, verify, move pointers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

from sealrun.bootstrap.registries import RegistrySpec, open_reader
from sealrun.domain.curation.lineage import Lineage
from sealrun.domain.errors import UsageError
from sealrun.domain.records import JsonObject
from sealrun.domain.reference import NameReference, parse_reference
from sealrun.domain.registry.indexing import Row
from sealrun.domain.registry.pointing import Generation, PointerName, Target
from sealrun.domain.runs.manifest import Entry
from sealrun.domain.runs.run import Envelope
from sealrun.domain.upkeep.damage import VerifyReport, Window
from sealrun.ports import Clock, Entropy
from sealrun.services.access.moved import read_where_it_stands
from sealrun.services.access.reading import Reader, RunFiles, RunView, check_experiment, no_such
from sealrun.services.access.restoring import (
    Origin,
    Restored,
    attempt_name,
    attempt_name_of_file,
    restore,
    restore_file,
)
from sealrun.services.curation.lineage import trace
from sealrun.services.curation.tabulating import with_envelopes
from sealrun.services.index.moving import PlannedMove, PointerMover

Advance = Callable[[int], None]


class Got(NamedTuple):
    """A run that was restored, and what was done for it."""

    view: RunFiles
    restored: Restored


class Consumer:
    """Reads one registry and writes to this machine only."""

    def __init__(self, spec: RegistrySpec, clock: Clock, entropy: Entropy) -> None:
        """Open the registry for reading; `NoRegistryError` if there is none."""
        self._spec = spec
        self._entropy = entropy
        self._reader: Reader = open_reader(spec, clock, entropy)

    @property
    def url(self) -> str:
        """Where the registry is, fit for showing."""
        return self._reader.store.url

    @property
    def reader(self) -> Reader:
        """What it reads with, until it is closed."""
        return self._reader

    def experiments(self) -> list[str]:
        """Names of the experiments."""
        return self._reader.experiments()

    def runs(self, experiment: str | None = None) -> Sequence[Row]:
        """One row per run, oldest first; `NotFoundError` for an experiment that holds nothing."""
        rows = self._reader.runs(experiment)
        if not rows and experiment is not None:
            check_experiment(self._reader.store, experiment)
        return rows

    def show(self, ref: str) -> RunView:
        """Everything known of the run that `ref` names; `path` of the view is the file, if it names one."""
        return self._reader.load(self._reader.resolve(ref))

    def files(self, ref: str) -> RunFiles:
        """Do the same without holding the records: for runs with very many files."""
        return self._reader.load_files(self._reader.resolve(ref))

    def body(self, view: RunFiles, entry: Entry) -> bytes:
        """Return one file's bytes, verified; for files that are known to be small."""
        return b"".join(self._reader.chunks(view, entry))

    def lineage(self, ref: str, *, back: bool = True, forward: bool = True, depth: int | None = None) -> Lineage:
        """Return what a run was made from and what was made from it; see `trace`."""
        return trace(self._reader, ref, back=back, forward=forward, depth=depth)

    def tabulated(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Envelope | None]]:
        """Yield each row with its run's envelope; see `with_envelopes`."""
        return with_envelopes(self._reader.store, rows)

    def resolve(self, ref: str) -> RunView:
        """Find what a name, pointer, run or URN stands for."""
        return self.show(ref)

    def local_path(self, view: RunView) -> Path | None:
        """Path of the run's files, or of its one file, where the registry is a directory on this machine."""
        url = self.url.removeprefix("file://")
        folder = Path(url) / "experiments" / view.target.experiment / "runs" / view.target.run_id
        if not url.startswith("/") or not folder.is_dir():
            return None
        return folder if view.path is None else folder / "artifacts" / view.path

    def get(self, ref: str, destination: Path, *, sealed: bool = False, advance: Advance | None = None) -> RunFiles:
        """Restore the run to `destination`, or one file of it; see `restore`."""
        return self.restore(ref, destination, sealed=sealed, advance=advance).view

    def restore(
        self,
        ref: str,
        destination: Path,
        *,
        sealed: bool = False,
        link: bool = False,
        advance: Advance | None = None,
    ) -> Got:
        """Restore the run to `destination`, or one file of it; nothing is visible there until all is verified.

        A file (a reference with a path, a published name, a run of one dropped file) goes to `destination` itself, or
        into it where it is a folder. A run that an interrupted call had begun to restore there is gone on with.
        `link`: files share the registry's blocks where that is possible; `UsageError` where it never is.

        A run whose bytes are moved meanwhile, as by a repair or a repacking, is begun again; `ConflictError`: it was
        retired, and collected.
        """
        from sealrun.adapters.restoring.destinations import LocalDestination  # noqa: PLC0415 - for who restores

        target = self._reader.resolve(ref)
        origin = self._origin() if link else None

        def attempt(target: Target) -> Got:
            view = self._reader.load_files(target)
            single = self._single(ref, view, sealed=sealed)
            if single is None:
                room = LocalDestination(destination, resume=attempt_name(view.target, sealed=sealed, sharing=link))
                return Got(view, restore(self._reader, view, room, sealed=sealed, advance=advance, origin=origin))
            name = single.path.rpartition("/")[2]
            final = destination / name if destination.is_dir() else destination
            room = LocalDestination(final, single=True, resume=attempt_name_of_file(single, sharing=link))
            return Got(view, restore_file(self._reader, view, single, room, name, advance=advance, origin=origin))

        return read_where_it_stands(self._reader, target, attempt)

    def cat(self, ref: str, out: BinaryIO) -> None:
        """Write one file's bytes to `out`, in bounded pieces, verified."""
        target = self._reader.resolve(ref)
        if target.path is not None:
            out.writelines(self._reader.chunks_at(target, target.path))
            return
        view = self._reader.load_files(target)
        entry = self._single(ref, view, sealed=False)
        if entry is None:
            msg = (
                f"{ref}: names a run; name one of its files: {view.ref}:PATH (list them with: sealrun show {view.ref})"
            )
            raise UsageError(msg)
        out.writelines(self._reader.chunks(view, entry))

    def verify(
        self,
        ref: str | Target | None,
        *,
        experiment: str | None = None,
        read_bytes: bool = True,
        share: float = 1.0,
        advance: Advance | None = None,
        engine: Executor | None = None,
    ) -> VerifyReport:
        """Verify one run, one experiment (`NotFoundError` if there is none), or with neither everything.

        Of an experiment, `share` of the bytes may be enough: a random part. The rest is looked at. The work is done on
        the `engine`, or in this process.
        """
        if experiment is not None:
            check_experiment(self._reader.store, experiment)
        window = Window(self._entropy.uniform(0.0, 0.999), share)
        from sealrun.bootstrap.verbs.verification import verify  # noqa: PLC0415 - nobody else needs what it imports

        return verify(
            self._spec,
            self._reader,
            ref,
            experiment,
            read_bytes=read_bytes,
            window=window,
            advance=advance,
            engine=engine,
        )

    def pointers(self, experiment: str) -> list[Generation]:
        """Where each pointer of an experiment stands; `NotFoundError` for an experiment that holds nothing."""
        found = self._reader.pointers(experiment)
        if not found:
            check_experiment(self._reader.store, experiment)
        return found

    def pointer_history(self, experiment: str, pointer: str) -> Iterator[Generation]:
        """A pointer's generations, newest first, read as they are asked for.

        `NotFoundError`, at once, for a pointer that never stood anywhere.
        """
        found = self._reader.history_of(PointerName.of_experiment(experiment, pointer))
        newest = next(found, None)
        if newest is None:
            check_experiment(self._reader.store, experiment)
            known = [generation.pointer for generation in self._reader.pointers(experiment)]
            raise no_such("pointer", f"{experiment}@{pointer}", known, self.url)
        return chain([newest], found)

    def close(self) -> None:
        """Close the store."""
        self._reader.store.close()

    def _origin(self) -> Origin:
        """Say where objects lie as files on this machine."""
        url = self.url.removeprefix("file://")
        if not url.startswith("/"):
            msg = f"{self.url}: files are linked out of a directory registry on this machine only; leave --link away"
            raise UsageError(msg)
        return lambda stored: f"{url}/{stored.key}" if stored.offset is None else None

    def _single(self, ref: str, view: RunFiles, *, sealed: bool) -> Entry | None:
        """Return the one file that is meant, if one is."""
        if sealed:
            if view.path is not None and not isinstance(parse_reference(ref), NameReference):
                msg = f"{ref}: --sealed restores the whole run folder; leave the path away"
                raise UsageError(msg)
            return None
        if view.path is not None:
            return view.entry(view.path)
        return view.manifest.entries[0] if view.envelope.unit == "file" else None


class Admitting(Protocol):
    """Who looks at a run before a pointer moves to it."""

    def admit(self, target: Target, place: str, *, run_command: bool = True) -> JsonObject | None:
        """Return the evidence that it may; `RequirementError` says why not."""
        ...


KeeperOf = Callable[[str, str], Admitting | None]


class Mover:
    """Moves pointers of one registry that was opened for publishing."""

    def __init__(
        self, reader: Reader, owner: str, clock: Clock, entropy: Entropy, keeper_of: KeeperOf = lambda *_: None
    ) -> None:
        """Move in the name of the person who runs this process. `keeper_of` finds who admits runs to a pointer."""
        self._reader = reader
        self._keeper_of = keeper_of
        self._mover = PointerMover(reader.store, clock, entropy, owner, whoami())

    def set(self, experiment: str, pointer: str, ref: str, why: str, *, dry_run: bool) -> PlannedMove:
        """Move `pointer` to what `ref` names; with `dry_run` only say so. Returns what was, or would be, done."""
        return self._carry_out(
            self._mover.plan_set(experiment, pointer, self._reader.resolve(ref), why), dry_run=dry_run
        )

    def rollback(self, experiment: str, pointer: str, to: int | None, why: str, *, dry_run: bool) -> PlannedMove:
        """Go back to generation `to`, by default the one before, by adding a generation with its target."""
        return self._carry_out(self._mover.plan_rollback(experiment, pointer, to, why), dry_run=dry_run)

    def _carry_out(self, move: PlannedMove, *, dry_run: bool) -> PlannedMove:
        keeper = self._keeper_of(move.experiment, move.pointer) if move.changes else None
        if keeper is not None:
            place = f"{move.experiment}@{move.pointer}"
            move = msgspec.structs.replace(move, evidence=keeper.admit(move.target, place, run_command=not dry_run))
        if not dry_run and move.changes:
            self._mover.execute(move)
        return move


def whoami() -> str:
    """Who moves a pointer, for its history: ``user@host``."""
    import getpass  # noqa: PLC0415 - for who moves something

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"
