"""What a machine remembers of computations that failed, so that it does not try in a circle, and people can see why."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from sealrun.domain.address import Digest
from sealrun.domain.curation.deriving import Failure
from sealrun.domain.errors import NoSpaceError
from sealrun.domain.ready import ready
from sealrun.recording.durable import write_bytes


class FailureNotes:
    """One small file for each in a folder. Losing them costs one more try each."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which is made when the first is kept."""
        self._folder = folder

    def all(self) -> list[Failure]:
        """Return what failed and did not succeed since, by name."""
        found = (self.find(Digest(path.stem)) for path in self._folder.glob("*.json"))
        return sorted((failure for failure in found if failure is not None), key=lambda failure: failure.label)

    def find(self, key: Digest) -> Failure | None:
        """Return what is known of one; nothing of a file that cannot be read."""
        try:
            return msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=ready(Failure))
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def keep(self, failure: Failure) -> None:
        """Remember a failure in place of the one before."""
        try:
            write_bytes(self._folder / f"{failure.key}.json", msgspec.json.encode(failure))
        except OSError as error:
            msg = f"{self._folder}: cannot be written to ({error.strerror}); make room, or name another state folder"
            raise NoSpaceError(msg) from error

    def forget(self, key: Digest) -> None:
        """Forget one that succeeded. Harmless to repeat."""
        with suppress(FileNotFoundError):
            (self._folder / f"{key}.json").unlink()
