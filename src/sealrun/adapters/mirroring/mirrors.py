"""The folder of a mirror: plain run folders that people browse, and a hidden room where the mirror remembers its own.

::

    <path>/EXPERIMENT/RUN_ID/…                           the run's files, complete from the moment they are seen
    <path>/.sealrun-mirror/mirror.json                   which mirror this is
    <path>/.sealrun-mirror/runs/EXPERIMENT/RUN_ID.json   a folder that the mirror made
    <path>/.sealrun-mirror/incoming/EXPERIMENT/RUN_ID/   a run on its way in
    <path>/.sealrun-mirror/leaving/…                     runs on their way out

A run arrives by one rename. Its marker is written before, saying that it has not arrived; after a crash between the
two the folder's inode tells whether it did.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from sealrun.adapters.mirroring.incoming import LocalIncoming
from sealrun.adapters.mirroring.room import translated, write_durably
from sealrun.adapters.run_folders.renaming import rename_new
from sealrun.adapters.stores.posix_durable import sync_folder
from sealrun.domain.errors import ConfigurationError, UnavailableError
from sealrun.domain.moments import rfc3339
from sealrun.domain.upkeep.mirroring import MirroredRun, MirrorRecord
from sealrun.ports import Clock, Entropy

ROOM = ".sealrun-mirror"
_ID_DIGITS = 32
_Name = tuple[str, str]


class LocalMirrorPlace:
    """`ports.MirrorPlace` for a folder on this machine or mounted here."""

    def __init__(self, path: str, owner: str, clock: Clock, entropy: Entropy, expected: str | None = None) -> None:
        """Use the folder `path` in the name of the state folder `owner`; `expected` is the id of what was there."""
        self._root = Path(path)
        self._room = self._root / ROOM
        self._owner = owner
        self._clock = clock
        self._entropy = entropy
        self._expected = expected
        self._descriptor = -1

    def find(self, registry_id: str) -> MirrorRecord | None:
        """Return whose mirror is there; see the port."""
        file = self._room / "mirror.json"
        if self._root.exists() and not self._root.is_dir():
            msg = f"{self._root}: is not a folder; choose another path for the mirror"
            raise ConfigurationError(msg)
        with translated(file):
            body = file.read_bytes() if file.is_file() else None
        if body is None:
            if self._expected is not None:
                msg = (
                    f"{self._root}: holds no mirror, though {self._expected} was there: is its disk not mounted? "
                    "Nothing was written. To begin a new one there, name it differently in the settings"
                )
                raise UnavailableError(msg)
            return None
        record = MirrorRecord.decode(body, str(file))
        if record.registry_id != registry_id:
            msg = f"{self._root}: mirrors registry {record.registry_id}, not {registry_id}; choose another path"
            raise ConfigurationError(msg)
        if self._expected not in {None, record.mirror_id}:
            msg = f"{self._root}: holds mirror {record.mirror_id}, but {self._expected} was there: is it another disk?"
            raise ConfigurationError(msg)
        return record

    def enter(self, registry_id: str, *, take_over: bool = False) -> MirrorRecord:
        """Make it the mirror of that registry if it is none yet; see the port."""
        record = self.find(registry_id)
        if record is None:
            record = MirrorRecord(
                mirror_id=self._entropy.hex(_ID_DIGITS),
                registry_id=registry_id,
                owner=self._owner,
                created_at=rfc3339(self._clock.now()),
            )
            self._write_record(record)
        elif record.owner != self._owner:
            if not take_over:
                msg = (
                    f"{self._root}: is filled by another state folder ({record.owner}); if that one is gone for good: "
                    "sealrun mirror NAME --take-over"
                )
                raise ConfigurationError(msg)
            record = msgspec.structs.replace(record, owner=self._owner)
            self._write_record(record)
        with translated(self._root):
            self._descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._finish_what_was_begun()
        return record

    def held(self) -> Sequence[MirroredRun]:
        """Runs that the mirror made and that are there; see the port."""
        with translated(self._root):
            return [run for run in self._markers() if run.arrived and self._is_ours(run)]

    def foreign(self, names: Iterable[_Name]) -> Collection[_Name]:
        """Which places are taken by somebody else; see the port."""
        ours = {(run.experiment, run.run_id) for run in self.held()}
        with translated(self._root):
            return {name for name in names if name not in ours and os.path.lexists(self._final(*name))}

    def receive(self, run: MirroredRun) -> LocalIncoming:
        """Begin, or go on with, copying a run; see the port."""
        self._check_still_there()

        def arrive(room: Path) -> None:
            self._check_still_there()
            final = self._final(run.experiment, run.run_id)
            made = msgspec.structs.replace(run, inode=room.stat().st_ino, arrived=False)
            self._write_marker(made)
            if not final.parent.is_dir():
                final.parent.mkdir()
                sync_folder(str(self._root))
            rename_new(str(room), str(final))
            sync_folder(str(final.parent))
            self._write_marker(msgspec.structs.replace(made, arrived=True))

        return LocalIncoming(self._incoming(run.experiment, run.run_id), arrive)

    def discard_incoming(self, but: Collection[_Name]) -> None:
        """Drop what had begun to arrive and is not wanted any more; see the port."""
        with translated(self._root):
            for folder in _below(self._room / "incoming"):
                if (folder.parent.name, folder.name) not in but:
                    shutil.rmtree(folder)

    def remove(self, run: MirroredRun) -> None:
        """Delete a run; see the port."""
        self._check_still_there()
        final, leaving = self._final(run.experiment, run.run_id), self._room / "leaving"
        with translated(final):
            if not self._is_ours(run):
                return
            leaving.mkdir(exist_ok=True)
            out = leaving / self._entropy.hex(_ID_DIGITS)
            rename_new(str(final), str(out))
            if out.lstat().st_ino != run.inode:  # replaced at this very moment: it is not ours
                rename_new(str(out), str(final))
                return
            sync_folder(str(final.parent))
            self._marker(run.experiment, run.run_id).unlink(missing_ok=True)
            shutil.rmtree(out)

    def close(self) -> None:
        """Let go of the disk."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _finish_what_was_begun(self) -> None:
        for folder in list((self._room / "leaving").iterdir()) if (self._room / "leaving").is_dir() else ():
            shutil.rmtree(folder)  # it was ours when it was moved there
        for run in list(self._markers()):
            there = self._is_ours(run) and (run.arrived or not self._incoming(run.experiment, run.run_id).is_dir())
            if there and not run.arrived:
                self._write_marker(msgspec.structs.replace(run, arrived=True))
            elif not there and not (run.arrived and os.path.lexists(self._final(run.experiment, run.run_id))):
                self._marker(run.experiment, run.run_id).unlink()

    def _check_still_there(self) -> None:
        """A disk that was unmounted or replaced meanwhile must not be taken for the one that was entered."""
        with translated(self._root):
            here, entered = self._root.stat(), os.fstat(self._descriptor)
        if (here.st_dev, here.st_ino) != (entered.st_dev, entered.st_ino):
            msg = f"{self._root}: is another disk than a moment ago; nothing more is written to it"
            raise UnavailableError(msg)

    def _markers(self) -> Iterator[MirroredRun]:
        for file in sorted((self._room / "runs").glob("*/*.json")):
            run = MirroredRun.decode(file.read_bytes(), str(file))
            if (run.experiment, f"{run.run_id}.json") == (file.parent.name, file.name):
                yield run

    def _is_ours(self, run: MirroredRun) -> bool:
        try:
            status = self._final(run.experiment, run.run_id).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return status.st_ino == run.inode and self._final(run.experiment, run.run_id).is_dir()

    def _final(self, experiment: str, run_id: str) -> Path:
        return self._root / experiment / run_id

    def _incoming(self, experiment: str, run_id: str) -> Path:
        return self._room / "incoming" / experiment / run_id

    def _marker(self, experiment: str, run_id: str) -> Path:
        return self._room / "runs" / experiment / f"{run_id}.json"

    def _write_marker(self, run: MirroredRun) -> None:
        write_durably(self._marker(run.experiment, run.run_id), run.encode())

    def _write_record(self, record: MirrorRecord) -> None:
        with translated(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            write_durably(self._room / "mirror.json", record.encode())


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for outer in sorted(folder.iterdir()):
            yield from sorted(outer.iterdir())
